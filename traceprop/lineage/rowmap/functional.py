"""Maps of a few numbers that give an output row at most one input row."""

# ruff: noqa: D102 - the methods are RowMap's and documented there

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np

from traceprop.lineage.rowmap.base import Groups_, RowMap
from traceprop.lineage.rowset import EMPTY, Rows, RowSet, distinct, first_rows, narrow, row_dtype

KERNEL_FROM: Final = 4096
"""Rows from which on a kernel pays; below, NumPy is done before numba would be imported."""


class Functional(RowMap):
    """A map with at most one input row per output row."""

    __slots__ = ()

    functional: ClassVar[bool] = True

    def groups(self) -> Groups_:
        index = self.index()
        if self.full or not len(index) or int(index.min()) >= 0:
            return np.arange(self.n_out + 1, dtype=np.int64), index
        present = index >= 0
        indptr = np.zeros(self.n_out + 1, dtype=np.int64)
        np.cumsum(present, out=indptr[1:])
        return indptr, index[present]

    def image(self, rows: RowSet) -> RowSet:
        span = rows.as_range
        index = self.index()
        found = index[span.start : span.stop] if span is not None else index[rows.to_numpy()]
        if len(found) >= KERNEL_FROM and self.n_in <= 64 * len(found):
            from numba_kernels.rowmaps import mark

            mask = np.zeros(self.n_in, dtype=bool)
            mark(found, mask)
            return RowSet.from_mask(mask)
        return RowSet.from_sorted(distinct(found[found >= 0], self.n_in))

    def preimage(self, rows: RowSet) -> RowSet:
        index = self.index()
        if not len(rows) or not self.n_in:
            return EMPTY
        return RowSet.from_mask(rows.mask(self.n_in)[index] & (index >= 0))


class Identity(Functional):
    """Output row i came from input row i."""

    __slots__ = ()

    full = True

    def __init__(self, n: int) -> None:
        super().__init__(n, n)

    def image(self, rows: RowSet) -> RowSet:
        return rows

    def preimage(self, rows: RowSet) -> RowSet:
        return rows

    def index(self) -> Rows:
        return first_rows(self.n_out)


class Nothing(Functional):
    """No output row came from any input row."""

    __slots__ = ()

    def image(self, rows: RowSet) -> RowSet:
        return EMPTY

    def preimage(self, rows: RowSet) -> RowSet:
        return EMPTY

    def index(self) -> Rows:
        return np.full(self.n_out, -1, dtype=np.int32)


class Slice(Functional):
    """Output row i came from input row `start + i * step`; step 0 repeats one row."""

    __slots__ = ("start", "step")

    full = True

    def __init__(self, start: int, step: int, n_out: int, n_in: int) -> None:
        super().__init__(n_out, n_in)
        self.start = start
        self.step = step

    def image(self, rows: RowSet) -> RowSet:
        if not len(rows):
            return EMPTY
        if self.step == 0:
            return RowSet.span(self.start, self.start + 1)
        span = rows.as_range
        if span is not None and (self.step == 1 or len(span) == 1):
            first = span.start * self.step + self.start
            return RowSet.span(first, first + len(span))
        found = rows.to_numpy().astype(np.int64) * self.step + self.start
        return RowSet.from_sorted(narrow(found if self.step > 0 else found[::-1]))

    def preimage(self, rows: RowSet) -> RowSet:
        if self.step == 0:
            return RowSet.span(0, self.n_out) if self.start in rows else EMPTY
        offset = rows.to_numpy().astype(np.int64) - self.start
        places, rest = np.divmod(offset, self.step)
        places = places[(rest == 0) & (places >= 0) & (places < self.n_out)]
        return RowSet.from_sorted(narrow(places if self.step > 0 else places[::-1]))

    def index(self) -> Rows:
        return first_rows(self.n_out, self.n_in) * self.step + self.start


class Patch(Functional):
    """Output rows `low` to `high` came from input rows 0, 1, …; the others from nowhere."""

    __slots__ = ("high", "low")

    def __init__(self, low: int, high: int, n_out: int, n_in: int) -> None:
        super().__init__(n_out, n_in)
        self.low = low
        self.high = high

    def index(self) -> Rows:
        index = np.full(self.n_out, -1, dtype=row_dtype(self.n_in))
        index[self.low : self.high] = np.arange(self.high - self.low, dtype=index.dtype)
        return index

    def image(self, rows: RowSet) -> RowSet:
        span = rows.as_range
        if span is None:
            return super().image(rows)
        return RowSet.span(
            max(span.start, self.low) - self.low, min(span.stop, self.high) - self.low
        )


class Outside(Functional):
    """Output row i came from input row i, but rows `low` to `high` came from nowhere."""

    __slots__ = ("high", "low")

    def __init__(self, low: int, high: int, n: int) -> None:
        super().__init__(n, n)
        self.low = low
        self.high = high

    def index(self) -> Rows:
        index = first_rows(self.n_out)
        index[self.low : self.high] = -1
        return index

    def image(self, rows: RowSet) -> RowSet:
        span = rows.as_range
        if span is not None and (span.stop <= self.low or span.start >= self.high):
            return rows
        found = rows.to_numpy()
        return RowSet.from_sorted(found[(found < self.low) | (found >= self.high)])

    preimage = image
