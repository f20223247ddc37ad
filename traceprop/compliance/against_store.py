"""Holding a verified certificate against the store that it was made from, and the store's log.

Promise: model, lineage, sources and the audit log's entry are compared, each difference is named;
the check itself is written into the log, if that is sound and can be written, and else the answer
says that it was not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traceprop.audit.log_check import LogCheck, check_log
from traceprop.audit.recording import record
from traceprop.audit.settings import is_off
from traceprop.compliance.evidence import public_uri
from traceprop.compliance.log_link import check_log_link
from traceprop.compliance.purged import check_purged
from traceprop.compliance.replay import Replay, UncheckedError, replay_removal
from traceprop.errors import AuditError, CertificateError, StoreError, TracepropError

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore


def hold_against_store(
    statement: dict[str, Any],
    store: str | Path,
    replay: Replay | None,
    weights: Mapping[str, Any] | None,
) -> str:
    """Compare a certificate with its store, and return what agrees, in one line.

    Parameters
    ----------
    statement : dict
        The content of a certificate whose signature was verified.
    store : path-like
        The store's folder.
    replay : Replay, optional
        Run the removal again, too.
    weights : mapping of str to array, optional
        The weights after the removal, known to have the certificate's digest.

    Raises
    ------
    CertificateError
        Something doesn't agree.
    UncheckedError
        There is no such store, it has no log, or the removal can't be run again.
    """
    from traceprop.attribution.store.gradient_store import GradientStore

    try:
        opened = GradientStore.open(store)
        _check_store(statement["predicate"], opened)
    except StoreError as missing:
        raise UncheckedError(str(missing)) from missing
    agreed = ["the store agrees", check_log_link(statement, _log(statement, opened.path))]
    if statement["predicate"]["purge"]["proof"] is not None:
        agreed.append(check_purged(statement["predicate"], opened))
    if replay is not None:
        try:
            agreed.append(replay_removal(statement, opened, replay, weights))
        except CertificateError:
            raise
        except TracepropError as unable:
            raise UncheckedError(f"the removal can't be run again: {unable}") from unable
    return "; ".join(agreed)


def record_verification(store: str | Path, data: bytes, *, valid: bool) -> str:
    """Write a check into the store's log; return what a reader must know, or nothing.

    Parameters
    ----------
    store : path-like
        The store's folder.
    data : bytes
        The certificate's file.
    valid : bool
        What the answer was.
    """
    facts = {"file_sha256": hashlib.sha256(data).hexdigest(), "valid": valid}
    try:
        if is_off(Path(store)):
            return ""
        if not check_log(store):
            return "; this check was not recorded, since the log is not sound"
        record(store, "verification", facts)
    except AuditError:
        return "; this check was not recorded, since the log can't be written"
    return ""


def _log(statement: dict[str, Any], store: Path) -> LogCheck:
    try:
        return check_log(store)
    except AuditError as missing:
        if statement["predicate"]["log"]["state"] == "off":
            return LogCheck(True, "no log", None, (), {})
        raise UncheckedError(str(missing)) from missing


def _check_store(predicate: dict[str, Any], store: GradientStore) -> None:
    assert store.record is not None
    said, held = predicate["models"]["before"]["sha256"], store.record.model_digest
    if said != held:
        raise CertificateError(
            f"the store recorded the model {held[:16]}, and the rows were removed from "
            f"{said[:16]}: another store, or replayed from another time"
        )
    lineage = predicate["lineage"] and predicate["lineage"]["sha256"]
    if lineage != store.lineage_digest():
        raise CertificateError("the store's lineage is not the one that the certificate names")
    sources = {(source["uri"], source["sha256"]) for source in predicate["sources"]}
    if sources != {(public_uri(source.uri), source.sha256) for source in store.sources}:
        raise CertificateError("the store's sources are not those that the certificate names")
