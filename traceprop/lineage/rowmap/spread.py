"""Maps of a few numbers that give an output row many input rows: all of them, or a run."""

# ruff: noqa: D102 - the methods are RowMap's and documented there

from __future__ import annotations

import numpy as np

from traceprop.lineage.rowmap.base import Groups_, RowMap, check_entries
from traceprop.lineage.rowset import EMPTY, Rows, RowSet, first_rows, row_dtype


class All(RowMap):
    """Every output row came from the same input rows: all of them, or those in `rows`."""

    __slots__ = ("rows",)

    def __init__(self, n_out: int, n_in: int, rows: RowSet | None = None) -> None:
        super().__init__(n_out, n_in)
        self.rows = RowSet.span(0, n_in) if rows is None else rows

    def image(self, rows: RowSet) -> RowSet:
        return self.rows if len(rows) else EMPTY

    def preimage(self, rows: RowSet) -> RowSet:
        span = rows.as_range
        if span is not None and self.rows.as_range == range(self.n_in):
            touched = len(span) > 0
        else:
            touched = bool(np.any(self.rows.mask(self.n_in) & rows.mask(self.n_in)))
        return RowSet.span(0, self.n_out) if touched else EMPTY

    def groups(self) -> Groups_:
        check_entries(self.n_out * len(self.rows))
        indptr = np.arange(self.n_out + 1, dtype=np.int64) * len(self.rows)
        return indptr, np.tile(self.rows.to_numpy(), self.n_out)


class Spans(RowMap):
    """Output row i came from the consecutive input rows `low[i]` to `high[i]`."""

    __slots__ = ("_bounds",)

    def __init__(self, low: Rows, high: Rows, n_in: int) -> None:
        super().__init__(len(low), n_in)
        self._bounds = low, high

    def bounds(self, rows: Rows) -> tuple[Rows, Rows]:
        """First input row, and the one after the last, of each of the given output rows."""
        return self._bounds[0][rows], self._bounds[1][rows]

    def _all_bounds(self) -> tuple[Rows, Rows]:
        return self.bounds(first_rows(self.n_out).astype(np.int64))

    def image(self, rows: RowSet) -> RowSet:
        low, high = self.bounds(rows.to_numpy().astype(np.int64))
        if len(low) == 1:
            return RowSet.span(int(low[0]), int(high[0]))
        kept = high > low
        edges = np.zeros(self.n_in + 1, dtype=np.int64)
        np.add.at(edges, low[kept], 1)
        np.subtract.at(edges, high[kept], 1)
        return RowSet.from_mask(np.cumsum(edges[:-1]) > 0)

    def preimage(self, rows: RowSet) -> RowSet:
        low, high = self._all_bounds()
        before = np.zeros(self.n_in + 1, dtype=np.int64)  # how many of `rows` come before a row
        np.cumsum(rows.mask(self.n_in), out=before[1:])
        return RowSet.from_mask((high > low) & (before[np.maximum(high, low)] > before[low]))

    def groups(self) -> Groups_:
        from numba_kernels.rowmaps import fill_spans

        low, high = self._all_bounds()
        check_entries(int(np.maximum(high - low, 0).sum()))
        indptr, indices = fill_spans(low, high, np.empty(0, row_dtype(self.n_in)))
        return indptr, indices

    @property
    def nbytes(self) -> int:
        return self._bounds[0].nbytes + self._bounds[1].nbytes


class _Formula(Spans):
    """Spans whose bounds are a formula, so that nothing is kept per row."""

    __slots__ = ()

    def __init__(self, n_out: int, n_in: int) -> None:
        RowMap.__init__(self, n_out, n_in)

    @property
    def nbytes(self) -> int:
        return 0


class Blocks(_Formula):
    """A reshape: output rows hold `width_out` cells of rows that held `width_in`, in order."""

    __slots__ = ("width_in", "width_out")

    def __init__(self, width_out: int, width_in: int, n_out: int, n_in: int) -> None:
        super().__init__(n_out, n_in)
        self.width_out = width_out
        self.width_in = width_in

    def bounds(self, rows: Rows) -> tuple[Rows, Rows]:
        first = rows * self.width_out
        return first // self.width_in, (first + self.width_out - 1) // self.width_in + 1


class Window(_Formula):
    """Output row i came from input rows `i + before` to `i + after`, both included, clipped."""

    __slots__ = ("after", "before")

    def __init__(self, before: int, after: int, n_out: int, n_in: int) -> None:
        super().__init__(n_out, n_in)
        self.before = before
        self.after = after

    def bounds(self, rows: Rows) -> tuple[Rows, Rows]:
        low = np.clip(rows + self.before, 0, self.n_in)
        return low, np.clip(rows + self.after + 1, 0, self.n_in)


class Prefix(_Formula):
    """Output row i came from input rows 0 to i, or to `ends[i]`, itself included."""

    __slots__ = ("ends",)

    def __init__(self, n_out: int, n_in: int, ends: Rows | None = None) -> None:
        super().__init__(n_out, n_in)
        self.ends = ends

    def bounds(self, rows: Rows) -> tuple[Rows, Rows]:
        high = (rows if self.ends is None else self.ends[rows]).astype(np.int64) + 1
        return np.zeros(len(high), dtype=np.int64), np.minimum(high, self.n_in)

    def image(self, rows: RowSet) -> RowSet:
        if not len(rows):
            return EMPTY
        if self.ends is None:
            span = rows.as_range
            last = span.stop - 1 if span is not None else int(rows.to_numpy()[-1])
        else:
            last = int(self.ends[rows.to_numpy()].max())
        return RowSet.span(0, min(last + 1, self.n_in))
