"""How a row of gradients is stored: as float32, as float16, or as int8 with a scale of its own.

Promises: values are little-endian on every machine; what a format can't hold is refused by the
sample's number; int8 is off by at most half of the row's largest value over 127.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import DataError, StoreError

ROW_FORMATS: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "int8": np.dtype("i1"),
}
SCALE = np.dtype("<f4")
ID = np.dtype("<i8")
_LEVELS = np.float32(127)
_LARGEST_HALF = 65504.0


def check_dtype(name: str) -> str:
    """Return the name of a row format; `StoreError` if there is none of that name."""
    if name not in ROW_FORMATS:
        raise StoreError(f"dtype={name!r} can't be stored; use one of {', '.join(ROW_FORMATS)}.")
    return name


def row_bytes(dtype: str, width: int) -> int:
    """Return how many bytes a row takes on disk, with its scale and its sample's number."""
    scale = SCALE.itemsize if dtype == "int8" else 0
    return width * ROW_FORMATS[dtype].itemsize + scale + ID.itemsize


def encode(
    rows: NDArray[np.floating[Any]], sample_ids: NDArray[np.int64], dtype: str
) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """Put rows into a format.

    Parameters
    ----------
    rows : ndarray, shape (n, width)
        Finite.
    sample_ids : ndarray of int64, shape (n,)
        Whose they are, for the message.
    dtype : str
        A name of `ROW_FORMATS`.

    Returns
    -------
    values : ndarray, shape (n, width)
        Contiguous.
    scales : ndarray of float32, shape (n,), or None
        For int8: the largest absolute value of each row over 127.

    Raises
    ------
    DataError
        float16, or float32 where a row has more than that, can't hold it.
    """
    with np.errstate(over="ignore"):
        floats = np.ascontiguousarray(rows, np.float32)
    if rows.dtype.itemsize > floats.itemsize:
        check_finite(floats, sample_ids)
    if dtype == "float32":
        return floats.astype(ROW_FORMATS[dtype], copy=False), None
    if dtype == "float16":
        with np.errstate(over="ignore"):
            halves = floats.astype(ROW_FORMATS[dtype])
        _check_halves(floats, halves, sample_ids)
        return halves, None
    largest = np.abs(floats).max(axis=1, initial=0)
    # A denormal scale can't be divided by: such a row is zero to eight bits.
    scales = np.where(largest < 127 * np.finfo(np.float32).tiny, 0, largest / _LEVELS)
    scales = scales.astype(SCALE)
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
    levels = np.rint(floats * inverse[:, None])
    return np.clip(levels, -_LEVELS, _LEVELS).astype(ROW_FORMATS[dtype]), scales


def decode(values: NDArray[Any], scales: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return stored rows as float32; values that are so already, as they are."""
    if scales is None:
        return values.astype(np.float32, copy=False)
    decoded: NDArray[np.float32] = np.multiply(values, scales[:, None], dtype=np.float32)
    return decoded


def check_finite(rows: NDArray[np.floating[Any]], sample_ids: NDArray[np.int64]) -> None:
    """Raise `DataError` with the first sample whose row has NaN or infinite values."""
    # A sum is read at the memory's speed, and is finite only where all terms are.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(rows.sum(dtype=rows.dtype)):
            return
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise DataError(
            f"The gradient of sample {sample_ids[bad[0]]} has NaN or infinite "
            f"values: the training diverged. Lower the learning rate, or clip."
        )


def _check_halves(
    floats: NDArray[np.float32], halves: NDArray[Any], sample_ids: NDArray[np.int64]
) -> None:
    bad = np.flatnonzero(~np.isfinite(halves).all(axis=1))
    if bad.size:
        largest = np.abs(floats[bad[0]]).max()
        raise DataError(
            f"The gradient of sample {sample_ids[bad[0]]} has the value {largest:.3g}, and float16 "
            f"holds {_LARGEST_HALF:g} at most: give dtype='float32', or dtype='int8', which has a "
            f"scale for each row."
        )
