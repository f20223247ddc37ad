"""Joining row maps: one after the other (`compose`), and side by side (`merge`).

Maps of a few numbers join into maps of a few numbers where a formula says how; `Take` and `Groups`
go through the kernels of `numba_kernels.rowmaps`. What would need more memory than it saves stays
a `Chain` or a `Merged`: unevaluated, still able to answer for single rows.
"""

# ruff: noqa: D102 - the methods are RowMap's and documented there

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from traceprop.lineage.halves import in_halves
from traceprop.lineage.rowmap import (
    All,
    Filter,
    Groups,
    Groups_,
    Identity,
    Nothing,
    RowMap,
    Slice,
    Take,
    check_entries,
)
from traceprop.lineage.rowmap.functional import KERNEL_FROM
from traceprop.lineage.rowmap.listed import picked
from traceprop.lineage.rowset import Rows, RowSet, row_dtype, union


class Chain(RowMap):
    """`outer`, then `inner`, not worked out."""

    __slots__ = ("inner", "outer")

    def __init__(self, outer: RowMap, inner: RowMap) -> None:
        super().__init__(outer.n_out, inner.n_in)
        self.outer = outer
        self.inner = inner

    def image(self, rows: RowSet) -> RowSet:
        return self.inner.image(self.outer.image(rows))

    def preimage(self, rows: RowSet) -> RowSet:
        return self.outer.preimage(self.inner.preimage(rows))

    def groups(self) -> Groups_:
        from numba_kernels.rowmaps import compose_groups, count_composed

        indptr, indices = self.outer.groups()
        inner_indptr, inner_indices = self.inner.groups()
        check_entries(int(count_composed(indptr, indices, inner_indptr)))
        composed: Groups_ = compose_groups(indptr, indices, inner_indptr, inner_indices, self.n_in)
        return composed

    @property
    def nbytes(self) -> int:
        return self.outer.nbytes + self.inner.nbytes


class Merged(RowMap):
    """What either of two maps says, not worked out."""

    __slots__ = ("first", "second")

    def __init__(self, first: RowMap, second: RowMap) -> None:
        super().__init__(first.n_out, first.n_in)
        self.first = first
        self.second = second

    def image(self, rows: RowSet) -> RowSet:
        return union(self.first.image(rows), self.second.image(rows))

    def preimage(self, rows: RowSet) -> RowSet:
        return union(self.first.preimage(rows), self.second.preimage(rows))

    def groups(self) -> Groups_:
        from numba_kernels.rowmaps import merge_groups

        indptr, indices = self.first.groups()
        other_indptr, other_indices = self.second.groups()
        dtype = row_dtype(self.n_in)
        merged: Groups_ = merge_groups(
            indptr, indices.astype(dtype), other_indptr, other_indices.astype(dtype)
        )
        return merged

    @property
    def nbytes(self) -> int:
        return self.first.nbytes + self.second.nbytes


def compose(outer: RowMap, inner: RowMap) -> RowMap:
    """Return the map of `outer` (output → middle rows), then `inner` (middle → input rows)."""
    if type(inner) is Identity:
        return outer
    if type(outer) is Identity:
        return inner
    if type(outer) is Nothing or type(inner) is Nothing:
        return Nothing(outer.n_out, inner.n_in)
    if type(outer) is All:
        return All(outer.n_out, inner.n_in, inner.image(outer.rows))
    if type(outer) is Slice and outer.step == 0:
        rows = inner.image(RowSet.span(outer.start, outer.start + 1))
        return All(outer.n_out, inner.n_in, rows)
    if outer.functional and inner.functional:
        return _compose_functional(outer, inner)
    if type(inner) is All and type(outer) is Slice:
        return All(outer.n_out, inner.n_in, inner.rows)
    if type(inner) is Groups and outer.functional:
        from numba_kernels.rowmaps import take_groups

        indptr, indices = take_groups(outer.index(), inner.indptr, inner.indices)
        return Groups(indptr, indices, inner.n_in)
    return Chain(outer, inner)


def _compose_functional(outer: RowMap, inner: RowMap) -> RowMap:
    if type(outer) is Slice and type(inner) is Slice:
        start = inner.start + inner.step * outer.start
        return Slice(start, inner.step * outer.step, outer.n_out, inner.n_in)
    if isinstance(outer, Take) and type(inner) is Slice:
        places: Rows = outer.rows.astype(row_dtype(max(inner.n_in, inner.n_out)))
        present = places >= 0
        places *= inner.step
        places += inner.start
        places[~present] = -1
        return Take(places, inner.n_in, outer.full)
    if type(outer) is Filter:
        rows = picked(inner.index(), outer.mask(), outer.n_out)
        return Take(rows, inner.n_in, inner.full)
    rows = compose_takes(outer.index(), inner.index(), outer.full)
    return Take(rows, inner.n_in, outer.full and inner.full)


def compose_takes(outer: Rows, inner: Rows, full: bool = False) -> Rows:
    """Return `inner[outer]`, −1 where either is; `full` says that no row of `outer` is."""
    if len(outer) < KERNEL_FROM:
        if not len(inner):
            return np.full(len(outer), -1, dtype=inner.dtype)
        found: Rows = inner[outer]
        found[outer < 0] = -1
        return found
    from numba_kernels import rowmaps as kernels

    kernel = kernels.take_rows if full else kernels.compose_takes
    outer, inner = np.ascontiguousarray(outer), np.ascontiguousarray(inner)
    composed: Rows = np.empty(len(outer), inner.dtype)
    in_halves(lambda a, b: kernel(outer[a:b], inner, composed[a:b]), len(outer))
    return composed


def compose_path(path: Sequence[RowMap], n_out: int) -> RowMap:
    """Compose maps in a row, the one nearest the `n_out` output rows first.

    Where every output row comes from one row at most, it is cheaper to begin at the input: a mask
    then picks from the rows so far in one pass, where a look-up would take one per output row. A
    short output is followed from its end.
    """
    if not path:
        return Identity(n_out)
    known = 0
    while known < len(path) and path[known].functional:
        known += 1
    longest = max((row_map.n_out for row_map in path[:known]), default=0)
    if known > 1 and 2 * n_out >= longest:
        for row_map in path[:known]:
            if isinstance(row_map, Take):
                row_map.index()  # written out before the look-ups, from which it takes the cache
        joined = path[known - 1]
        for outer in reversed(path[: known - 1]):
            joined = compose(outer, joined)
    else:
        known, joined = 1, path[0]
    for inner in path[known:]:
        joined = compose(joined, inner)
    return joined


def image_along(path: Sequence[RowMap], n_out: int) -> RowSet:
    """Return the rows that all `n_out` output rows came from, along maps in a row as above.

    A bit for each row is carried from map to map, which is little beside the rows themselves:
    it takes a third of the time of composing, and nothing is kept.
    """
    chosen: NDArray[np.bool_] | None = None  # all rows
    for row_map in path:
        if chosen is not None and np.all(chosen):
            chosen = None
        if isinstance(row_map, Take | Filter) and row_map.n_out >= KERNEL_FROM:
            chosen = row_map.marked(chosen)
        elif type(row_map) is not Identity:
            rows = RowSet.span(0, n_out) if chosen is None else RowSet.from_mask(chosen)
            chosen = row_map.image(rows).mask(row_map.n_in)
        n_out = row_map.n_in
    return RowSet.span(0, n_out) if chosen is None else RowSet.from_mask(chosen)


def merge(a: RowMap, b: RowMap) -> RowMap:
    """Return the map that says what either of two maps over the same rows says."""
    if a is b or type(b) is Nothing or (type(a) is Identity and type(b) is Identity):
        return a
    if type(a) is Nothing:
        return b
    if type(a) is All and _covers_all(a):
        return a
    if type(b) is All and _covers_all(b):
        return b
    if type(a) is All and type(b) is All:
        return All(a.n_out, a.n_in, union(a.rows, b.rows))
    if a.functional and b.functional:
        first, second = a.index(), b.index()
        if np.all((first < 0) | (second < 0) | (first == second)):
            return Take(np.maximum(first, second), a.n_in)
    return Merged(a, b)


def _covers_all(spread: All) -> bool:
    return len(spread.rows) == spread.n_in
