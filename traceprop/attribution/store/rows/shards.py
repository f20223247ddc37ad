"""Gradients on disk: fixed-width little-endian rows, and the samples that they belong to.

Promises: row i of a shard is a gradient of its `sample_ids[i]`; reading is a memory map, so opening
takes no time and no memory; a row that isn't finite, or that its format can't hold, is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.folder.formats import ID, ROW_FORMATS, SCALE, decode
from traceprop.attribution.store.folder.manifest import Manifest, ShardEntry
from traceprop.attribution.store.folder.ordinary import map_ordinary
from traceprop.errors import StoreError

SHARDS = "shards"


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """Rows that lie one after the other in one file.

    Parameters
    ----------
    values : ndarray of float32, float16 or int8, shape (rows, width)
        The rows as they are stored, a read-only memory map.
    scales : ndarray of float32, shape (rows,), or None
        What each row of int8 is multiplied by; None for the other formats.
    sample_ids : ndarray of int64, shape (rows,)
        The sample that each row belongs to.
    path : Path
        The file of the values.
    offset : int
        Where in the file the first of the rows begins, in bytes, for positioned reads.
    start : int
        How many rows the shards before this one have.
    checkpoint : int or None
        Which recorded checkpoint the rows are of; None where they are of the run as a whole.
    """

    values: NDArray[Any]
    scales: NDArray[np.float32] | None
    sample_ids: NDArray[np.int64]
    path: Path
    offset: int
    start: int
    checkpoint: int | None

    def __len__(self) -> int:
        return len(self.values)

    def decoded(self, rows: slice | NDArray[np.int64] = slice(None)) -> NDArray[np.float32]:
        """Return rows as float32, shape `(n, width)`: of a slice of a float32 shard, a view."""
        return decode(self.values[rows], None if self.scales is None else self.scales[rows])


def open_shards(folder: StoreFolder, manifest: Manifest) -> tuple[Shard, ...]:
    """Map the committed rows, shard by shard, without those whose erasure has begun.

    A shard with such rows in between comes as several, each from one to the next.

    Raises
    ------
    StoreError
        The manifest contradicts itself, or has a row format that this version doesn't know.
    """
    shards: list[Shard] = []
    start = 0
    for entry in manifest.shards:
        whole = _open(folder, manifest, entry)
        for shard in _without(whole, manifest.erasing):
            shards.append(_moved(shard, start))
            start += len(shard)
    return tuple(shards)


def _open(folder: StoreFolder, manifest: Manifest, entry: ShardEntry) -> Shard:
    row = ROW_FORMATS.get(manifest.dtype)
    if row is None:
        raise StoreError(
            f"{folder.root} holds rows of {manifest.dtype}; this version reads "
            f"{', '.join(ROW_FORMATS)}. Open it with the version that wrote it."
        )
    row_bytes = manifest.width * row.itemsize
    scaled = 0 if entry.scales is None else entry.scales.size
    sizes = (entry.gradients.size, entry.sample_ids.size, scaled)
    scale_bytes = SCALE.itemsize if manifest.dtype == "int8" else 0
    if entry.rows < 1 or sizes != tuple(
        entry.rows * size for size in (row_bytes, ID.itemsize, scale_bytes)
    ):
        raise StoreError(
            f"{folder.root}/{manifest.name} contradicts itself: {entry.rows} rows of "
            f"{row_bytes} bytes in {sizes[0]} bytes. Copy the store again from a good one."
        )
    path = folder.locate(entry.gradients.path)
    return Shard(
        values=map_ordinary(path, row, (entry.rows, manifest.width)),
        scales=_scales(folder.locate(entry.scales.path), entry.rows) if entry.scales else None,
        sample_ids=map_ordinary(folder.locate(entry.sample_ids.path), ID, (entry.rows,)),
        path=path,
        offset=0,
        start=0,
        checkpoint=entry.checkpoint,
    )


def _scales(path: Path, rows: int) -> NDArray[np.float32]:
    """Map the scales of a shard; a row whose scale is no size would drop out of every answer."""
    scales = map_ordinary(path, SCALE, (rows,))
    # The least is NaN where any is.
    if not (scales.min() >= 0 and np.isfinite(scales.max())):
        bad = int(np.flatnonzero(~(np.isfinite(scales) & (scales >= 0)))[0])
        raise StoreError(
            f"{path} is damaged: row {bad} has the scale {scales[bad]}. Copy the store again from "
            f"a good one; store.verify() names all that is damaged."
        )
    return scales


def _without(shard: Shard, erasing: Iterable[tuple[int, int]]) -> list[Shard]:
    """Return the stretches of a shard between the rows of some samples."""
    gone = np.zeros(len(shard), bool)
    for start, stop in erasing:
        gone |= (shard.sample_ids >= start) & (shard.sample_ids < stop)
    if not gone.any():
        return [shard]
    edges = np.flatnonzero(np.diff(gone, prepend=True, append=True))
    row_bytes = shard.values.shape[1] * shard.values.itemsize
    return [
        Shard(
            shard.values[a:b],
            None if shard.scales is None else shard.scales[a:b],
            shard.sample_ids[a:b],
            shard.path,
            int(a) * row_bytes,
            0,
            shard.checkpoint,
        )
        for a, b in edges.reshape(-1, 2)
    ]


def _moved(shard: Shard, start: int) -> Shard:
    return Shard(
        shard.values,
        shard.scales,
        shard.sample_ids,
        shard.path,
        shard.offset,
        start,
        shard.checkpoint,
    )
