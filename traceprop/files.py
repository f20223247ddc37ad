"""Writing small files so that a reader never sees half of one, and private ones for their owner.

What can be traced to people (gradients, training data, lineage, weights) is written with
`PRIVATE_FILE` into folders of `PRIVATE_FOLDER`, whatever the umask. Promise: after `write_file`
returns, the path holds exactly the new bytes and they are on disk; if it raises, or the machine
stops in between, the path holds what it held before.
"""

from __future__ import annotations

import os
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


def write_file(path: Path, data: bytes, *, mode: int = 0o666, replace: bool = True) -> None:
    """Write a file in one step.

    Parameters
    ----------
    path : Path
        The file; its folder must be there.
    data : bytes
        All of its content.
    mode : int
        Permissions from the first moment on, less the process's umask.
    replace : bool
        Whether a file that is already there may be replaced. If not, FileExistsError is raised and
        the file stays, even when two processes write at once.

    Raises
    ------
    OSError
        The folder is missing or can't be written, the disk is full, or `path` is a folder.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_private_folder(path: Path, *, parents: bool = False) -> None:
    """Make a folder that its owner alone can enter; one that is there keeps its mode.

    Parameters
    ----------
    path : Path
        The folder.
    parents : bool
        Whether folders above it may be made too; these are ordinary ones.
    """
    if parents:
        path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)


def open_private(path: str, flags: int) -> int:
    """Open a file so that, if it is made, its owner alone can read it: an `opener=` of `open`."""
    return os.open(path, flags, PRIVATE_FILE)


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on disk, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
