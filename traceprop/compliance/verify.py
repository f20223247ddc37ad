"""Checking a certificate offline: whose it is, that no bit of it changed, and that it makes sense.

Promise: `verify` accepts only the exact bytes that the key's holder signed, in their one form; any
other file gets a verdict with its reason, whatever its bytes are. Nothing inside is read before the
signature is checked. It needs neither torch nor NumPy nor a network, and a few milliseconds.

Here and in the modules that this one imports, records are named tuples: `dataclasses` brings
`inspect` along, and would be a quarter of the time that checking a file takes from Python's start.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
from traceprop.compliance.policy import KeyRing, TrustedKey, load_policy
from traceprop.compliance.schema_check import first_error, load_schema
from traceprop.compliance.times import SigningTime, signing_time, timestamp_path
from traceprop.errors import CertificateError
from traceprop.printable import one_line

if TYPE_CHECKING:
    from torch import nn

    from traceprop.compliance.replay import Replay
    from traceprop.compliance.timestamp import Timestamp

# A certificate has about 90 bytes a removed row; a device without an end is not to fill the memory.
_LARGEST = 1 << 30


class Verdict(NamedTuple):
    """The answer to whether a certificate holds. It is true or false as `ok` is.

    Parameters
    ----------
    ok : bool
        Whether every check passed.
    reason : str
        One line that says which file, and why or why not.
    statement : dict or None
        What the certificate says; None unless `ok`, so that nothing unverified is ever used.
    time : SigningTime or None
        When it was signed, asserted or proven by a timestamp; None unless `ok`.
    holder : str or None
        Whose key signed it, where a trust policy says so.
    """

    ok: bool
    reason: str
    statement: dict[str, Any] | None = None
    time: SigningTime | None = None
    holder: str | None = None

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"Verdict(ok={self.ok}, reason={self.reason!r})"


def verify(
    path: str | Path,
    key: str | Path | None = None,
    *,
    policy: str | Path | None = None,
    holder: str | None = None,
    tsa_cert: str | Path | None = None,
    model: nn.Module | Mapping[str, Any] | None = None,
    store: str | Path | None = None,
    replay: Replay | None = None,
) -> Verdict:
    """Check a certificate file.

    Parameters
    ----------
    path : path-like
        The certificate.
    key : path-like, optional
        The signer's public key, a PEM file. Left out, and without a policy, your own (beside
        `default_key_path()`).
    policy : path-like, optional
        A trust policy: whose certificates are accepted, and when (`policy.load_policy`).
    holder : str, optional
        Whose certificate it must be, by the policy's name for them.
    tsa_cert : path-like, optional
        Root certificates of timestamp authorities (PEM). The timestamp beside the certificate,
        `<path>.tsr`, must then be there and hold; its time is the one that counts.
    model : torch.nn.Module or mapping of str to array, optional
        The model, or its weights by name, that the certificate should be about: they are held
        against its digest too.
    store : path-like, optional
        The store that it was made from: model, lineage, sources and the audit log beside it are
        held against the certificate. The check is written into that log.
    replay : Replay, optional
        Run the removal again from the store, and compare the models; with `model`, within a
        tolerance, else to the bit.

    Returns
    -------
    Verdict

    Raises
    ------
    CertificateError
        The question can't be asked: no such file, no public key to check with, a policy that is
        none, a key and a policy at once, no store, or a removal that can't be run again.

    Examples
    --------
    >>> verdict = verify("certificate.json", "signing.key.pub")  # doctest: +SKIP
    >>> verdict.ok, verdict.reason  # doctest: +SKIP
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as failed:
        raise CertificateError(
            f"The certificate {path} can't be read ({failed.strerror}): give the file that "
            "Report.save wrote."
        ) from failed
    if len(data) > _LARGEST:
        raise CertificateError(f"{path} is larger than {_LARGEST} bytes: it was not read.")
    keys = _key_ring(key, policy, holder)
    timestamp = None if tsa_cert is None else _timestamp(path, tsa_cert)
    verdict = verify_bytes(data, keys, holder=holder, timestamp=timestamp)
    if verdict and timestamp is None and timestamp_path(path).exists():
        verdict = verdict._replace(reason=f"{verdict.reason}; its timestamp was not checked")
    if verdict and model is not None:
        verdict = _compare_model(verdict, model)
    if store is not None:
        verdict = _compare_store(verdict, data, store, replay, model)
    elif replay is not None:
        raise CertificateError("A removal is run again from its store: give store= too.")
    return verdict._replace(reason=one_line(f"{path}: {verdict.reason}"))


def verify_bytes(
    data: bytes,
    keys: PublicKey | KeyRing,
    *,
    holder: str | None = None,
    timestamp: Timestamp | None = None,
) -> Verdict:
    """Check a certificate's bytes; as `verify`, for any input at all.

    Parameters
    ----------
    data : bytes
        The file's content.
    keys : PublicKey or KeyRing
        The signer's key, or the keys of a trust policy.
    holder : str, optional
        Whose certificate it must be, by the policy's name for them.
    timestamp : Timestamp, optional
        Must hold for these bytes, if it is given.
    """
    ring = KeyRing.of(keys) if isinstance(keys, PublicKey) else keys
    try:
        statement, key = _authentic(data, ring)
        _check_parts(statement["predicate"], statement["subject"], key.public.fingerprint)
        stamped = None if timestamp is None else timestamp.check(data)
        time = signing_time(statement["predicate"]["issued"]["time"], stamped)
        key.check(time, statement["predicate"]["regulation"]["id"])
        if holder is not None and key.holder != holder:
            whose = key.holder or "a key whose holder is not named"
            raise CertificateError(f"it is signed by {whose}, not by {holder}: another holder")
    except CertificateError as refused:
        return Verdict(False, f"NOT VALID: {refused}")
    line = _valid_line(statement["predicate"], key, time)
    return Verdict(True, line, statement, time, key.holder)


def _authentic(data: bytes, keys: KeyRing) -> tuple[dict[str, Any], TrustedKey]:
    """Return what was signed with one of the keys, and that key."""
    if is_draft(data):
        raise CertificateError("this is a draft: it is not signed and proves nothing")
    envelope = open_envelope(data)
    key = keys.find(envelope.keyid)
    if not envelope.signed_by(key.public):
        raise CertificateError("the signature doesn't fit: the content was changed after signing")
    try:
        statement = parse(envelope.payload)
        one_form = canonical(statement) == envelope.payload
    except ValueError as damaged:
        raise CertificateError(f"what was signed is not plain JSON: {damaged}") from damaged
    problem = "it is not RFC 8785 JSON" if not one_form else _schema_problem(statement)
    if problem is not None:
        raise CertificateError(f"what was signed is not a removal statement: {problem}")
    return statement, key


def _schema_problem(statement: Any) -> str | None:
    return first_error(statement, load_schema("statement.schema.json"))


def _check_parts(predicate: dict[str, Any], subject: list[dict[str, Any]], keyid: str) -> None:
    """Check what no schema can say: the parts of a statement agree with each other."""
    if predicate["draft"]:
        raise CertificateError("it calls itself a draft, and drafts are not to be signed")
    if predicate["signer"] != {"keyid": keyid}:
        raise CertificateError("it names another signer than the key that signed it")
    if subject[0]["digest"] != predicate["models"]["after"]:
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


def _valid_line(predicate: dict[str, Any], key: TrustedKey, time: SigningTime) -> str:
    count = predicate["forget_set"]["n_samples"]
    samples = "1 sample" if count == 1 else f"{count} samples"
    holder = "" if key.holder is None else f" of {key.holder}"
    return (
        f"valid: removal of {samples} ({predicate['removal']['removal_class']}) from model "
        f"{_short(predicate['models']['before']['sha256'])}, giving model "
        f"{_short(predicate['models']['after']['sha256'])}; signed with the key "
        f"{_short(key.public.fingerprint)}{holder}, time {time}"
    )


def _compare_model(verdict: Verdict, model: nn.Module | Mapping[str, Any]) -> Verdict:
    from traceprop.curvature.digest import model_digest

    assert verdict.statement is not None
    digest, models = model_digest(model), verdict.statement["predicate"]["models"]
    if digest == models["after"]["sha256"]:
        return verdict._replace(reason=f"{verdict.reason}; this is that model")
    which = (
        "the model before the removal, not the one after it"
        if digest == models["before"]["sha256"]
        else f"another one: its digest is {_short(digest)}"
    )
    return Verdict(
        False, f"NOT VALID for this model: the certificate is sound, but the model is {which}"
    )


def _compare_store(
    verdict: Verdict,
    data: bytes,
    store: str | Path,
    replay: Replay | None,
    model: nn.Module | Mapping[str, Any] | None,
) -> Verdict:
    from traceprop.compliance.against_store import hold_against_store, record_verification
    from traceprop.compliance.replay import UncheckedError

    weights = model if model is None or isinstance(model, Mapping) else model.state_dict()
    if verdict.statement is not None:
        try:
            agreed = hold_against_store(verdict.statement, store, replay, weights)
            verdict = verdict._replace(reason=f"{verdict.reason}; {agreed}")
        except UncheckedError:
            raise
        except CertificateError as refused:
            verdict = Verdict(
                False, f"NOT VALID for this store: it is rightly signed, but {refused}"
            )
    noted = record_verification(store, data, valid=verdict.ok)
    return verdict._replace(reason=f"{verdict.reason}{noted}")


def _key_ring(key: str | Path | None, policy: str | Path | None, holder: str | None) -> KeyRing:
    if policy is None:
        if holder is not None:
            raise CertificateError("holder= needs policy=, the file that says whose key is whose.")
        return KeyRing.of(load_public_key(key) if key is not None else _own_public_key())
    if key is not None:
        raise CertificateError("Give a key or a policy to check with, not both.")
    return load_policy(policy)


def _timestamp(path: str | Path, roots: str | Path) -> Timestamp:
    from traceprop.compliance.timestamp import timestamp_beside

    return timestamp_beside(path, roots)


def _own_public_key() -> PublicKey:
    path = public_path(default_key_path())
    if not path.exists():
        raise CertificateError(
            f"There is no public key to check with ({path} is not there): give the signer's with "
            "key= or a trust policy with policy=, --key or --policy on the command line."
        )
    return load_public_key(path)


def _short(digest: str) -> str:
    return digest[:16]
