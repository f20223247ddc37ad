"""When a certificate was signed, and how well that is known.

A certificate's own time is its signer's word: `asserted`. A timestamp of RFC 3161 proves that the
certificate was there at the timestamp's time; that time then counts, whatever the signer says.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

from traceprop.errors import CertificateError

FORMAT = "%Y-%m-%dT%H:%M:%SZ"

CLOCKS_DIFFER = timedelta(minutes=5)
"""How far a signer's clock may be ahead of another one."""


class SigningTime(NamedTuple):
    """A moment, in UTC, and what it rests on.

    Parameters
    ----------
    moment : datetime
        With its time zone, UTC.
    proof : {"asserted", "timestamp"}
        Whether only the signer's clock vouches for it, or a timestamp authority does.
    """

    moment: datetime
    proof: Literal["asserted", "timestamp"]

    def __str__(self) -> str:
        said = "asserted" if self.proof == "asserted" else "proven by a timestamp"
        return f"{self.moment.strftime(FORMAT)} ({said})"


def timestamp_path(certificate: str | Path) -> Path:
    """Return where a certificate's timestamp lies: beside it, `.tsr` added to the name."""
    path = Path(certificate)
    return path.with_name(path.name + ".tsr")


def parse_time(text: str) -> datetime:
    """Read a time as certificates and policies write it, `2026-01-31T12:00:00Z`.

    Raises
    ------
    CertificateError
        There is no such moment.
    """
    try:
        # Several times faster to import and run than strptime; the schemas see to the form.
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError as wrong:
        raise CertificateError(f"{text!r} is no time of the form 2026-01-31T12:00:00Z") from wrong


def signing_time(issued: str, stamped: datetime | None) -> SigningTime:
    """Decide which time counts.

    Parameters
    ----------
    issued : str
        The certificate's own time.
    stamped : datetime or None
        The time of a timestamp that was verified.

    Raises
    ------
    CertificateError
        The certificate says that it was made after it was stamped, or its time is none.
    """
    asserted = parse_time(issued)
    if stamped is None:
        return SigningTime(asserted, "asserted")
    if asserted > stamped + CLOCKS_DIFFER:
        raise CertificateError(
            f"its own time, {issued}, is later than its timestamp, {stamped.strftime(FORMAT)}"
        )
    return SigningTime(stamped, "timestamp")
