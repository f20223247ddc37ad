"""A store's rows as one array of float32, read and decoded in the blocks that are asked for.

Promises: row j is the sum of all rows of sample `sample_ids[j]`, whichever shards, ranks and
checkpoints they are in; no more than a block is decoded at a time; a slice of a single float32
shard is a view of its memory map.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.projection import Projector
from traceprop.attribution.store.rows.shards import Shard

Floats = NDArray[np.float32]

BLOCK_BYTES = 16 << 20
"""Rows are handled in blocks of about this many bytes of float32."""


def rows_per_block(width: int) -> int:
    """Return how many rows of float32 make a block."""
    return max(1, BLOCK_BYTES // (4 * width))


class StoredRows:
    """Rows of one width over several shards.

    Indexing with a slice or an array of row numbers gives float32 rows; `len` counts them.

    Parameters
    ----------
    shards : tuple of Shard
        In the order of their `start`.
    width : int
        Numbers in a row.
    repeats : bool
        Whether a sample may have several rows.
    projector : Projector, optional
        What the stored rows were made by. Rows that can't be added, of factors, are handed out as
        its `linear()` makes them.

    Attributes
    ----------
    sample_ids : ndarray of int64, shape (n,)
        The sample of each row.
    """

    def __init__(
        self,
        shards: tuple[Shard, ...],
        width: int,
        repeats: bool,
        projector: Projector | None = None,
    ) -> None:
        self._shards = shards
        self._projector = None if projector is None or projector.is_linear else projector
        self._width = width if self._projector is None else self._projector.linear().width
        self._starts = np.array([shard.start for shard in shards], np.int64)
        stored = _joined([shard.sample_ids for shard in shards])
        self._order: NDArray[np.int64] | None = None
        self.sample_ids: NDArray[np.int64] = stored
        if repeats:
            self._order = np.argsort(stored, kind="stable")
            ordered = stored[self._order]
            first = np.flatnonzero(np.diff(ordered, prepend=-1))
            self._indptr = np.append(first, len(stored))
            self.sample_ids = ordered[first]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows, and numbers in each."""
        return len(self.sample_ids), self._width

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """float32: what rows are handed out as."""
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __getitem__(self, rows: int | slice | NDArray[np.integer[Any]]) -> Floats:
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1 and self._order is None:
                return self._stretch(start, max(start, stop))
            return self._chosen(np.arange(start, stop, step))
        if isinstance(rows, np.ndarray):
            chosen = rows.astype(np.int64)
            if chosen.size and not -len(self) <= chosen.min() <= chosen.max() < len(self):
                raise IndexError(f"row {chosen.max()} of {len(self)}")
            return self._chosen(np.where(chosen < 0, chosen + len(self), chosen))
        one: Floats = self[np.array([operator.index(rows)])][0]
        return one

    def blocks(self) -> Iterator[Floats]:
        """Yield all rows in order, a block at a time."""
        step = rows_per_block(self._width)
        return (self[start : start + step] for start in range(0, len(self), step))

    def _stretch(self, start: int, stop: int) -> Floats:
        """Return consecutive stored rows."""
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        pieces = []
        for shard in self._shards[max(first, 0) :]:
            if shard.start >= stop:
                break
            here = slice(max(start - shard.start, 0), stop - shard.start)
            pieces.append(self._linear(shard.decoded(here)))
        return _joined(pieces) if pieces else np.empty((0, self._width), np.float32)

    def _chosen(self, rows: NDArray[np.int64]) -> Floats:
        if self._order is None:
            return self._gathered(rows)
        first, counts = self._indptr[rows], self._indptr[rows + 1] - self._indptr[rows]
        ends = np.cumsum(counts)
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(first - ends + counts, counts)
        terms = self._gathered(self._order[places])
        if len(terms) == len(rows):
            return terms
        sums: Floats = np.add.reduceat(terms, ends - counts, axis=0)
        return sums

    def _gathered(self, stored: NDArray[np.int64]) -> Floats:
        """Return stored rows by their number over all shards."""
        out = np.empty((len(stored), self._width), np.float32)
        shard_of = np.searchsorted(self._starts, stored, side="right") - 1
        for number in np.unique(shard_of):
            here, shard = np.flatnonzero(shard_of == number), self._shards[number]
            out[here] = self._linear(shard.decoded(stored[here] - shard.start))
        return out

    def _linear(self, rows: Floats) -> Floats:
        return rows if self._projector is None else self._projector.linear_rows(rows)


def _joined(pieces: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
