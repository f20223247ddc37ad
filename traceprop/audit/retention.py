"""Letting old things go: whole entries after their retention, and the keys of any entry.

Promises: what is let go is never younger than the retention that the log was set to; a checkpoint
in the chain says which entries went, so that the rest verifies as before; destroying an entry's key
changes no byte of the log, and afterwards the entry says nothing but its time and kind.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from traceprop.audit.canonical import canonical
from traceprop.audit.entry import Entry
from traceprop.audit.log import AuditLog, Head
from traceprop.audit.log_check import check_log
from traceprop.audit.log_files import reporting_log_errors
from traceprop.audit.opening import Opening
from traceprop.audit.settings import settings_of
from traceprop.errors import AuditError


def let_go(store: str | os.PathLike[str], now: datetime | None = None) -> int:
    """Drop the entries that are older than the log's retention, with their keys.

    Parameters
    ----------
    store : path-like
        The store's folder.
    now : datetime, optional
        With its time zone; the present if it isn't given.

    Returns
    -------
    int
        How many entries went.

    Raises
    ------
    AuditError
        The log doesn't verify (nothing is dropped then), or can't be written.
    """
    path = Path(store)
    found = check_log(path)
    if not found:
        raise AuditError(f"Nothing was let go, since the log doesn't verify. {found.reason}")
    days = settings_of(path).retention_days
    limit = (now or datetime.now(UTC)) - timedelta(days=days)
    old = _older(found.entries[:-1], limit)
    if not old:
        return 0
    log = AuditLog(path)
    plain = {
        "count": len(old),
        "retention_days": days,
        "through": old[-1].serial,
        "through_sha256": old[-1].sha256,
        "through_time": old[-1].time,
    }
    # First the checkpoint, on the disk: a crash in between leaves entries, not a gap.
    log.append("checkpoint", plain=plain)
    files = log.files
    with reporting_log_errors(files.folder), files.locked("head.lock"), files.locked():
        _rewrite(log, old[-1].serial)
    return len(old)


def destroy_keys(store: str | os.PathLike[str], serials: Iterable[int]) -> int:
    """Destroy the keys and facts of entries, for good. The log itself stays as it is.

    Parameters
    ----------
    store : path-like
        The store's folder.
    serials : iterable of int
        The entries' numbers.

    Returns
    -------
    int
        How many keys were there and are gone now. Copies in backups are not known here.

    Raises
    ------
    AuditError
        The log doesn't verify, has no such entry, or can't be written.
    """
    path, gone = Path(store), set(serials)
    log = AuditLog(path)
    with reporting_log_errors(log.files.folder), log.files.locked():
        found = check_log(path)
        if not found:
            raise AuditError(f"No key was destroyed, since the log doesn't verify. {found.reason}")
        unknown = gone - {entry.serial for entry in found.entries}
        if unknown:
            raise AuditError(
                f"The log has no entry {min(unknown)}: give numbers from `traceprop log show`."
            )
        kept = {n: opening for n, opening in found.openings.items() if n not in gone}
        log.files.drop_leavings(log.files.openings)
        log.files.replace(log.files.openings, _lines(kept))
    return len(found.openings) - len(kept)


def _older(entries: Iterable[Entry], limit: datetime) -> list[Entry]:
    """Return the entries at the front that are older; a clock set back keeps those behind it."""
    old = []
    for entry in entries:
        if datetime.fromisoformat(entry.time) >= limit:
            break
        old.append(entry)
    return old


def _rewrite(log: AuditLog, through: int) -> None:
    """Write the log and its openings anew without the first entries, and where the head is now."""
    found = check_log(log.store)
    kept = [entry for entry in found.entries if entry.serial > through]
    lines = [entry.to_line() for entry in kept]
    log.files.replace(log.files.log, b"".join(lines))
    openings = {n: opening for n, opening in found.openings.items() if n > through}
    log.files.drop_leavings(log.files.openings)
    log.files.replace(log.files.openings, _lines(openings))
    last, end = kept[-1], sum(map(len, lines))
    head = Head(last.log, last.serial, last.sha256, end - len(lines[-1]), end)
    log.files.replace(log.files.head, canonical(asdict(head)))


def _lines(openings: dict[int, Opening]) -> bytes:
    return b"".join(opening.to_line() for _, opening in sorted(openings.items()))
