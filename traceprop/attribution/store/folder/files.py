"""A store's files: written to last, checked by checksum, and kept inside the store's folder.

`StoreFolder` is the only way into the folder. Promises: a file that `write` or `adopt` returned an
entry for is on the disk, not in a cache, once `sync_folders` returned; `publish` shows a file
under its name whole or not at all; no path leads out of the folder; its folders have mode 0700 and
its files 0600, since gradients and training data are personal data.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from traceprop.attribution.store.folder.ordinary import is_ordinary, open_ordinary
from traceprop.errors import StoreError
from traceprop.files import PRIVATE_FILE, make_private_folder, open_private, sync_folder

CHUNK_BYTES = 4 << 20
"""Each checksum covers this many bytes: a damaged one points at few rows."""

TEMPORARY_SUFFIX = ".tmp"
_WORTH_A_THREAD = 1 << 20  # bytes

Bytes = bytes | memoryview


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What a manifest says of one file.

    Parameters
    ----------
    path : str
        Where it is, relative to the store's folder, with `/`.
    size : int
        Bytes committed. The file may be longer: what is behind is a torn tail.
    crc32c : tuple of int
        CRC-32C of each `CHUNK_BYTES` of the committed bytes; the last one may be shorter.
    """

    path: str
    size: int
    crc32c: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the entry as a JSON object, checksums as hex digits."""
        sums = [f"{value:08x}" for value in self.crc32c]
        return {"path": self.path, "bytes": self.size, "crc32c": sums}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> FileEntry:
        """Read an entry; `ValueError` if it doesn't describe a file inside the folder."""
        path, size = str(value["path"]), int(value["bytes"])
        sums = tuple(int(digits, 16) for digits in value["crc32c"])
        if not is_inside(path):
            raise ValueError(f"the path {path!r} leads out of the folder")
        if size < 0 or len(sums) != -(-size // CHUNK_BYTES):
            raise ValueError(f"{path} has {len(sums)} checksums for {size} bytes")
        return cls(path, size, sums)


def is_inside(path: str) -> bool:
    """Tell whether a relative path stays inside the folder that it starts from."""
    parts = PurePosixPath(path).parts
    plain = bool(parts) and ".." not in parts and not PurePosixPath(path).is_absolute()
    return plain and "\\" not in path and "\0" not in path


class StoreFolder:
    """The folder of one store.

    Parameters
    ----------
    root : path-like
        The folder; it need not exist before `create`.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self._unsynced: set[Path] = set()

    # ---- reading -----------------------------------------------------------------------------

    def locate(self, relative: str) -> Path:
        """Return where a file of the store is; `StoreError` if that is outside the folder."""
        path = self.root / relative
        root = os.path.join(os.path.realpath(self.root), "")
        if not is_inside(relative) or not os.path.realpath(path).startswith(root):
            raise StoreError(
                f"{self.root} names the file {relative!r}, which is outside the store: it was "
                f"tampered with, or moved in part. Copy the store again from a good one."
            )
        return path

    def missing_bytes(self, entry: FileEntry) -> int:
        """Return how many committed bytes of a file aren't there; 0 if the size is right."""
        try:
            path = self.locate(entry.path)
            there = path.stat().st_size if is_ordinary(path) else -1
            return max(0, entry.size - there)
        except FileNotFoundError:
            return max(1, entry.size)

    def damaged_chunks(self, entry: FileEntry) -> list[int]:
        """Read a file and return the chunks that don't match their checksums."""
        damaged = []
        with open_ordinary(self.locate(entry.path)) as file:
            left = entry.size
            for number, expected in enumerate(entry.crc32c):
                chunk = file.read(min(CHUNK_BYTES, left))
                left -= len(chunk)
                if _crc32c(chunk) != expected:
                    damaged.append(number)
        return damaged

    # ---- writing -----------------------------------------------------------------------------

    def create(self, marker: str, content: bytes) -> None:
        """Make the folder, and in it the first file, which says what the folder is.

        Their names last before anything else is written, up to the first folder that was there;
        the file's content may be lost to a power cut.
        """
        fresh = [path for path in (self.root, *self.root.parents) if not path.exists()]
        self._make_folders(self.root)
        path = self.locate(marker)
        if path.exists() and not is_ordinary(path):
            raise StoreError(f"{path} is no ordinary file: remove it, or give another path=.")
        if not path.exists() or path.stat().st_size < len(content):
            self._write_unsynced(path, content)
        # The folder may be there, but be as new: another writer died just after making it.
        for parent in dict.fromkeys([self.root, self.root.parent, *(p.parent for p in fresh)]):
            self._sync_folder(parent)

    def write(self, relative: str, buffers: Iterable[Bytes]) -> FileEntry:
        """Write a new file from its parts and sync it; parts must stay as they are meanwhile.

        The checksum of a part is computed in a thread while the part is written.
        """
        path = self.locate(relative)
        self._enter_folder(path.parent)
        sums = _Checksums()
        with open(path, "xb", buffering=0, opener=open_private) as file, _Beside() as beside:
            for buffer in buffers:
                beside.start(sums.update, buffer)
                _write_whole(file, buffer)
            beside.wait()
            self._sync_file(file.fileno(), path)
        return FileEntry(relative, sums.size, sums.values())

    def adopt(self, relative: str) -> FileEntry:
        """Sync a file that another module wrote into the folder, and return its entry."""
        path = self.locate(relative)
        self._enter_folder(path.parent)
        sums = _Checksums()
        path.chmod(PRIVATE_FILE)
        with open_ordinary(path) as file:
            while chunk := file.read(CHUNK_BYTES):
                sums.update(chunk)
            self._sync_file(file.fileno(), path)
        return FileEntry(relative, sums.size, sums.values())

    def make_folder(self, relative: str) -> Path:
        """Make a folder inside the store, for `adopt`, and return its path."""
        path = self.locate(relative)
        self._enter_folder(path)
        return path

    def make_scratch(self, relative: str) -> Path:
        """Make a folder for files that need not survive, and return its path."""
        path = self.locate(relative)
        self._make_folders(path)
        return path

    def drop_scratch(self, relative: str) -> None:
        """Remove such a folder, if it is there and empty."""
        try:
            self.locate(relative).rmdir()
        except OSError as refused:  # another rank has files in it, or has removed it just now
            if refused.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                raise

    def sync_folders(self) -> None:
        """Make the names of all files written so far last: deepest folders first."""
        for path in sorted(self._unsynced, reverse=True):  # a folder before the one it is in
            self._sync_folder(path)
        self._unsynced.clear()

    def sync_removals(self) -> None:
        """Make the removal of files last, in every folder of the store."""
        below = (path for path in self.root.rglob("*") if path.is_dir() and not path.is_symlink())
        for path in sorted([*below, self.root], reverse=True):
            self._sync_folder(path)

    def publish(self, name: str, content: bytes) -> None:
        """Put a file at the top of the store in one move; afterwards its name lasts too."""
        temporary = self.root / (name + TEMPORARY_SUFFIX)
        with open(temporary, "wb", opener=open_private) as file:
            file.write(content)
            file.flush()
            self._sync_file(file.fileno(), temporary)
        self._rename(temporary, self.root / name)
        self._sync_folder(self.root)

    def remove(self, path: Path) -> None:
        """Remove a file, or a folder with all that is in it; links are not followed."""
        if path.is_dir() and not path.is_symlink():
            for child in sorted(path.iterdir()):
                self.remove(child)
            self._remove_folder(path)
        else:
            self._unlink(path)

    def truncate(self, relative: str, size: int) -> None:
        """Cut a file's tail off."""
        with self.locate(relative).open("r+b") as file:
            file.truncate(size)

    def _enter_folder(self, path: Path) -> None:
        """Make a folder inside the store, and note that it and its parents need a sync."""
        self._make_folders(path)
        while path != self.root:
            self._unsynced.add(path)
            path = path.parent
        self._unsynced.add(self.root)

    # The calls below are all that can be lost by a power cut or fail on a full disk; tests replace
    # them to try every way in which that can happen.

    def _make_folders(self, path: Path) -> None:
        make_private_folder(self.root, parents=True)
        for part in (*reversed(path.parents), path):
            if part.is_relative_to(self.root):
                make_private_folder(part)

    def _write_unsynced(self, path: Path, content: bytes) -> None:
        with open(path, "wb", opener=open_private) as file:
            file.write(content)

    def _sync_file(self, descriptor: int, path: Path) -> None:
        os.fsync(descriptor)

    def _sync_folder(self, path: Path) -> None:
        sync_folder(path)

    def _rename(self, old: Path, new: Path) -> None:
        old.replace(new)

    def _unlink(self, path: Path) -> None:
        path.unlink()

    def _remove_folder(self, path: Path) -> None:
        path.rmdir()


@contextmanager
def reporting_os_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn the system's refusal into a `StoreError` that names the store and what was tried."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise StoreError(
            f"{doing} {path} failed: {error.strerror or error}{where}. "
            f"Nothing that was committed has changed."
        ) from error


def entry_of(relative: str, buffers: Iterable[Bytes]) -> FileEntry:
    """Return the entry that a file of these parts would have, without writing it."""
    sums = _Checksums()
    for buffer in buffers:
        sums.update(buffer)
    return FileEntry(relative, sums.size, sums.values())


class _Beside:
    """One thread that works on large buffers beside the caller's, one at a time, in order."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._running: Future[None] | None = None

    def __enter__(self) -> _Beside:
        return self

    def start(self, work: Callable[[Bytes], None], buffer: Bytes) -> None:
        """Begin work on a buffer when that on the one before is done; on a small one, do it."""
        self.wait()
        if memoryview(buffer).nbytes < _WORTH_A_THREAD:
            work(buffer)
            return
        self._pool = self._pool or ThreadPoolExecutor(1)
        self._running = self._pool.submit(work, buffer)

    def wait(self) -> None:
        """Wait for what was begun."""
        if self._running is not None:
            self._running.result()
            self._running = None

    def __exit__(self, *raised: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()


class _Checksums:
    """CRC-32C of each chunk of a stream that comes in parts of any size."""

    def __init__(self) -> None:
        self.size = 0
        self._done: list[int] = []
        self._running = 0

    def update(self, buffer: Bytes) -> None:
        view = memoryview(buffer).cast("B")
        while len(view):
            room = CHUNK_BYTES - self.size % CHUNK_BYTES
            part, view = view[:room], view[room:]
            self._running = _crc32c(part, self._running)
            self.size += len(part)
            if self.size % CHUNK_BYTES == 0:
                self._done.append(self._running)
                self._running = 0

    def values(self) -> tuple[int, ...]:
        return (*self._done, self._running) if self.size % CHUNK_BYTES else tuple(self._done)


def _write_whole(file: FileIO, buffer: Bytes) -> None:
    """Write all of a buffer, however little the system takes at a time."""
    left = memoryview(buffer).cast("B")
    while len(left):
        left = left[file.write(left) :]


def _crc32c(data: Bytes, value: int = 0) -> int:
    # Imported here, since opening a store and asking it needs no numba.
    from numba_kernels.crc32c import crc32c

    return crc32c(np.frombuffer(data, np.uint8), value) if len(data) else value
