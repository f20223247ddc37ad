"""The files of one audit log, `<store>.audit/log/`, and every call that writes them.

`log.jsonl` is the log, a line an entry. `openings.jsonl` holds the keys and facts of the entries:
private, and what is destroyed to make an entry say nothing. `head.json` is the last entry that is
known to be on the disk. `settings.json` is what `settings` reads. Promise: the calls that a power
cut can undo are methods of `LogFiles` alone, so that tests can cut between any two.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from traceprop.audit.folder import audit_folder
from traceprop.errors import AuditError
from traceprop.files import PRIVATE_FILE, make_private_folder, open_private, sync_folder

_PATIENCE_S = 10.0


class LogFiles:
    """Where a store's log is, and how it is written.

    Parameters
    ----------
    store : Path
        The store's folder.
    """

    def __init__(self, store: Path) -> None:
        self.folder = audit_folder(store) / "log"
        self.log = self.folder / "log.jsonl"
        self.openings = self.folder / "openings.jsonl"
        self.head = self.folder / "head.json"
        self.settings = self.folder / "settings.json"

    def create(self) -> None:
        """Make the folder, for its owner alone."""
        if not self.folder.is_dir():
            self._make_folders()

    @contextmanager
    def locked(self, name: str = "lock") -> Iterator[None]:
        """Hold a lock: `lock`, to write an entry; `head.lock`, taken before it, to sync.

        Raises
        ------
        AuditError
            Another writer keeps it for longer than it can need.
        """
        descriptor = os.open(self.folder / name, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        try:
            _wait_for(descriptor, self.folder)
            yield
        finally:
            os.close(descriptor)  # which unlocks

    def append(self, path: Path, data: bytes) -> None:
        """Write at a file's end, never through a link; it is on the disk after `sync` only."""
        with open(path, "ab", buffering=0, opener=_open_unlinked) as file:
            written = file.write(data)
            if written != len(data):
                raise OSError(f"only {written} of {len(data)} bytes could be written")

    def replace(self, path: Path, data: bytes, *, at_once: bool = True) -> None:
        """Give a file new content in one step.

        A power cut leaves the old or the new content; `at_once`, the new one from now on.
        """
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        try:
            self.append(temporary, data)
            self.sync(temporary)
            self._rename(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        if at_once:
            self.sync_folder(self.folder)

    def drop_leavings(self, path: Path) -> None:
        """Delete what a crash left of `replace`: copies of a file's content, maybe of keys."""
        for left in path.parent.glob(f".{path.name}.*.tmp"):
            left.unlink(missing_ok=True)

    def truncate(self, path: Path, size: int) -> None:
        """Cut a file's end off."""
        os.truncate(path, size)

    def sync(self, path: Path) -> None:
        """Put a file's content on the disk."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_names(self) -> None:
        """Put the names of the log's files and folders on the disk."""
        for folder in (self.folder, self.folder.parent, self.folder.parent.parent):
            self.sync_folder(folder)

    def sync_folder(self, folder: Path) -> None:
        """Put a folder's names on the disk."""
        sync_folder(folder)

    def _make_folders(self) -> None:
        make_private_folder(self.folder.parent)
        make_private_folder(self.folder)

    def _rename(self, old: Path, new: Path) -> None:
        os.replace(old, new)


def _open_unlinked(path: str, flags: int) -> int:
    return open_private(path, flags | os.O_NOFOLLOW)


@contextmanager
def reporting_log_errors(folder: Path) -> Iterator[None]:
    """Turn the system's refusal into an `AuditError` that says what to do."""
    try:
        yield
    except OSError as refused:
        raise AuditError(
            f"The audit log {folder} can't be written ({refused.strerror or refused}): make it "
            f"writable, or set TRACEPROP_AUDIT_LOG=off, which certificates then say."
        ) from refused


def _wait_for(descriptor: int, folder: Path) -> None:
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            # flock belongs to this opening of the file: it keeps other threads out, too.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise AuditError(
                    f"Another process has been writing the audit log {folder} for "
                    f"{_PATIENCE_S:.0f} s: end it, if it hangs."
                ) from None
            time.sleep(0.0005)
