"""Row maps: which input rows (axis 0) each output row came from.

Most operations move rows in a way that a few numbers describe: all in place (`Identity`), every
third (`Slice`), whole blocks (`Blocks`), neighbours (`Window`), everything so far (`Prefix`), the
same rows for every output row (`All`). What needs a number per row is a `Take`, int32 up to 2**31
rows and −1 for "from nowhere", and what needs several is a `Groups`. Every map can say which input
rows a set of output rows came from (`image`), which output rows a set of input rows went to
(`preimage`), and write itself out (`groups`). `traceprop.lineage.compose` joins maps.
"""

# ruff: noqa: D102 - the methods are RowMap's and documented there

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import LineageError
from traceprop.lineage.rowset import EMPTY, Rows, RowSet, distinct, first_rows, narrow, row_dtype

Groups_ = tuple[NDArray[np.int64], Rows]

MOST_ENTRIES = 1 << 31
"""Entries (output row, input row) that `groups` writes out at most: 8 GiB of int32."""


class RowMap:
    """For each of `n_out` output rows, the rows among `n_in` input rows that it came from.

    Attributes
    ----------
    functional : bool
        No output row has more than one input row, so that `index` answers.
    """

    __slots__ = ("n_in", "n_out")

    functional: ClassVar[bool] = False

    def __init__(self, n_out: int, n_in: int) -> None:
        self.n_out = n_out
        self.n_in = n_in

    def image(self, rows: RowSet) -> RowSet:
        """Input rows that any of the output rows `rows` came from."""
        raise NotImplementedError

    def preimage(self, rows: RowSet) -> RowSet:
        """Output rows that came from any of the input rows `rows`."""
        raise NotImplementedError

    def groups(self) -> Groups_:
        """Write the map out: (indptr, indices), indices sorted and distinct within each row."""
        raise NotImplementedError

    def index(self) -> Rows:
        """Input row of each output row, −1 for none; only where `functional`."""
        raise NotImplementedError

    @property
    def nbytes(self) -> int:
        """Bytes that the map keeps per row; a map of a few numbers keeps none."""
        return 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_out} from {self.n_in})"


class _Functional(RowMap):
    """A map with at most one input row per output row."""

    __slots__ = ()

    functional: ClassVar[bool] = True

    def groups(self) -> Groups_:
        index = self.index()
        present = index >= 0
        indptr = np.zeros(self.n_out + 1, dtype=np.int64)
        np.cumsum(present, out=indptr[1:])
        return indptr, index if indptr[-1] == self.n_out else index[present]

    def image(self, rows: RowSet) -> RowSet:
        span = rows.as_range
        index = self.index()
        found = index[span.start : span.stop] if span is not None else index[rows.to_numpy()]
        found = found[found >= 0]
        return RowSet.from_sorted(distinct(found, self.n_in))

    def preimage(self, rows: RowSet) -> RowSet:
        index = self.index()
        if not len(rows) or not self.n_in:
            return EMPTY
        return RowSet.from_mask(rows.mask(self.n_in)[index] & (index >= 0))


class Identity(_Functional):
    """Output row i came from input row i."""

    __slots__ = ()

    def __init__(self, n: int) -> None:
        super().__init__(n, n)

    def image(self, rows: RowSet) -> RowSet:
        return rows

    def preimage(self, rows: RowSet) -> RowSet:
        return rows

    def index(self) -> Rows:
        return first_rows(self.n_out)


class Nothing(_Functional):
    """No output row came from any input row."""

    __slots__ = ()

    def image(self, rows: RowSet) -> RowSet:
        return EMPTY

    def preimage(self, rows: RowSet) -> RowSet:
        return EMPTY

    def index(self) -> Rows:
        return np.full(self.n_out, -1, dtype=np.int32)


class Slice(_Functional):
    """Output row i came from input row `start + i * step`; step 0 repeats one row."""

    __slots__ = ("start", "step")

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
        if span is not None and self.step == 1:
            return RowSet.span(span.start + self.start, span.stop + self.start)
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


class Patch(_Functional):
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


class Outside(_Functional):
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


class Take(_Functional):
    """Output row i came from input row `rows[i]`; −1 is none."""

    __slots__ = ("rows",)

    def __init__(self, rows: Rows, n_in: int) -> None:
        super().__init__(len(rows), n_in)
        self.rows = rows

    def index(self) -> Rows:
        return self.rows

    def image(self, rows: RowSet) -> RowSet:
        if len(rows) == 1:
            row = int(self.rows[next(iter(rows))])
            return RowSet.span(row, row + 1) if row >= 0 else EMPTY
        return super().image(rows)

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes


class Groups(RowMap):
    """Output row i came from input rows `indices[indptr[i]:indptr[i + 1]]`, sorted and distinct."""

    __slots__ = ("indices", "indptr")

    def __init__(self, indptr: NDArray[np.int64], indices: Rows, n_in: int) -> None:
        super().__init__(len(indptr) - 1, n_in)
        self.indptr = indptr
        self.indices = indices

    def groups(self) -> Groups_:
        return self.indptr, self.indices

    def image(self, rows: RowSet) -> RowSet:
        span = rows.as_range
        if span is not None:
            found = self.indices[self.indptr[span.start] : self.indptr[span.stop]]
        else:
            from numba_kernels.rowmaps import take_groups

            found = take_groups(rows.to_numpy(), self.indptr, self.indices)[1]
        return RowSet.from_sorted(distinct(found, self.n_in))

    def preimage(self, rows: RowSet) -> RowSet:
        from numba_kernels.rowmaps import groups_touching

        return RowSet.from_mask(groups_touching(self.indptr, self.indices, rows.mask(self.n_in)))

    @property
    def nbytes(self) -> int:
        return self.indptr.nbytes + self.indices.nbytes


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


def check_entries(entries: int) -> None:
    """Refuse to write out a map that would fill the memory."""
    if entries > MOST_ENTRIES:
        raise LineageError(
            f"Writing out which rows each row came from would take {entries:,} entries: nearly "
            "every row depends on nearly all others. Ask for single rows: X[i].sources()."
        )
