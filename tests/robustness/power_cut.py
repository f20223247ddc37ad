"""A disk that forgets what was not synced.

`LoggedFolder` does what a `StoreFolder` does and writes down every change and every sync.
`crash_states` then says what the disk may hold after a power cut at any moment: content that was
synced and names whose folder was synced are there; anything else may be there, be missing, or
(content) be cut short or zeroed, each on its own, since neither POSIX nor a disk's cache keeps an
order among them.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.audit.log_files import LogFiles


@dataclass(frozen=True)
class Event:
    """What was done, and to what.

    `make`, `content`, `append`, `truncate`, `sync`, `sync_folder`, `rename` or `unlink`; `content`
    is what was written, or of a truncation what is left.
    """

    kind: str
    path: Path
    content: bytes = b""
    new: Path | None = None


class LoggedFolder(StoreFolder):
    """A store folder that keeps a list of what it did."""

    log: list[Event]

    def _make_folders(self, path: Path) -> None:
        missing = [p for p in (path, *path.parents) if not p.exists()]
        super()._make_folders(path)
        self.log += [Event("make", p) for p in reversed(missing)]

    def _write_unsynced(self, path: Path, content: bytes) -> None:
        self.log.append(Event("content", path, content))
        super()._write_unsynced(path, content)

    def _sync_file(self, descriptor: int, path: Path) -> None:
        self.log.append(Event("content", path, path.read_bytes()))
        self.log.append(Event("sync", path))
        super()._sync_file(descriptor, path)

    def _sync_folder(self, path: Path) -> None:
        self.log.append(Event("sync_folder", path))
        super()._sync_folder(path)

    def _rename(self, old: Path, new: Path) -> None:
        self.log.append(Event("rename", old, new=new))
        super()._rename(old, new)

    def _unlink(self, path: Path) -> None:
        self.log.append(Event("unlink", path))
        super()._unlink(path)

    def _remove_folder(self, path: Path) -> None:
        self.log.append(Event("unlink", path))
        super()._remove_folder(path)


class LoggedLogFiles(LogFiles):
    """An audit log's files that keep a list of what was done to them."""

    log_of_events: list[Event]

    def append(self, path: Path, data: bytes) -> None:
        new = not path.exists()
        super().append(path, data)
        self.log_of_events.append(Event("content" if new else "append", path, data))

    def truncate(self, path: Path, size: int) -> None:
        super().truncate(path, size)
        self.log_of_events.append(Event("truncate", path, path.read_bytes()))

    def sync(self, path: Path) -> None:
        super().sync(path)
        self.log_of_events.append(Event("sync", path))

    def sync_folder(self, folder: Path) -> None:
        super().sync_folder(folder)
        self.log_of_events.append(Event("sync_folder", folder))

    def _make_folders(self) -> None:
        missing = [p for p in (self.folder, self.folder.parent) if not p.exists()]
        super()._make_folders()
        self.log_of_events += [Event("make", p) for p in reversed(missing)]

    def _rename(self, old: Path, new: Path) -> None:
        super()._rename(old, new)
        self.log_of_events.append(Event("rename", old, new=new))


@dataclass
class _File:
    content: bytes
    lasting: int = 0  # bytes that were synced

    @property
    def synced(self) -> bool:
        return self.lasting == len(self.content)

    def torn(self, cut: float) -> bytes:
        """What is synced, the first part of the rest, and zeros, if anything, for what is left."""
        rest = self.content[self.lasting :]
        n = int(cut * len(rest))
        return self.content[: self.lasting] + rest[:n] + bytes(len(rest) - n if n else 0)


@dataclass
class _Disk:
    """Names that lasted, and changes of names that may or may not have; by folder."""

    lasting: dict[Path, _File | None] = field(default_factory=dict)  # None: a folder
    live: dict[Path, _File | None] = field(default_factory=dict)
    pending: list[tuple[Path, dict[Path, _File | str | None]]] = field(default_factory=list)

    def change(self, parent: Path, names: dict[Path, _File | str | None]) -> None:
        self.pending.append((parent, names))
        _apply(self.live, names)

    def do(self, event: Event) -> None:
        path = event.path
        if event.kind == "make":
            self.change(path.parent, {path: None})
        elif event.kind == "content":
            if path in self.live:  # written over: only a temporary that was left by a crash
                self.change(path.parent, {path: "gone"})
            self.change(path.parent, {path: _File(event.content)})
        elif event.kind == "append":
            self.live[path].content += event.content
        elif event.kind == "truncate":
            file = self.live[path]
            file.content = event.content
            file.lasting = min(file.lasting, len(event.content))
        elif event.kind == "sync":
            self.live[path].lasting = len(self.live[path].content)
        elif event.kind == "rename":
            self.change(path.parent, {path: "gone", event.new: self.live[path]})
        elif event.kind == "unlink":
            self.change(path.parent, {path: "gone"})
        elif event.kind == "sync_folder":
            for parent, names in self.pending:
                if parent == path:
                    _apply(self.lasting, names)
            self.pending = [change for change in self.pending if change[0] != path]

    def states(self, dice: random.Random) -> Iterator[dict[Path, bytes | None]]:
        """What may be there after a cut now: nothing unsynced, all of it, all but one, or some."""
        files = [file for file in self.live.values() if file is not None and not file.synced]
        n = len(self.pending) + len(files)
        yield self._state(set(), 0.0)
        yield self._state(set(range(n)), 0.0)
        for i in range(n):
            yield self._state(set(range(n)) - {i}, dice.random())
        for _ in range(2):
            yield self._state({i for i in range(n) if dice.random() < 0.5}, dice.random())

    def _state(self, kept: set[int], cut: float) -> dict[Path, bytes | None]:
        names = dict(self.lasting)
        for i, (_, change) in enumerate(self.pending):
            if i in kept:
                _apply(names, change)
        unsynced = [file for file in self.live.values() if file is not None and not file.synced]
        lost = {id(file) for i, file in enumerate(unsynced, len(self.pending)) if i not in kept}
        return {
            path: file and (file.torn(cut) if id(file) in lost else file.content)
            for path, file in names.items()
        }


def _apply(names: dict[Path, _File | None], change: dict[Path, _File | str | None]) -> None:
    for path, file in change.items():
        if isinstance(file, str):
            names.pop(path, None)
        else:
            names[path] = file


def crash_states(
    log: list[Event], seed: int = 0, since: int = 0
) -> Iterator[tuple[int, dict[Path, bytes | None]]]:
    """Yield (number of events done, what the disk may hold then) for every moment of a log.

    The last moment comes first: most losses show there. `since` leaves earlier moments out.
    """
    dice = random.Random(seed)
    for done in (len(log), *range(since, len(log))):
        for state in _disk_after(log[:done]).states(dice):
            yield done, state


def needed_syncs(log: list[Event]) -> list[int]:
    """Places of the syncs that had something to sync."""
    return [
        i
        for i, event in enumerate(log)
        if event.kind == "sync"
        or (
            event.kind == "sync_folder"
            and any(parent == event.path for parent, _ in _disk_after(log[:i]).pending)
        )
    ]


def _disk_after(log: list[Event]) -> _Disk:
    disk = _Disk()
    for event in log:
        disk.do(event)
    return disk


def put_on_disk(state: dict[Path, bytes | None], old_root: Path, new_root: Path) -> None:
    """Make a folder that holds a crash state; what lost its own folder is lost with it."""
    shutil.rmtree(new_root, ignore_errors=True)
    for path in sorted(state, key=lambda path: len(path.parts)):
        if not path.is_relative_to(old_root):
            continue
        target = new_root / path.relative_to(old_root)
        if path != old_root and not target.parent.is_dir():
            continue
        content = state[path]
        if content is None:
            target.mkdir(parents=path == old_root)
        else:
            target.write_bytes(content)
