"""Files of a store opened for reading: ordinary ones alone, and as long as they should be.

Promise: a pipe, a socket or a device that lies in a file's place is refused, and neither waited for
nor read; a file that is shorter than what is mapped of it is an error, not a killed process.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import StoreError


def is_ordinary(path: Path) -> bool:
    """Tell whether there is an ordinary file, or a link to one; `FileNotFoundError` if nothing."""
    return stat.S_ISREG(path.stat().st_mode)


def check_ordinary(path: Path) -> None:
    """Raise `StoreError` where something else than an ordinary file is; `OSError` for nothing."""
    if not is_ordinary(path):
        raise _refusal(path)


def open_ordinary(path: Path) -> BinaryIO:
    """Open a file for reading.

    Raises
    ------
    StoreError
        It is something else than an ordinary file.
    OSError
        It is not there, or can't be read.
    """
    # Looked at before it is opened, since opening is what some devices act on; and opened so that
    # a pipe which came in between isn't waited for.
    check_ordinary(path)
    return open(path, "rb", opener=_without_waiting)


def read_ordinary(path: Path) -> bytes:
    """Read a whole file; errors as of `open_ordinary`."""
    with open_ordinary(path) as file:
        return file.read()


def map_ordinary(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Map the beginning of a file as an array, read-only; errors as of `open_ordinary`.

    Parameters
    ----------
    path : Path
    dtype : numpy.dtype
    shape : tuple of int

    Raises
    ------
    StoreError
        The file is shorter than that: a touch of what is missing would kill the process.
    """
    needed = int(np.prod(shape)) * dtype.itemsize
    with open_ordinary(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size < needed:
            raise StoreError(
                f"{path} has {size} bytes instead of {needed}: it was cut since the store was "
                f"opened. Copy the store again from a good one."
            )
        return np.memmap(file, dtype, mode="r", shape=shape)


def _without_waiting(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _refusal(Path(path))
    return descriptor


def _refusal(path: Path) -> StoreError:
    return StoreError(
        f"{path} is no ordinary file (a pipe, a socket, a device or a folder), so it is no part "
        f"of a store: remove it, and copy the store again from a good one."
    )
