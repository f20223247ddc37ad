"""The bytes of a file: read once, so that the bytes that are hashed are the bytes that are parsed.

`read_file` takes the whole file into memory and refuses one that changes meanwhile, and a `Hasher`
hashes what it reads beside it; `file_digest` hashes a file that is not to be parsed. Every refusal
of the operating system becomes a `SourceError` that names the file.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO

import numpy as np
import numpy.typing as npt

from traceprop.errors import MissingFileError, SourceError
from traceprop.sources.inputs.progress import wait_with_bar

_CHUNK = 1 << 22
_SETTLED_AFTER_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells cheaply that a file was probably not touched: its size and times.

    A file written less than two seconds before it was looked at may be written again without its
    time moving (file systems round), so such a stamp vouches for nothing.
    """

    size: int
    modified_ns: int
    inode: int
    seen_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileStamp:
        """Stamp a file whose status was taken just now."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino, time.time_ns())

    def is_untouched(self, later: object) -> bool:
        """Whether nothing shows, at the stamp `later`, that the file was written to."""
        return isinstance(later, FileStamp) and (self.size, self.modified_ns, self.inode) == (
            later.size,
            later.modified_ns,
            later.inode,
        )

    def vouches_for(self, later: object) -> bool:
        """Whether a file with the stamp `later` still has the bytes it had at this one."""
        return self.is_untouched(later) and self.seen_ns - self.modified_ns > _SETTLED_AFTER_NS


def stamp_file(path: str, name: str) -> FileStamp:
    """Return the present stamp of a file; SourceError where it can't be opened."""
    with opened(path, name) as file:
        return FileStamp.of(os.fstat(file.fileno()))


class Hasher:
    """SHA-256 of bytes, taken piece by piece in a thread of its own as they come.

    A context manager, which waits for the thread. The pieces must stay as they are until then.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="traceprop-digest")

    def add(self, piece: memoryview) -> None:
        """Hash more bytes, after those that were added before."""
        self._thread.submit(self._hash.update, piece)

    def hexdigest(self) -> str:
        """Return the digest of all that was added, as 64 hexadecimal digits."""
        return self._thread.submit(self._hash.hexdigest).result()

    def __enter__(self) -> Hasher:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown(cancel_futures=True)


def read_file(
    path: str, name: str, hasher: Hasher | None = None
) -> tuple[npt.NDArray[np.uint8], FileStamp]:
    """Read all bytes of a file, and stamp it.

    Parameters
    ----------
    path : str
        Where the file is.
    name : str
        How messages call it.
    hasher : Hasher, optional
        Gets the bytes as they are read.

    Raises
    ------
    SourceError
        Where it is missing, no regular file, not readable, or changes while it is read.
    """
    with opened(path, name) as file:
        before = FileStamp.of(os.fstat(file.fileno()))
        data = np.empty(before.size, np.uint8)
        view = data.data
        filled = 0
        while filled < data.size:
            count = file.readinto(view[filled : filled + _CHUNK])
            if not count:
                break
            if hasher is not None:
                hasher.add(view[filled : filled + count])
            filled += count
        after = FileStamp.of(os.fstat(file.fileno()))
        unchanged = (before.size, before.modified_ns) == (after.size, after.modified_ns)
        if filled < data.size or not unchanged:
            raise SourceError(
                f"{name} changed while it was read; load it again when nothing writes to it"
            )
    return data, after


def digest(data: npt.NDArray[np.uint8]) -> str:
    """Return the SHA-256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data.data).hexdigest()


def file_digest(path: str, name: str) -> tuple[str, FileStamp]:
    """Return the SHA-256 of a file's present bytes, and the stamp it had before the read."""
    with opened(path, name) as file:
        stamp = FileStamp.of(os.fstat(file.fileno()))
        with ThreadPoolExecutor(1, thread_name_prefix="traceprop-digest") as pool:
            work = pool.submit(hashlib.file_digest, file, "sha256")
            found = wait_with_bar(work, file.tell, stamp.size, name, doing="hashing")
        return found.hexdigest(), stamp


@contextmanager
def opened(path: str, name: str) -> Iterator[FileIO]:
    """Open a file for reading; SourceError where the system or we refuse it."""
    try:
        if os.path.isdir(path):
            raise SourceError(f"{name} is a folder, not a file; name the file inside it")
        if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
            raise SourceError(
                f"{name} is not a regular file, so its rows could not be looked up again; "
                "write it to disk first"
            )
        with open(path, "rb", buffering=0) as file:
            yield file
    except FileNotFoundError:
        raise MissingFileError(
            f"{name} does not exist (looked for {path}); check the path"
        ) from None
    except OSError as error:
        raise SourceError(f"{name} can't be read: {error.strerror}; check {path}") from error
