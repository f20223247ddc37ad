"""Writing a store's audit log: an entry at a time, each naming the one before it.

Promises: what `append` returned from survives the end of the process in any way; with
`durable=True`, or after `sync`, also a power cut. Any number of threads and processes may write
at once. What a crash left half-written at the log's end is cut off, and the next entry says so;
nothing that was once on the disk for good is cut. No entry is ever changed, by an erasure neither.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from traceprop.audit.canonical import canonical, parse
from traceprop.audit.entry import FIRST, Entry, make_entry, read_line, seal_facts
from traceprop.audit.log_files import LogFiles, reporting_log_errors
from traceprop.audit.opening import Opening
from traceprop.audit.settings import (
    LogSettings,
    SettingsFile,
    check_settings,
    settings_bytes,
    settings_of,
)
from traceprop.errors import AuditError, AuditWarning

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry of a log, and where its line is in the file.

    Parameters
    ----------
    log : str
        The log's number.
    serial : int
        The entry's number; -1 before the first.
    sha256 : str
        Its SHA-256.
    start, end : int
        Bytes of the file.
    """

    log: str
    serial: int
    sha256: str
    start: int = 0
    end: int = 0

    def __post_init__(self) -> None:
        """Refuse what no log has: it may come out of a file that was changed."""
        numbers, texts = (self.serial, self.start, self.end), (self.log, self.sha256)
        if {type(n) for n in numbers} != {int} or {type(text) for text in texts} != {str}:
            raise TypeError("not the head of a log")
        if self.serial < -1 or min(self.start, self.end) < 0:
            raise ValueError("not the head of a log")


class AuditLog:
    """The log of one store.

    Parameters
    ----------
    store : path-like
        The store's folder. The log is made beside it with the first entry.
    """

    def __init__(self, store: str | os.PathLike[str]) -> None:
        self.store = Path(store)
        self.files = LogFiles(self.store)
        self._settings = SettingsFile(self.files.settings)
        self._mutex = threading.Lock()
        self._seen: tuple[int, Head] | None = None  # the file's inode, its last entry

    @property
    def settings(self) -> LogSettings:
        """What is set for the log now, by whichever process; `AuditError` where it is damaged."""
        return self._settings.settings()

    def append(
        self,
        kind: str,
        facts: Mapping[str, Any] | None = None,
        *,
        key: bytes | None = None,
        plain: Mapping[str, Any] | None = None,
        durable: bool = True,
    ) -> Entry:
        """Write an entry.

        Parameters
        ----------
        kind : str
            What happened, one of `entry.KINDS`.
        facts : mapping of str to JSON value, optional
            What to seal. Facts and key go to the file of openings.
        key : bytes, optional
            The entry's key, `KEY_BYTES` long; a random one if it isn't given.
        plain : mapping of str to int, str or bool, optional
            What stands in the entry for everybody to read.
        durable : bool
            Whether to wait until the entry is on the disk.

        Raises
        ------
        AuditError
            The log can't be written, or isn't what it was: entries are missing or changed.
        """
        with self._mutex, reporting_log_errors(self.files.folder):
            self.files.create()
            with self.files.locked():
                head = self._caught_up() or self._begin()
                entry, _ = self._write(head, kind, facts, key, plain)
        if durable:
            self.sync()
        return entry

    def sync(self) -> Head | None:
        """Put all entries on the disk and return the last one; None where there is no log."""
        if not self.files.folder.is_dir():
            return None
        # A lock of its own, so that nobody who writes an entry waits for the disk.
        with reporting_log_errors(self.files.folder), self.files.locked("head.lock"):
            with self._mutex, self.files.locked():
                head = self._caught_up()
            if head is not None:
                self._put_on_disk(head)
            return head

    def set(self, settings: LogSettings) -> None:
        """Change the log's settings; an entry says to what.

        Raises
        ------
        AuditError
            The settings can't be, or the log can't be written.
        """
        check_settings(settings)
        self.append("settings", plain=asdict(settings))
        with reporting_log_errors(self.files.folder):
            self.files.replace(self.files.settings, settings_bytes(settings))

    # ---- inside; the writer's lock is held ---------------------------------------------------

    def _begin(self) -> Head:
        empty = Head(secrets.token_hex(16), -1, FIRST)
        settings = settings_of(self.store)
        _, head = self._write(empty, "begin", None, None, asdict(settings))
        return head

    def _write(
        self,
        head: Head,
        kind: str,
        facts: Mapping[str, Any] | None,
        key: bytes | None,
        plain: Mapping[str, Any] | None,
    ) -> tuple[Entry, Head]:
        serial, sealed = head.serial + 1, None
        if facts is not None:
            key = key or secrets.token_bytes(KEY_BYTES)
            sealed = seal_facts(key, facts)
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry = make_entry(
            head.log, serial, time, kind, head.sha256, commitments=sealed, plain=plain
        )
        if key is not None and facts is not None:
            # First, so that no entry is without its key; a key without its entry does no harm.
            line = Opening(serial, entry.sha256, key, facts).to_line()
            self.files.append(self.files.openings, self._fresh_line() + line)
        line = entry.to_line()
        self.files.append(self.files.log, line)
        head = Head(head.log, serial, entry.sha256, head.end, head.end + len(line))
        self._seen = (self.files.log.stat().st_ino, head)
        return entry, head

    def _fresh_line(self) -> bytes:
        """Return what ends a line of openings that a crash cut short, if there is one."""
        try:
            with self.files.openings.open("rb") as file:
                if file.seek(0, os.SEEK_END) == 0:
                    return b""
                file.seek(-1, os.SEEK_END)
                return b"" if file.read(1) == b"\n" else b"\n"
        except FileNotFoundError:
            return b""

    def _put_on_disk(self, head: Head) -> None:
        """Sync the files; then `head.json` may name an entry that is in them."""
        if self.files.openings.exists():
            self.files.sync(self.files.openings)
        self.files.sync(self.files.log)
        if not self.files.head.exists():
            self.files.sync_names()
        # An older head would do as well, so its name need not last at once.
        self.files.replace(self.files.head, canonical(asdict(head)), at_once=False)

    def _caught_up(self) -> Head | None:
        """Return the log's last entry, once a torn end is cut off; None for a log to begin."""
        path = self.files.log
        try:
            status = path.stat()
        except FileNotFoundError:
            if self.files.head.exists():
                raise self._damaged("its file is gone") from None
            return None
        if self._seen is not None and self._seen[0] == status.st_ino:
            known = self._seen[1]
        else:
            known = self._known_on_disk()
        if status.st_size < known.end:
            raise self._damaged(f"it ends before entry {known.serial}")
        if status.st_size > known.end or known.serial < 0:
            known, torn = self._read_on(known)
            if torn:
                known = self._cut(known, torn)
        self._seen = (status.st_ino, known)
        return known if known.serial >= 0 else None

    def _known_on_disk(self) -> Head:
        """Return the entry that `head.json` names, found in the file; an empty head without it."""
        saved = read_head(self.files.head)
        if saved is None:
            return Head("", -1, FIRST)
        with self.files.log.open("rb") as file:
            file.seek(saved.start)
            if _is(file.read(max(0, saved.end - saved.start)), saved):
                return saved
            # The places are hints: a log whose oldest entries were let go is a shorter file.
            file.seek(0)
            start = 0
            for line in file:
                if _is(line, saved):
                    return replace(saved, start=start, end=start + len(line))
                start += len(line)
        raise self._damaged(f"entry {saved.serial} is missing or changed")

    def _read_on(self, known: Head) -> tuple[Head, bytes]:
        """Read the entries that others wrote since; return the last, and what is no entry."""
        with self.files.log.open("rb") as file:
            file.seek(known.end)
            rest = file.read()
        used = 0
        for line in rest.splitlines(keepends=True):
            try:
                entry = read_line(line)
            except ValueError:
                break
            first = known.end == 0  # of a log whose oldest entries were let go, any number
            follows = (entry.log, entry.serial, entry.previous) == (
                known.log or entry.log,
                known.serial + 1,
                known.sha256,
            )
            if not line.endswith(b"\n") or not (first or follows):
                break
            used += len(line)
            known = Head(entry.log, entry.serial, entry.sha256, known.end, known.end + len(line))
        return known, rest[used:]

    def _cut(self, known: Head, torn: bytes) -> Head:
        """Cut off what a crash left of entries that were never on the disk for good."""
        warnings.warn(
            AuditWarning(
                f"{self.files.log}: the last {len(torn)} bytes were no whole entry, as a crash "
                f"leaves them. They were cut off, and an entry says so."
            ),
            stacklevel=2,
        )
        self.files.truncate(self.files.log, known.end)
        plain = {"bytes": len(torn), "bytes_sha256": hashlib.sha256(torn).hexdigest()}
        known = known if known.serial >= 0 else self._begin()
        _, known = self._write(known, "cut", None, None, plain)
        return known

    def _damaged(self, what: str) -> AuditError:
        return AuditError(
            f"The audit log {self.files.log} is not what was written: {what}. Look at it with "
            f"`traceprop log verify`, and put it back from a backup."
        )


def read_head(path: Path) -> Head | None:
    """Read `head.json`; None where there is none.

    Raises
    ------
    AuditError
        It is damaged.
    """
    try:
        return Head(**parse(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as damaged:
        raise AuditError(
            f"{path} can't be read: put it back from a backup, or look at the log with `traceprop "
            f"log verify`."
        ) from damaged


def _is(line: bytes, head: Head) -> bool:
    try:
        entry = json.loads(line)
        return bool(entry["sha256"] == head.sha256 and read_line(line).serial == head.serial)
    except (ValueError, TypeError, KeyError):
        return False
