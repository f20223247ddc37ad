"""One writer a store: the lock that a second writer is refused by.

Promises: at most one process, and one store object in it, writes at a time; readers need no lock;
a writer that dies in any way leaves the store unlocked.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from traceprop.attribution.store.folder.ordinary import is_ordinary, open_ordinary
from traceprop.errors import StoreError

LOCK_NAME = "lock"
LOCK_CONTENT = b"traceprop gradient store\nwriter           \n"
_WHO = LOCK_CONTENT.index(b"writer ") + len(b"writer ")


class WriterLock:
    """The right to write into a store's folder, held until `release` or the end of the process.

    Parameters
    ----------
    root : Path
        The store's folder, with a file `LOCK_NAME` in it.

    Raises
    ------
    StoreError
        Another writer holds it; the message names its process.
    """

    def __init__(self, root: Path) -> None:
        # A link would have the process's number written into a file of others.
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
        _check_ordinary(root)
        self._descriptor: int | None = os.open(root / LOCK_NAME, flags)
        try:
            # flock, not lockf: it belongs to this opening of the file, so that it also keeps a
            # second store object of the same process out.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(os.pread(self._descriptor, 200, 0))
            os.close(self._descriptor)
            self._descriptor = None
            raise StoreError(
                f"{root} is being written by {holder}. Wait until it is done, close it, or give "
                f"another path=."
            ) from None
        # In place, so that a power cut can't take the rest of the file, which marks a store.
        os.pwrite(self._descriptor, f"{os.getpid():<10}".encode(), _WHO)
        self._owner = os.getpid()

    def release(self) -> None:
        """Let the next writer in; a second call does nothing."""
        if self._descriptor is None:
            return
        # A forked child (a DataLoader's worker) shares the lock but must not give it up.
        if os.getpid() == self._owner:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
        self._descriptor = None

    def __del__(self) -> None:
        # getattr: the constructor may have failed before the attribute was there.
        if getattr(self, "_descriptor", None) is not None:
            self.release()


def is_held(root: Path) -> bool:
    """Tell whether a writer has the lock of a store's folder just now."""
    _check_ordinary(root)
    with open_ordinary(root / LOCK_NAME) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def is_lock(path: Path) -> bool:
    """Tell whether a file is a store's lock, if only the part of it that survived a power cut."""
    if path.is_symlink() or not path.is_file():
        return False
    return LOCK_CONTENT.startswith(path.read_bytes()[:_WHO].rstrip(b"\0"))


def _check_ordinary(root: Path) -> None:
    path = root / LOCK_NAME
    if not path.is_symlink() and not is_ordinary(path):
        raise StoreError(
            f"{path} is no ordinary file, so a writer can't be kept out: remove it where nobody "
            f"writes into the store."
        )


def _holder(content: bytes) -> str:
    process = content[_WHO:].decode(errors="replace").strip()
    return f"process {process}" if process.isdecimal() else "another process"
