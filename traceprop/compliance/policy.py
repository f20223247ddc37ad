"""Whose certificates a reader accepts: public keys with their holders and their validity.

A trust policy is a JSON file that the reader keeps (`schema/trust-policy.schema.json`). Promise: a
policy is read whole or refused; nothing in a certificate can add to it. A key is found by its
fingerprint before anything signed is read; whether it was valid then is judged once the time is
known. A revoked key's certificates hold only where a timestamp proves them older: whoever has
stolen a key asserts any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from traceprop.audit.canonical import parse
from traceprop.compliance.keys import PublicKey, parse_public_key
from traceprop.compliance.schema_check import first_error, load_schema
from traceprop.compliance.times import FORMAT, SigningTime, parse_time
from traceprop.errors import CertificateError

_LARGEST_POLICY = 16 * 1024 * 1024


class Revocation(NamedTuple):
    """Since when a key may be in other hands, and why."""

    moment: datetime
    reason: str


class TrustedKey(NamedTuple):
    """A public key that a reader accepts signatures of, within limits.

    Parameters
    ----------
    public : PublicKey
        The key itself.
    holder : str or None
        Whose it is; None where a reader gave the bare key.
    not_before, not_after : datetime or None
        The first and the last moment of its validity.
    revoked : Revocation or None
        If and since when it must not be trusted any more.
    regulations : tuple of str or None
        Under which maps of clauses the holder may certify; None for any.
    """

    public: PublicKey
    holder: str | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    revoked: Revocation | None = None
    regulations: tuple[str, ...] | None = None

    def check(self, time: SigningTime, regulation: str) -> None:
        """Hold a certificate's time and regulation against what the key is valid for.

        Raises
        ------
        CertificateError
            The key was not valid then, is revoked, or its holder may not certify under that
            regulation.
        """
        whose = f"the key {self.public.fingerprint[:16]} of {self.holder}"
        if self.not_before is not None and time.moment < self.not_before:
            raise CertificateError(
                f"{whose} is valid from {self.not_before.strftime(FORMAT)} on only; it was signed "
                f"{time}"
            )
        if self.not_after is not None and time.moment > self.not_after:
            raise CertificateError(
                f"{whose} was valid until {self.not_after.strftime(FORMAT)} only; it was signed "
                f"{time}"
            )
        if self.revoked is not None and not self._stamped_before(self.revoked, time):
            raise CertificateError(
                f"{whose} was revoked {self.revoked.moment.strftime(FORMAT)} "
                f"({self.revoked.reason}), and no timestamp proves that it was signed before: "
                f"{time}"
            )
        if self.regulations is not None and regulation not in self.regulations:
            raise CertificateError(
                f"{whose} may certify under {', '.join(self.regulations)} only, not {regulation!r}"
            )

    @staticmethod
    def _stamped_before(revoked: Revocation, time: SigningTime) -> bool:
        return time.proof == "timestamp" and time.moment < revoked.moment


class KeyRing(NamedTuple):
    """The keys that certificates are checked with.

    Parameters
    ----------
    keys : mapping of str to TrustedKey
        By fingerprint.
    policy : str or None
        The file that they are from; None for a single key that the reader gave.
    """

    keys: Mapping[str, TrustedKey]
    policy: str | None = None

    @classmethod
    def of(cls, key: PublicKey) -> KeyRing:
        """Make the ring of one key that is trusted at any time."""
        return cls({key.fingerprint: TrustedKey(key)})

    def find(self, keyid: str) -> TrustedKey:
        """Return the key with a fingerprint.

        Raises
        ------
        CertificateError
            It is not on the ring.
        """
        found = self.keys.get(keyid)
        if found is not None:
            return found
        if self.policy is not None:
            raise CertificateError(
                f"it is signed with the key {keyid[:16]}, which the policy {self.policy} doesn't "
                "name: unknown key"
            )
        known = ", ".join(fingerprint[:16] for fingerprint in self.keys)
        raise CertificateError(
            f"it is signed with the key {keyid[:16]}, not with the key that it was checked with, "
            f"{known}"
        )


def load_policy(path: str | Path) -> KeyRing:
    """Read a trust policy.

    Parameters
    ----------
    path : path-like
        A JSON file; see `schema/trust-policy.schema.json`.

    Raises
    ------
    CertificateError
        The file is missing, is no policy, holds something that is not a public key, names a key
        twice, or gives a key an end before its beginning.

    Examples
    --------
    >>> ring = load_policy("trust.json")  # doctest: +SKIP
    >>> ring.find(keyid).holder  # doctest: +SKIP
    'Model Risk, Example Bank'
    """
    content = _read(path)
    keys: dict[str, TrustedKey] = {}
    for i, entry in enumerate(content["keys"]):
        try:
            key = _trusted(entry)
        except CertificateError as wrong:
            raise CertificateError(f"In the trust policy {path}, keys[{i}]: {wrong}") from wrong
        if key.public.fingerprint in keys:
            raise CertificateError(
                f"The trust policy {path} names the key {key.public.fingerprint[:16]} twice: "
                "give each key one entry."
            )
        keys[key.public.fingerprint] = key
    return KeyRing(keys, str(path))


def _read(path: str | Path) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            data = file.read(_LARGEST_POLICY)
    except OSError as failed:
        raise CertificateError(
            f"The trust policy {path} can't be read ({failed.strerror}): give the JSON file that "
            "names whose certificates you accept."
        ) from failed
    try:
        content: Any = parse(data)
        problem = first_error(content, load_schema("trust-policy.schema.json"))
    except ValueError as damaged:
        problem = str(damaged)
    if problem is not None:
        raise CertificateError(f"{path} is not a trust policy: {problem}.")
    found: dict[str, Any] = content
    return found


def _trusted(entry: dict[str, Any]) -> TrustedKey:
    holder, revoked = entry["holder"], entry.get("revoked")
    # They are shown in lines of text.
    for text in (holder, revoked["reason"] if revoked else ""):
        if not text.isprintable():
            raise CertificateError(f"{text!r} is not one line of text")
    times = {name: parse_time(entry[name]) for name in ("not_before", "not_after") if name in entry}
    if len(times) == 2 and times["not_after"] < times["not_before"]:
        raise CertificateError("not_after is before not_before")
    regulations = entry.get("regulations")
    return TrustedKey(
        parse_public_key(entry["public_key"], f"the public_key of {holder}"),
        holder,
        **times,
        revoked=revoked and Revocation(parse_time(revoked["time"]), revoked["reason"]),
        regulations=None if regulations is None else tuple(regulations),
    )
