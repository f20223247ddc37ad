"""The tie between a certificate and its store's audit log, both ways.

A certificate carries the log's head as it was when it was made; then the log gets an entry that
seals the certificate's number, content and models. Promise: that entry's key is derived from the
certificate's number, which nobody can guess, so that whoever has certificate and log can check
the tie without a secret, and whoever has the log alone learns nothing.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

from traceprop.audit.canonical import canonical
from traceprop.audit.entry import Entry, seal_facts
from traceprop.audit.log import AuditLog
from traceprop.audit.log_check import LogCheck
from traceprop.audit.recording import record
from traceprop.audit.settings import is_off, settings_of
from traceprop.compliance.times import CLOCKS_DIFFER, parse_time
from traceprop.errors import CertificateError


def log_state(store: Path) -> dict[str, Any]:
    """Return what a certificate says of the log now: its number and head, or that it is off."""
    days = settings_of(store).retention_days
    off = is_off(store)
    head = None if off else AuditLog(store).sync()
    return {
        "state": "off" if off else "on",
        "id": head and head.log,
        "head": head and {"serial": head.serial, "sha256": head.sha256},
        "retention_days": days,
    }


def record_export(store: Path, statement: dict[str, Any]) -> None:
    """Write into the log that a certificate was made; on the disk when this returns."""
    serial = statement["predicate"]["serial"]
    record(store, "export", _facts(statement), key=_key(serial))


def check_log_link(statement: dict[str, Any], log: LogCheck) -> str:
    """Hold a certificate against its store's log; return what the log says of it.

    Parameters
    ----------
    statement : dict
        The content of a certificate whose signature was verified.
    log : LogCheck
        What `check_log` found.

    Raises
    ------
    CertificateError
        The log was changed, is another one, or doesn't have this certificate.
    """
    if not log:
        raise CertificateError(f"the store's audit log was changed: {log.reason}")
    said = statement["predicate"]["log"]
    if said["state"] == "off":
        return "no audit log was kept when it was made"
    own = log.entries[0].log
    if said["id"] not in (None, own):
        raise CertificateError(
            f"it belongs to the audit log {_short(said['id'])}, the store has {_short(own)}: "
            "replayed from another store or another time"
        )
    if said["head"] is not None:
        _check_head(said["head"], log)
    return _check_export(statement, log, -1 if said["head"] is None else said["head"]["serial"])


def _check_head(head: dict[str, Any], log: LogCheck) -> None:
    serial, first = head["serial"], log.entries[0].serial
    if serial > log.entries[-1].serial:
        raise CertificateError(
            f"the audit log ends at entry {log.entries[-1].serial}, before the entry {serial} that "
            "the certificate was made after: entries are missing, or it is an older copy"
        )
    if serial >= first and log.entries[serial - first].sha256 != head["sha256"]:
        raise CertificateError(
            f"the audit log's entry {serial} is not the one that the certificate was made after"
        )


def _check_export(statement: dict[str, Any], log: LogCheck, after: int) -> str:
    predicate = statement["predicate"]
    sealed = seal_facts(_key(predicate["serial"]), _facts(statement))
    found = _export_entry(sealed["certificate"], log, after)
    if found is None:
        first = log.entries[0]
        made = parse_time(predicate["issued"]["time"])
        is_older = made <= datetime.fromisoformat(first.time) + CLOCKS_DIFFER
        if first.serial > after + 1 and is_older:
            return "its entry in the audit log may have been let go after the retention"
        raise CertificateError(
            f"its number {_short(predicate['serial'])} is not in the store's audit log: replayed, "
            "or not made from this store"
        )
    for name, what in _COMPARED.items():
        if found.commitments.get(name) != sealed[name]:
            raise CertificateError(
                f"the audit log has its number at entry {found.serial}, with another {what}: "
                "replayed"
            )
    return f"it is entry {found.serial} of the audit log"


def _export_entry(certificate: str, log: LogCheck, after: int) -> Entry | None:
    for entry in log.entries:
        is_later = entry.serial > after and entry.kind == "export"
        if is_later and entry.commitments.get("certificate") == certificate:
            return entry
    return None


_COMPARED = {
    "model_before_sha256": "model before the removal",
    "model_after_sha256": "model after the removal",
    "statement_sha256": "content",
}


def _facts(statement: dict[str, Any]) -> dict[str, Any]:
    predicate = statement["predicate"]
    return {
        "certificate": predicate["serial"],
        "model_before_sha256": predicate["models"]["before"]["sha256"],
        "model_after_sha256": predicate["models"]["after"]["sha256"],
        "statement_sha256": hashlib.sha256(canonical(statement)).hexdigest(),
    }


def _key(serial: str) -> bytes:
    return hashlib.sha256(b"traceprop log certificate 1\0" + serial.encode()).digest()


def _short(digest: str) -> str:
    return digest[:16]
