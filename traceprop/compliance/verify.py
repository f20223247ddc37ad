"""Checking a certificate offline: whose it is, that no bit of it changed, and that it makes sense.

Promise: `verify` accepts only the exact bytes that the key's holder signed, in their one form; any
other file gets a verdict with its reason, whatever its bytes are. Nothing inside is read before the
signature is checked. It needs neither torch nor NumPy nor a network, and a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traceprop.audit import merkle
from traceprop.audit.canonical import canonical, parse
from traceprop.compliance.draft import is_draft
from traceprop.compliance.envelope import open_envelope
from traceprop.compliance.keys import (
    PublicKey,
    default_key_path,
    load_public_key,
    public_path,
)
from traceprop.compliance.schema_check import first_error, load_schema
from traceprop.errors import CertificateError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Verdict:
    """The answer to whether a certificate holds. It is true or false as `ok` is.

    Parameters
    ----------
    ok : bool
        Whether every check passed.
    reason : str
        One line that says which file, and why or why not.
    statement : dict or None
        What the certificate says; None unless `ok`, so that nothing unverified is ever used.
    """

    ok: bool
    reason: str
    statement: dict[str, Any] | None = field(default=None, repr=False)

    def __bool__(self) -> bool:
        return self.ok


def verify(
    path: str | Path,
    key: str | Path | None = None,
    *,
    model: nn.Module | Mapping[str, Any] | None = None,
) -> Verdict:
    """Check a certificate file.

    Parameters
    ----------
    path : path-like
        The certificate.
    key : path-like, optional
        The signer's public key, a PEM file. Left out, your own (beside `default_key_path()`).
    model : torch.nn.Module or mapping of str to array, optional
        The model, or its weights by name, that the certificate should be about: they are held
        against its digest too.

    Returns
    -------
    Verdict

    Raises
    ------
    CertificateError
        The question can't be asked: no such file, or no public key to check with.

    Examples
    --------
    >>> verdict = verify("certificate.json", "signing.key.pub")  # doctest: +SKIP
    >>> verdict.ok, verdict.reason  # doctest: +SKIP
    """
    try:
        data = Path(path).read_bytes()
    except OSError as failed:
        raise CertificateError(
            f"The certificate {path} can't be read ({failed.strerror}): give the file that "
            "Report.save wrote."
        ) from failed
    public = load_public_key(key) if key is not None else _own_public_key()
    verdict = verify_bytes(data, public)
    if verdict and model is not None:
        verdict = _compare_model(verdict, model)
    return replace(verdict, reason=f"{path}: {verdict.reason}")


def verify_bytes(data: bytes, key: PublicKey) -> Verdict:
    """Check a certificate's bytes with a public key; as `verify`, for any input at all."""
    try:
        return _accept(*_authentic(data, key))
    except CertificateError as refused:
        return Verdict(False, f"NOT VALID: {refused}")


def _authentic(data: bytes, key: PublicKey) -> tuple[dict[str, Any], str]:
    """Return what the key's holder signed, and their fingerprint."""
    if is_draft(data):
        raise CertificateError("this is a draft: it is not signed and proves nothing")
    envelope = open_envelope(data)
    if envelope.keyid != key.fingerprint:
        raise CertificateError(
            f"it is signed with the key {_short(envelope.keyid)}, not with the key that it was "
            f"checked with, {_short(key.fingerprint)}"
        )
    if not envelope.signed_by(key):
        raise CertificateError("the signature doesn't fit: the content was changed after signing")
    try:
        statement = parse(envelope.payload)
        one_form = canonical(statement) == envelope.payload
    except ValueError as damaged:
        raise CertificateError(f"what was signed is not plain JSON: {damaged}") from damaged
    problem = "it is not RFC 8785 JSON" if not one_form else _schema_problem(statement)
    if problem is not None:
        raise CertificateError(f"what was signed is not a removal statement: {problem}")
    return statement, envelope.keyid


def _schema_problem(statement: Any) -> str | None:
    return first_error(statement, load_schema("statement.schema.json"))


def _accept(statement: dict[str, Any], keyid: str) -> Verdict:
    """Check what no schema can say: the parts of a statement agree with each other."""
    predicate = statement["predicate"]
    if predicate["draft"]:
        raise CertificateError("it calls itself a draft, and drafts are not to be signed")
    if predicate["signer"] != {"keyid": keyid}:
        raise CertificateError("it names another signer than the key that signed it")
    if statement["subject"][0]["digest"] != predicate["models"]["after"]:
        raise CertificateError("its subject is not the model after the removal")
    forgotten = predicate["forget_set"]
    tree, size = forgotten["tree"], forgotten["n_samples"] + forgotten["n_rows"]
    leaves = [bytes.fromhex(leaf) for leaf in tree["leaves"]]
    if not tree["size"] == len(leaves) == len(set(leaves)) == size:
        raise CertificateError(
            "its sealed entries are not as many as the rows and samples it names"
        )
    if merkle.root(leaves).hex() != tree["root"]:
        raise CertificateError("its sealed entries don't lead to the root of their tree")
    return Verdict(True, _valid_line(predicate, keyid), statement)


def _valid_line(predicate: dict[str, Any], keyid: str) -> str:
    count = predicate["forget_set"]["n_samples"]
    samples = "1 sample" if count == 1 else f"{count} samples"
    return (
        f"valid: removal of {samples} ({predicate['removal']['removal_class']}) from model "
        f"{_short(predicate['models']['before']['sha256'])}, giving model "
        f"{_short(predicate['models']['after']['sha256'])}; signed with the key {_short(keyid)}, "
        f"time {predicate['issued']['time']} ({predicate['issued']['proof']})"
    )


def _compare_model(verdict: Verdict, model: nn.Module | Mapping[str, Any]) -> Verdict:
    from traceprop.curvature.digest import model_digest

    assert verdict.statement is not None
    digest, models = model_digest(model), verdict.statement["predicate"]["models"]
    if digest == models["after"]["sha256"]:
        return Verdict(True, f"{verdict.reason}; this is that model", verdict.statement)
    which = (
        "the model before the removal, not the one after it"
        if digest == models["before"]["sha256"]
        else f"another one: its digest is {_short(digest)}"
    )
    return Verdict(
        False, f"NOT VALID for this model: the certificate is sound, but the model is {which}"
    )


def _own_public_key() -> PublicKey:
    path = public_path(default_key_path())
    if not path.exists():
        raise CertificateError(
            f"There is no public key to check with ({path} is not there): give the signer's with "
            "key=, --key on the command line."
        )
    return load_public_key(path)


def _short(digest: str) -> str:
    return digest[:16]
