"""Shards written again: without some samples' rows, or several as one.

Promises: what is copied was held against its checksums before; rows that stay are copied as they
are stored, never rounded again, unless rows of one sample are added up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.projection import Projector
from traceprop.attribution.store.folder.files import FileEntry, StoreFolder
from traceprop.attribution.store.folder.formats import encode
from traceprop.attribution.store.folder.manifest import Manifest, ShardEntry
from traceprop.attribution.store.rows.shard_files import write_encoded
from traceprop.attribution.store.rows.shards import Shard, open_shards
from traceprop.attribution.store.rows.stored_rows import StoredRows, rows_per_block
from traceprop.errors import StoreError

Block = tuple[NDArray[Any], NDArray[np.float32] | None]
Advance = Callable[[int], None]


def refuse_damaged(folder: StoreFolder, entries: Sequence[FileEntry]) -> None:
    """Raise `StoreError` where files that are to be copied aren't as they were written."""
    for entry in entries:
        if folder.damaged_chunks(entry):
            raise StoreError(
                f"{entry.path} in {folder.root} is damaged, so it isn't copied. "
                f"`traceprop store verify` tells where; copy the store again from a good one."
            )


def write_shards_again(
    folder: StoreFolder,
    manifest: Manifest,
    entries: Sequence[ShardEntry],
    number: int,
    advance: Advance,
) -> ShardEntry | None:
    """Write the rows of some shards as one new shard, without the samples that are being erased.

    Parameters
    ----------
    folder : StoreFolder
    manifest : Manifest
        Whose `erasing` samples are left out.
    entries : sequence of ShardEntry
        Of one checkpoint.
    number : int
        The new shard's; its rank is 0.
    advance : callable
        Told the rows that were read, block by block.

    Returns
    -------
    ShardEntry or None
        None where no row is left.

    Raises
    ------
    StoreError
        A shard is damaged, or rows of one sample can't be added up.
    """
    refuse_damaged(folder, [file for entry in entries for file in entry.entries()])
    part = replace(manifest.parts[0], shards=tuple(entries))
    shards = open_shards(folder, replace(manifest, parts=(part,)))
    if not shards:
        return None
    ids = np.concatenate([shard.sample_ids for shard in shards])
    ordered, first = np.unique(ids, return_index=True)
    if len(ordered) < len(ids):
        if not Projector.from_json(manifest.projector).is_linear:
            raise StoreError(
                f"{folder.root} has factors of gradients of one sample from several ranks, which "
                f"have no sum that is factors again: leave it as it is, its rows are read as sums."
            )
        rows = StoredRows(shards, manifest.width, repeats=True)
        blocks, ids = _added(rows, manifest.dtype, advance), ordered
    elif len(shards) > 1:
        blocks, ids = _gathered(shards, first, manifest.width, advance), ordered
    else:
        blocks = _copied(shards[0], advance)
    return write_encoded(folder, (0, number), blocks, ids, entries[0].checkpoint)


def _copied(shard: Shard, advance: Advance) -> Iterator[Block]:
    step = rows_per_block(shard.values.shape[1])
    for start in range(0, len(shard), step):
        part = slice(start, start + step)
        yield shard.values[part], None if shard.scales is None else shard.scales[part]
        advance(len(shard.values[part]))


def _gathered(
    shards: Sequence[Shard], order: NDArray[np.int64], width: int, advance: Advance
) -> Iterator[Block]:
    """Yield rows of several shards in another order, as they are stored."""
    starts = np.array([shard.start for shard in shards])
    step = rows_per_block(width)
    for start in range(0, len(order), step):
        rows = order[start : start + step]
        values = np.empty((len(rows), width), shards[0].values.dtype)
        scaled = shards[0].scales is not None
        scales = np.empty(len(rows), np.float32) if scaled else None
        owner = np.searchsorted(starts, rows, side="right") - 1
        for number in np.unique(owner):
            here, shard = np.flatnonzero(owner == number), shards[number]
            values[here] = shard.values[rows[here] - shard.start]
            if scales is not None and shard.scales is not None:
                scales[here] = shard.scales[rows[here] - shard.start]
        yield values, scales
        advance(len(rows))


def _added(rows: StoredRows, dtype: str, advance: Advance) -> Iterator[Block]:
    start = 0
    for block in rows.blocks():
        yield encode(block, rows.sample_ids[start : start + len(block)], dtype)
        start += len(block)
        advance(len(block))
