"""Timestamps of RFC 3161: proof by a third party that a certificate was there at a certain time.

A timestamp is over the certificate file's exact bytes, and lies beside it as `<file>.tsr`: the
certificate stays as it was signed. `openssl ts -verify -data FILE -in FILE.tsr -CAfile ROOT` checks
the same. Promise: no network but in `request_timestamp`, and there only the URL that was given.

See RFC 3161; the library is `rfc3161-client` (extra `[timestamp]`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from traceprop.compliance.der import sort_certificates
from traceprop.compliance.envelope import open_envelope
from traceprop.compliance.times import timestamp_path
from traceprop.errors import CertificateError
from traceprop.files import write_file
from traceprop.lazy import needing_extras
from traceprop.printable import one_line

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from rfc3161_client import TimeStampRequest, TimeStampResponse

_LARGEST_RESPONSE = 1024 * 1024
_SECONDS = 30.0


@dataclass(frozen=True)
class Timestamp:
    """A timestamp that is still to be checked, and with what.

    Parameters
    ----------
    answer : bytes
        A timestamp authority's answer (a DER `TimeStampResp`).
    roots : list of cryptography.x509.Certificate
        The authorities' root certificates that are trusted.
    """

    answer: bytes
    roots: list[Certificate]

    def check(self, data: bytes) -> datetime:
        """Verify that these bytes were stamped, and return when (UTC).

        Raises
        ------
        CertificateError
            It is damaged, of other bytes, or not signed by an authority under one of the roots.
        """
        with needing_extras():
            from rfc3161_client import VerificationError, VerifierBuilder
        from cryptography.exceptions import InternalError, UnsupportedAlgorithm
        from cryptography.x509 import DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType

        response = _decode(self.answer)
        try:
            VerifierBuilder(roots=self.roots).build().verify_message(response, data)
        except (
            VerificationError,
            # What a damaged certificate within the answer raises.
            *(ValueError, InvalidVersion, DuplicateExtension, UnsupportedGeneralNameType),
            *(UnsupportedAlgorithm, InternalError),
        ) as refused:
            raise CertificateError(
                f"its timestamp doesn't verify: {one_line(str(refused))}"
            ) from refused
        return response.tst_info.gen_time.astimezone(UTC)


def request_timestamp(
    certificate: str | Path, url: str, roots: str | Path | None = None
) -> tuple[Path, datetime]:
    """Have a timestamp authority stamp a certificate, and write the timestamp beside it.

    Only a SHA-256 of the file is sent.

    Parameters
    ----------
    certificate : path-like
        A signed certificate.
    url : str
        The authority's http or https address.
    roots : path-like, optional
        Its root certificates in PEM form, to check the answer with before it is kept. Left out,
        the answer is only known to be about this file and this request.

    Returns
    -------
    tuple of Path and datetime
        The timestamp's file, and its time (UTC).

    Raises
    ------
    CertificateError
        The file is no signed certificate or has a timestamp already, the authority can't be
        reached, or its answer is no timestamp of this file.

    Examples
    --------
    >>> request_timestamp("certificate.json", "https://tsa.example/")  # doctest: +SKIP
    """
    with needing_extras():
        import rfc3161_client
    data, sidecar = _read(certificate, "certificate"), timestamp_path(certificate)
    trusted = None if roots is None else load_roots(roots)
    open_envelope(data)
    if sidecar.exists():
        raise CertificateError(
            f"{certificate} has a timestamp already, {sidecar}: the older one proves more."
        )
    request = (
        rfc3161_client.TimestampRequestBuilder()
        .data(data)
        .hash_algorithm(rfc3161_client.HashAlgorithm.SHA256)
        .cert_request(cert_request=True)
        .build()
    )
    answer = _post(url, request.as_bytes())
    try:
        time = _answers(_decode(answer), request)
        if trusted is not None:
            Timestamp(answer, trusted).check(data)
    except CertificateError as wrong:
        raise CertificateError(f"The answer of {url} was not kept: {wrong}.") from wrong
    try:
        write_file(sidecar, answer, replace=False)
    except OSError as failed:
        raise CertificateError(
            f"The timestamp can't be written to {sidecar} ({failed.strerror}): put the certificate "
            "in a folder that is writable."
        ) from failed
    return sidecar, time


def load_roots(path: str | Path) -> list[Certificate]:
    """Read the root certificates of timestamp authorities: one or more, in PEM form.

    Raises
    ------
    CertificateError
        The file is missing or holds none.
    """
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(_read(path, "timestamp authority's root certificate"))
    except ValueError as damaged:
        raise CertificateError(
            f"{path} holds no X.509 certificate in PEM form: give the timestamp authority's root."
        ) from damaged


def timestamp_beside(certificate: str | Path, roots: str | Path) -> Timestamp:
    """Read the timestamp that lies beside a certificate, to be checked with it.

    Raises
    ------
    CertificateError
        There is none, or the file of root certificates can't be read.
    """
    trusted = load_roots(roots)
    return Timestamp(_read(timestamp_path(certificate), "timestamp"), trusted)


def _decode(answer: bytes) -> TimeStampResponse:
    """Read an answer, and refuse one that grants no timestamp."""
    from rfc3161_client import PKIStatus, decode_timestamp_response

    try:
        response = decode_timestamp_response(sort_certificates(answer))
        if response.status == PKIStatus.GRANTED:
            # The parts are decoded when they are asked for.
            _ = response.tst_info.gen_time, response.signed_data
            return response
        reason = one_line(" ".join(response.status_string))
        said = f"the authority refused: {reason or 'no reason given'}"
    except ValueError as damaged:
        raise CertificateError(
            f"it is no timestamp of RFC 3161: {one_line(str(damaged))}"
        ) from damaged
    raise CertificateError(said)


def _answers(response: TimeStampResponse, request: TimeStampRequest) -> datetime:
    """Make sure that an answer is to this request; return its time."""
    info = response.tst_info
    if info.message_imprint.message != request.message_imprint.message:
        raise CertificateError("it is a timestamp of another file")
    if info.nonce != request.nonce:
        raise CertificateError("it answers another request (its nonce differs)")
    return info.gen_time.astimezone(UTC)


def _post(url: str, body: bytes) -> bytes:
    if not url.lower().startswith(("https://", "http://")):
        raise CertificateError(f"{url!r} is no http or https address of a timestamp authority.")
    # Imported here: it takes longer than a whole verification, which needs no network.
    import urllib.request
    from http.client import HTTPException

    try:
        request = urllib.request.Request(
            url, data=body, headers={"Content-Type": "application/timestamp-query"}
        )
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            found: bytes = answer.read(_LARGEST_RESPONSE)
    except (OSError, HTTPException, ValueError) as failed:  # ValueError: no such address can be
        raise CertificateError(
            f"The timestamp authority {url} can't be reached: {one_line(str(failed))}. "
            "The certificate is valid without a timestamp; its time is then asserted."
        ) from failed
    return found


def _read(path: str | Path, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as failed:
        raise CertificateError(
            f"The {what} {path} can't be read ({failed.strerror}): check its name."
        ) from failed
