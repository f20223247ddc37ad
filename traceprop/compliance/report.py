"""`export_compliance`: from a finished removal to a signed certificate.

Promise: everything is checked before anything is written or signed; a call that raises leaves no
file behind, but for a signing key that it was the first to need. A signed certificate is in the
store's audit log before it is returned.
"""

from __future__ import annotations

import copy
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traceprop.audit import merkle
from traceprop.audit.canonical import canonical, parse
from traceprop.audit.commitments import sealed_entries
from traceprop.audit.folder import key_path, save_key
from traceprop.compliance.draft import draft_bytes
from traceprop.compliance.envelope import sign
from traceprop.compliance.evidence import forget_messages, gather
from traceprop.compliance.export import export_statement
from traceprop.compliance.keys import SigningKey, public_path, signing_key
from traceprop.compliance.log_link import log_state, record_export
from traceprop.compliance.regulations import load_regulation
from traceprop.compliance.statement import build_statement, check_before_signing
from traceprop.compliance.summary import describe
from traceprop.errors import CertificateError
from traceprop.files import write_file
from traceprop.unlearning.records.removal_record import removal_of

if TYPE_CHECKING:
    from torch import nn

    from traceprop.attribution.store.erasure.forget import ForgetSet
    from traceprop.attribution.store.gradient_store import GradientStore


@dataclass(frozen=True)
class Report:
    """A certificate, or a draft of one, ready to be saved.

    Parameters
    ----------
    content : bytes
        The file's content.
    key_file : Path or None
        The secret that shows which rows the certificate names; None for a draft.
    """

    content: bytes = field(repr=False)
    key_file: Path | None
    _statement: dict[str, Any] = field(repr=False)

    @property
    def draft(self) -> bool:
        """Whether this is a draft: unsigned, and no evidence."""
        return bool(self._statement["predicate"]["draft"])

    @property
    def serial(self) -> str:
        """The certificate's number, 32 hex digits."""
        return str(self._statement["predicate"]["serial"])

    def save(self, path: str | Path) -> Path:
        """Write the certificate in one step; a file that is there is replaced.

        Returns
        -------
        Path
            Where it is.

        Raises
        ------
        CertificateError
            The folder is not there or can't be written; what was there stays as it was.
        """
        path = Path(path)
        try:
            write_file(path, self.content)
        except OSError as failed:
            raise CertificateError(
                f"The certificate can't be written to {path} ({failed.strerror}): name a file in a "
                "folder that is there and writable."
            ) from failed
        return path

    def to_dict(self) -> dict[str, Any]:
        """Return what the certificate says: the in-toto statement, as plain JSON values."""
        return copy.deepcopy(self._statement)

    def summary(self) -> str:
        """Return what the certificate says in plain words."""
        return describe(self._statement)

    def to_prov(self) -> dict[str, Any]:
        """Return the certificate as W3C PROV-JSON (extra `[report]`).

        No export holds a row, a person or a sealed entry; each names this certificate by number
        and SHA-256, and is not signed itself.

        Raises
        ------
        CertificateError
            This is a draft.
        """
        return export_statement("prov", self._statement, self.content)

    def to_openlineage(self) -> dict[str, Any]:
        """Return the certificate as an OpenLineage run event (extra `[report]`); see `to_prov`."""
        return export_statement("openlineage", self._statement, self.content)

    def to_cyclonedx(self) -> dict[str, Any]:
        """Return the certificate as a CycloneDX 1.6 ML-BOM (extra `[report]`); see `to_prov`."""
        return export_statement("cyclonedx", self._statement, self.content)


def export_compliance(
    model_before: nn.Module,
    model_after: nn.Module,
    forget_set: ForgetSet,
    store: GradientStore,
    regulation: str,
    key: str | Path | None = None,
    draft: bool = False,
    requester: str | None = None,
    approver: str | None = None,
    legal_hold: str | None = None,
) -> Report:
    """Make a certificate of a removal.

    Parameters
    ----------
    model_before : torch.nn.Module
        The model that `approximate_unlearn` was given.
    model_after : torch.nn.Module
        The model that it returned; it carries the record of what was done.
    forget_set : ForgetSet
        What was removed.
    store : GradientStore
        The store that the forget set is from.
    regulation : str
        Whose clauses to hold the evidence against: `EU_AI_ACT_ART26`, `EU_AI_ACT_ART12`,
        `EU_AI_ACT_ART86`, `GDPR_ART17` or `CCPA_1798_105`.
    key : path-like, optional
        Your private signing key, an unencrypted Ed25519 key in PEM form with mode 0600. Left out,
        your own default key, which is made at first use, with a note on standard error.
    draft : bool
        Make an unsigned draft to look at: no key is used or made, and it says so in every view.
    requester, approver : str, optional
        Who asked for the removal, and who approved it; by default as the removal was told. They
        are written into the certificate.
    legal_hold : str, optional
        What was found about duties to keep the rows (retention, legal claims), in one line. It is
        written into the certificate; left out, that says that nothing was stated.

    Returns
    -------
    Report
        Has `.save(path)`, `.to_dict()` and `.summary()`.

    Raises
    ------
    CertificateError
        Models, forget set and store don't belong together, the regulation is not known, or the
        key can't be used.
    AuditError
        The store's audit log can't be written.

    Notes
    -----
    The certificate names no row. Each is sealed under a random key, written to
    `<store>.audit/keys/<serial>.json` with mode 0600: see `traceprop.compliance.prove_row`.

    Examples
    --------
    >>> report = export_compliance(model, theta_prime, forget_set, store,
    ...                            "EU_AI_ACT_ART26")  # doctest: +SKIP
    >>> report.save("article26_cert.json")  # doctest: +SKIP
    """
    clauses = load_regulation(regulation)
    done = removal_of(model_after)
    responsible = {
        "requester": _line("requester", requester or (done and done.requester)),
        "approver": _line("approver", approver or (done and done.approver)),
        "legal_hold": _line("legal_hold", legal_hold),
    }
    evidence = gather(model_before, model_after, forget_set, store)
    signer = None if draft else _signer(key)
    serial, secret = secrets.token_hex(16), secrets.token_bytes(merkle.KEY_BYTES)
    payload = canonical(
        build_statement(
            evidence,
            sealed_entries(secret, forget_messages(forget_set, evidence.uris)),
            clauses,
            serial=serial,
            keyid=None if signer is None else signer.fingerprint,
            responsible=responsible,
            log=log_state(store.path),
        )
    )
    # What the report shows is what the certificate's reader gets: the values of its bytes.
    statement = parse(payload)
    check_before_signing(statement)
    if signer is None:
        return Report(draft_bytes(statement), None, statement)
    key_file = key_path(store.path, serial)
    save_key(key_file, serial, secret)
    record_export(store.path, statement)
    return Report(sign(payload, signer).to_bytes(), key_file, statement)


def _line(role: str, text: object) -> str | None:
    """Return what a user stated, if it can stand in a certificate."""
    if text is None or (isinstance(text, str) and text.isprintable()):
        return text
    raise CertificateError(
        f"{role}={text!r} can't stand in a certificate: give one line of text, or leave it out."
    )


def _signer(path: str | Path | None) -> SigningKey:
    key = signing_key(path)
    if key.made:
        print(
            f"Traceprop made a signing key: {key.path} (keep it private; its public half is "
            f"{public_path(key.path)})\nFingerprint: {key.fingerprint}",
            file=sys.stderr,
        )
    return key
