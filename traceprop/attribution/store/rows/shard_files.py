"""Writing rows as a shard: encoded block by block, checksummed while they are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.folder.files import Bytes, StoreFolder
from traceprop.attribution.store.folder.formats import ID, SCALE, encode
from traceprop.attribution.store.folder.layout import SHARDS
from traceprop.attribution.store.folder.manifest import ShardEntry
from traceprop.attribution.store.rows.row_source import RowSource


def write_rows(
    folder: StoreFolder,
    rank: int,
    number: int,
    rows: RowSource,
    first: int,
    dtype: str,
    ids: str | None = None,
) -> ShardEntry:
    """Write rows as a new shard.

    Parameters
    ----------
    folder : StoreFolder
    rank, number : int
        Together the shard's name, which must be new.
    rows : RowSource
    first : int
        Added to the samples' numbers.
    dtype : str
        A name of `ROW_FORMATS`.
    ids : str, optional
        Where the samples' numbers go, if not beside the rows.

    Raises
    ------
    DataError
        A row isn't finite, or the format can't hold it.
    OSError
        The system refused.
    """
    samples = rows.sample_ids

    def encoded() -> Iterator[tuple[NDArray[np.generic], NDArray[np.float32] | None]]:
        start = 0
        for block in rows.blocks():
            yield encode(block, samples[start : start + len(block)], dtype)
            start += len(block)

    name = (rank, number)
    return write_encoded(folder, name, encoded(), samples + first, rows.checkpoint, ids)


def write_encoded(
    folder: StoreFolder,
    name: tuple[int, int],
    blocks: Iterable[tuple[NDArray[np.generic], NDArray[np.float32] | None]],
    sample_ids: NDArray[np.int64],
    checkpoint: int | None,
    ids: str | None = None,
) -> ShardEntry:
    """Write rows that are in their format already as a new shard.

    Parameters
    ----------
    folder : StoreFolder
    name : tuple of (int, int)
        Rank and number.
    blocks : iterable of (values, scales)
        As `formats.encode` gives them.
    sample_ids : ndarray of int64
        As many as there are rows.
    checkpoint : int or None
    ids : str, optional
        Where they go, if not beside the rows.
    """
    below = f"{SHARDS}/{name[0]}-{name[1]}"
    scales: list[NDArray[np.float32]] = []

    def values() -> Iterator[Bytes]:
        for block, scale in blocks:
            if scale is not None:
                scales.append(scale)
            yield np.ascontiguousarray(block).reshape(-1).view(np.uint8).data

    return ShardEntry(
        *name,
        len(sample_ids),
        gradients=folder.write(f"{below}.bin", values()),
        sample_ids=folder.write(ids or f"{below}.ids", [_raw(sample_ids, ID)]),
        scales=folder.write(f"{below}.scales", [_raw(np.concatenate(scales), SCALE)])
        if scales
        else None,
        checkpoint=checkpoint,
    )


def moved_ids(folder: StoreFolder, shard: ShardEntry, first: int) -> ShardEntry:
    """Write the sample numbers of another rank's shard as the store counts them."""
    path = folder.locate(shard.sample_ids.path)
    ids: NDArray[np.int64] = np.fromfile(path, ID, count=shard.rows) + first
    name = shard.gradients.path.removesuffix(".bin") + ".ids"
    return replace(shard, sample_ids=folder.write(name, [_raw(ids, ID)]))


def _raw(values: NDArray[np.generic], dtype: np.dtype[np.generic]) -> memoryview:
    return np.ascontiguousarray(values, dtype).view(np.uint8).data
