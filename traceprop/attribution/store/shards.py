"""Gradients on disk: fixed-width little-endian rows, and the samples that they belong to.

Promises: row i of the file is the gradient of `sample_ids[i]`; reading is a memory map, so opening
takes no time and no memory; a row that isn't finite is refused before a byte is written.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.files import CHUNK_BYTES, StoreFolder
from traceprop.attribution.store.manifest import Manifest, ShardEntry
from traceprop.errors import DataError, StoreError

SHARDS = "shards"
ROW_DTYPES = {"float32": np.dtype("<f4")}
_ID = np.dtype("<i8")


def check_dtype(name: str) -> str:
    """Return the name of a row format; `StoreError` if there is none of that name."""
    if name not in ROW_DTYPES:
        raise StoreError(f"dtype={name!r} can't be stored; use one of {', '.join(ROW_DTYPES)}.")
    return name


def check_rows(gradients: NDArray[np.floating], sample_ids: NDArray[np.int64]) -> None:
    """Refuse rows that can't be committed.

    Raises
    ------
    DataError
        There are none, ids and rows are out of step, an id is negative or comes twice, or a
        gradient isn't finite (the first such sample is named).
    """
    if gradients.ndim != 2 or not gradients.size:
        raise DataError(f"Gradients of shape {gradients.shape} can't be stored: no sample in them.")
    if sample_ids.shape != gradients.shape[:1]:
        raise DataError(
            f"{sample_ids.shape[0]} sample ids for {gradients.shape[0]} gradients: give one a row."
        )
    ordered = np.sort(sample_ids)
    if ordered[0] < 0:
        raise DataError(f"Sample {ordered[0]} is no sample: they are counted from 0.")
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if twice.size:
        raise DataError(f"Sample {twice[0]} has more than one row of gradients.")
    step = _rows_per_chunk(gradients.shape[1])
    for start in range(0, len(gradients), step):
        bad = np.flatnonzero(~np.isfinite(gradients[start : start + step]).all(axis=1))
        if bad.size:
            raise DataError(
                f"The gradient of sample {sample_ids[start + bad[0]]} has NaN or infinite "
                f"values: the training diverged. Lower the learning rate, or clip."
            )


def write_shard(
    folder: StoreFolder,
    rank: int,
    number: int,
    gradients: NDArray[np.floating],
    sample_ids: NDArray[np.int64],
    dtype: str,
) -> ShardEntry:
    """Write the rows of one rank as a new shard.

    Parameters
    ----------
    folder : StoreFolder
    rank, number : int
        Together the shard's name, which must be new.
    gradients : ndarray, shape (n, width)
    sample_ids : ndarray of int64, shape (n,)
    dtype : str
        A name of `ROW_DTYPES`.
    """
    name = f"{SHARDS}/{rank}-{number}"
    rows = folder.write(f"{name}.bin", _encoded(gradients, ROW_DTYPES[dtype]))
    ids = folder.write(f"{name}.ids", [np.ascontiguousarray(sample_ids, _ID).tobytes()])
    return ShardEntry(rank, number, len(gradients), rows, ids)


def open_rows(folder: StoreFolder, manifest: Manifest) -> NDArray[np.float32]:
    """Map the committed gradients, shape `(rows, width)`, read-only."""
    shard = _only_shard(folder, manifest)
    dtype = ROW_DTYPES[manifest.dtype]
    path, shape = folder.locate(shard.gradients.path), (shard.rows, manifest.width)
    return np.memmap(path, dtype, mode="r", shape=shape)


def open_sample_ids(folder: StoreFolder, manifest: Manifest) -> NDArray[np.int64]:
    """Map the samples that the committed gradients belong to, shape `(rows,)`, read-only."""
    shard = _only_shard(folder, manifest)
    return np.memmap(folder.locate(shard.sample_ids.path), _ID, mode="r", shape=(shard.rows,))


def _only_shard(folder: StoreFolder, manifest: Manifest) -> ShardEntry:
    """Return the shard, with its sizes held against the manifest's figures."""
    if manifest.dtype not in ROW_DTYPES or len(manifest.shards) != 1:
        raise StoreError(
            f"{folder.root} holds {len(manifest.shards)} shards of {manifest.dtype}; this version "
            f"reads one of {', '.join(ROW_DTYPES)}. Open it with the version that wrote it."
        )
    (shard,) = manifest.shards
    row_bytes = manifest.width * ROW_DTYPES[manifest.dtype].itemsize
    sizes = (shard.gradients.size, shard.sample_ids.size)
    if shard.rows < 1 or sizes != (shard.rows * row_bytes, shard.rows * _ID.itemsize):
        raise StoreError(
            f"{folder.root}/{manifest.name} contradicts itself: {shard.rows} rows of "
            f"{row_bytes} bytes in {sizes[0]} bytes. Copy the store again from a good one."
        )
    return shard


def _encoded(gradients: NDArray[np.floating], dtype: np.dtype[np.float32]) -> Iterator[memoryview]:
    step = _rows_per_chunk(gradients.shape[1])
    for start in range(0, len(gradients), step):
        block = np.ascontiguousarray(gradients[start : start + step], dtype)
        yield block.reshape(-1).view(np.uint8).data


def _rows_per_chunk(width: int) -> int:
    return max(1, CHUNK_BYTES // (4 * width))
