"""Reading and checking an audit log: whether each entry is the one that was written, and in place.

Promise: nothing is written. A changed, dropped, reordered or inserted entry is named by its number;
so is one whose facts, where they are still there, aren't those that were sealed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from traceprop.audit.entry import FIRST, Entry, read_line
from traceprop.audit.log import Head, read_head
from traceprop.audit.log_files import LogFiles
from traceprop.audit.opening import Opening, read_openings
from traceprop.errors import AuditError


@dataclass(frozen=True, slots=True)
class LogCheck:
    """Whether a log holds. It is true or false as `ok` is.

    Parameters
    ----------
    ok : bool
        Whether every entry is in place and unchanged.
    reason : str
        One line that says why, or why not.
    at : int or None
        The entry where it fails.
    entries : tuple of Entry
        The entries up to there, oldest first.
    openings : dict of int to Opening
        Keys and facts by entry.
    """

    ok: bool
    reason: str
    at: int | None
    entries: tuple[Entry, ...]
    openings: Mapping[int, Opening]

    def __bool__(self) -> bool:
        return self.ok


class _BrokenAt(Exception):
    def __init__(self, serial: int, why: str) -> None:
        super().__init__(why)
        self.serial, self.why = serial, why


def check_log(store: str | os.PathLike[str]) -> LogCheck:
    """Read a store's log and check it.

    Parameters
    ----------
    store : path-like
        The store's folder.

    Raises
    ------
    AuditError
        The store has no log, or it can't be read.

    Examples
    --------
    >>> check_log("./grad/").reason  # doctest: +SKIP
    '12 entries, the last of 2026-03-01T12:00:00.000Z'
    """
    files = LogFiles(Path(store))
    entries: list[Entry] = []
    broken, torn = None, 0
    try:
        lines, head = _lines(files), read_head(files.head)
        try:
            torn = _chain(lines, head, entries)
            _hold_against_head(entries, head, files)
        except _BrokenAt as found:
            broken = found
        openings = read_openings(files.openings, entries)
    except OSError as refused:
        raise AuditError(
            f"The audit log {files.log} can't be read ({refused.strerror}): give the store whose "
            f"log it is, with <store>.audit beside it."
        ) from refused
    unfit = next((e for e in entries if not _fits(e, openings)), None)
    if unfit is not None and (broken is None or unfit.serial < broken.serial):
        why = "its facts beside the log are not those that were sealed"
        broken = _BrokenAt(unfit.serial, why)
    if broken is not None:
        kept = tuple(entry for entry in entries if entry.serial < broken.serial)
        reason = f"NOT VALID at entry {broken.serial}: {broken.why}"
        return LogCheck(False, reason, broken.serial, kept, openings)
    count = "1 entry" if len(entries) == 1 else f"{len(entries)} entries"
    reason = f"valid: {count}, the last ({entries[-1].serial}) of {entries[-1].time}" + (
        f"; behind it {torn} bytes of an entry that a crash cut short" if torn else ""
    )
    return LogCheck(True, reason, None, tuple(entries), openings)


def _lines(files: LogFiles) -> list[bytes]:
    data = files.log.read_bytes()
    if not data:
        raise AuditError(f"The audit log {files.log} is empty: put it back from a backup.")
    return data.splitlines(keepends=True)


def _chain(lines: list[bytes], head: Head | None, entries: list[Entry]) -> int:
    """Follow the chain; return how many bytes at the end are no whole entry."""
    read = [_read(line) for line in lines]
    expected = _first_number(read)
    for i, found in enumerate(read):
        if isinstance(found, ValueError):
            rest = b"".join(lines[i:])
            known = head is not None and head.serial >= expected
            if not known and _is_torn(rest):
                return len(rest)
            raise _BrokenAt(expected, f"it was changed: {found}")
        if found.serial != expected:
            later = {entry.serial for entry in read[i:] if isinstance(entry, Entry)}
            raise _misplaced(found, expected, later)
        if entries and (found.previous, found.log) != (entries[-1].sha256, entries[-1].log):
            raise _BrokenAt(
                entries[-1].serial, f"it was replaced: entry {found.serial} follows another one"
            )
        entries.append(found)
        expected += 1
    _check_start(entries)
    return 0


def _misplaced(found: Entry, expected: int, later: set[int]) -> _BrokenAt:
    if found.serial < expected:
        return _BrokenAt(found.serial, f"it is there again after entry {expected - 1}")
    what = "out of order" if expected in later else "missing"
    return _BrokenAt(expected, f"it is {what}: entry {found.serial} is in its place")


def _first_number(read: list[Entry | ValueError]) -> int:
    """Return the number that the first line must have: 0, unless old entries were let go."""
    least = min((entry.serial for entry in read if isinstance(entry, Entry)), default=0)
    return max(0, least - 1) if isinstance(read[0], ValueError) else least


def _check_start(entries: list[Entry]) -> None:
    """Make sure that the log begins with entry 0, or that a checkpoint let those before go."""
    first = entries[0]
    if first.serial == 0:
        if first.previous != FIRST or first.kind != "begin":
            raise _BrokenAt(0, "it is no beginning of a log")
        return
    for entry in entries:
        let_go = (entry.plain.get("through"), entry.plain.get("through_sha256"))
        if entry.kind == "checkpoint" and let_go == (first.serial - 1, first.previous):
            return
    raise _BrokenAt(
        first.serial - 1, "it and those before it are missing, and no checkpoint let them go"
    )


def _hold_against_head(entries: list[Entry], head: Head | None, files: LogFiles) -> None:
    """Make sure that what was on the disk for good is there, and is the same."""
    if not entries:
        raise AuditError(f"The audit log {files.log} holds no entry: a crash ended its first.")
    if head is None:
        return
    last = entries[-1].serial
    if head.serial > last:
        raise _BrokenAt(last + 1, f"it is missing: the log went on to entry {head.serial}")
    same = [e for e in entries if e.serial == head.serial]
    if not same or same[0].sha256 != head.sha256:
        raise _BrokenAt(head.serial, "it was replaced: another one was on the disk")


def _fits(entry: Entry, openings: Mapping[int, Opening]) -> bool:
    opening = openings.get(entry.serial)
    return opening is None or opening.fits(entry)


def _read(line: bytes) -> Entry | ValueError:
    """Return a line's entry, or why it is none."""
    try:
        entry = read_line(line)
    except ValueError as damaged:
        return damaged
    return entry if line.endswith(b"\n") else ValueError("its line has no end")


def _is_torn(rest: bytes) -> bool:
    """Tell whether bytes are what a crash leaves: a line without its end, or zeros."""
    return b"\n" not in rest or not rest.strip(b"\0")
