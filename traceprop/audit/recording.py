"""What happens to a store goes into its audit log: the one call for all who have something to say.

Promises: removals, erasures, holds and exports are on the disk before `record` returns; queries
and verifications are in the file then, which the end of the process can't undo, and on the disk
within a second or at the program's end: a power cut can lose those of the last second, and nothing
else. Where that fails, the next record raises. Nothing is written where the log is switched off.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traceprop.audit.entry import Entry
from traceprop.audit.log import AuditLog
from traceprop.audit.settings import switched_off_here
from traceprop.errors import AuditError

WITHIN_S = 0.5
"""After how long entries are put on the disk, less the time that takes."""

_AT_ONCE = ("removal", "erasure", "hold", "export", "settings")


def record(
    store: str | os.PathLike[str],
    kind: str,
    facts: Mapping[str, Any],
    *,
    key: bytes | None = None,
) -> Entry | None:
    """Write down that something happened to a store.

    Parameters
    ----------
    store : path-like
        The store's folder.
    kind : {"query", "removal", "erasure", "hold", "export", "verification"}
        What happened.
    facts : mapping of str to JSON value
        About it; sealed in the log, and kept beside it with their key.
    key : bytes, optional
        The key to seal under; a random one if it isn't given.

    Returns
    -------
    Entry or None
        None where the log is switched off.

    Raises
    ------
    AuditError
        The log can't be written, or isn't what it was.
    """
    if switched_off_here():
        return None
    log = _log_of(Path(store))
    if not log.settings.on:
        return None
    at_once = kind in _AT_ONCE
    _LATER.raise_failure(log)
    entry = log.append(kind, facts, key=key, durable=at_once)
    if not at_once:
        _LATER.sync_soon(log)
    return entry


def flush() -> None:
    """Put every entry of this process on the disk; nothing is written behind it afterwards.

    Raises
    ------
    AuditError
        That failed.
    """
    _LATER.sync_now()


_LOGS: dict[str, AuditLog] = {}


def _log_of(store: Path) -> AuditLog:
    """Return this process's log of a store: it knows where it wrote last."""
    resolved = os.path.realpath(store)  # at each call: a link may lead elsewhere now
    return _LOGS.get(resolved) or _LOGS.setdefault(resolved, AuditLog(resolved))


class _Later:
    """The thread that puts entries on the disk; it ends when there is nothing to do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._syncing = threading.Lock()  # held while entries go to the disk
        self._waiting: set[AuditLog] = set()
        self._failed: dict[AuditLog, AuditError] = {}
        self._thread: threading.Thread | None = None

    def sync_soon(self, log: AuditLog) -> None:
        with self._lock:
            self._waiting.add(log)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="traceprop audit log", daemon=True
                )
                self._thread.start()

    def sync_now(self) -> None:
        with self._syncing:  # what the thread has begun is done then, too
            for log in self._taken():
                log.sync()

    def raise_failure(self, log: AuditLog) -> None:
        with self._lock:
            failed = self._failed.pop(log, None)
        if failed is not None:
            raise failed

    def _run(self) -> None:
        while True:
            time.sleep(WITHIN_S)
            with self._syncing:
                with self._lock:
                    if not self._waiting:
                        self._thread = None
                        return
                for log in self._taken():
                    try:
                        log.sync()
                    except AuditError as failed:
                        with self._lock:
                            self._failed[log] = failed

    def _taken(self) -> set[AuditLog]:
        with self._lock:
            logs, self._waiting = self._waiting, set()
        return logs


_LATER = _Later()
atexit.register(flush)


def _after_fork() -> None:
    """Start anew in a child: threads and their locks don't come along."""
    global _LATER
    _LATER = _Later()
    _LOGS.clear()


os.register_at_fork(after_in_child=_after_fork)
