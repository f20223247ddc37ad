"""Maps that keep something for every row: a number, several, or a bit."""

# ruff: noqa: D102 - the methods are RowMap's and documented there

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from traceprop.lineage.halves import in_halves
from traceprop.lineage.rowmap.base import Groups_, RowMap
from traceprop.lineage.rowmap.functional import KERNEL_FROM, Functional
from traceprop.lineage.rowset import EMPTY, Rows, RowSet, distinct, first_rows, row_dtype

_BLOCK: Final = 512  # bits that are looked through for one row


class Take(Functional):
    """Output row i came from input row `rows[i]`; −1 is none.

    Parameters
    ----------
    full : bool
        It is known that no row is −1: whoever looks rows up needs no look at each.
    """

    __slots__ = ("full", "rows")

    def __init__(self, rows: Rows, n_in: int, full: bool = False) -> None:
        super().__init__(len(rows), n_in)
        self.rows = rows
        self.full = full

    def index(self) -> Rows:
        return self.rows

    def marked(self, chosen: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Return a mask over the input rows of those that the chosen output rows came from."""
        from numba_kernels.rowmaps import mark, mark_chosen

        def mark_part(start: int, stop: int, mask: NDArray[np.bool_]) -> None:
            if chosen is None:
                mark(self.rows[start:stop], mask)
            else:
                mark_chosen(self.rows[start:stop], chosen[start:stop], mask)

        return marked_in_halves(mark_part, self.n_out, self.n_in)

    def image(self, rows: RowSet) -> RowSet:
        if len(rows) == 1:
            row = int(self.rows[next(iter(rows))])
            return RowSet.span(row, row + 1) if row >= 0 else EMPTY
        return super().image(rows)

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes


class Filter(Functional):
    """Output row k came from the k-th input row where a mask is True; kept as bits."""

    __slots__ = ("_before", "_bits")

    full = True

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        super().__init__(int(np.count_nonzero(mask)), len(mask))
        self._bits = np.packbits(mask)
        self._before: NDArray[np.int64] | None = None  # rows chosen before each block of bits

    def mask(self) -> NDArray[np.bool_]:
        """Return the mask over the input rows, a new array."""
        return np.unpackbits(self._bits, count=self.n_in).view(bool)

    def index(self) -> Rows:
        return picked(first_rows(self.n_in), self.mask(), self.n_out)

    def image(self, rows: RowSet) -> RowSet:
        if len(rows) == self.n_out:
            return RowSet.from_mask(self.mask())
        return RowSet.from_sorted(self.look_up(rows.to_numpy()))

    def marked(self, chosen: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Return a mask over the input rows of those that the chosen output rows came from."""
        from numba_kernels.rowmaps import spread

        mask = self.mask()
        if chosen is not None:
            middle = len(mask) // 2  # where `in_halves` parts them
            before = int(np.count_nonzero(mask[:middle]))
            in_halves(
                lambda a, b: spread(chosen[before if a else 0 :], mask[a:b]),
                self.n_in,
            )
        return mask

    def preimage(self, rows: RowSet) -> RowSet:
        return RowSet.from_mask(rows.mask(self.n_in)[self.mask()])

    def look_up(self, rows: Rows) -> Rows:
        """Input rows of some output rows; of a few without a look at every row."""
        if len(rows) * _BLOCK >= self.n_in:
            found: Rows = self.index()[rows]
            return found
        before = self._blocks()
        block = np.searchsorted(before, rows, side="right") - 1
        at = block[:, None] * (_BLOCK // 8) + np.arange(_BLOCK // 8)
        bits = np.unpackbits(np.take(self._bits, at, mode="clip"), axis=1)
        counted = np.cumsum(bits, axis=1, dtype=np.int64) + before[block][:, None]
        place = np.argmax(counted > np.asarray(rows)[:, None], axis=1)
        rows_in: Rows = (block * _BLOCK + place).astype(row_dtype(self.n_in))
        return rows_in

    def _blocks(self) -> NDArray[np.int64]:
        if self._before is None:
            ones = np.bitwise_count(self._bits)
            sums = np.add.reduceat(ones, np.arange(0, len(ones), _BLOCK // 8), dtype=np.int64)
            self._before = np.cumsum(sums) - sums
        return self._before

    @property
    def nbytes(self) -> int:
        return self._bits.nbytes


def picked(rows: Rows, mask: NDArray[np.bool_], count: int) -> Rows:
    """Return `rows[mask]`, of which there are `count`."""
    if len(rows) < KERNEL_FROM:
        few: Rows = rows[mask]
        return few
    from numba_kernels.rowmaps import pick

    rows = np.ascontiguousarray(rows)
    found: Rows = np.empty(count, rows.dtype)

    def pick_part(start: int, stop: int) -> None:
        before, size = (int(np.count_nonzero(mask[a:b])) for a, b in ((0, start), (start, stop)))
        pick(rows[start:stop], mask[start:stop], found[before : before + size])

    in_halves(pick_part, len(rows))
    return found


def marked_in_halves(
    mark_part: Callable[[int, int, NDArray[np.bool_]], object], n_out: int, n_in: int
) -> NDArray[np.bool_]:
    """Return the mask over `n_in` rows that `mark_part(start, stop, mask)` set for all rows."""

    def marked(start: int, stop: int) -> NDArray[np.bool_]:
        mask = np.zeros(n_in, dtype=np.bool_)
        mark_part(start, stop, mask)
        return mask

    # A mask for each thread: two that write into one take its cache lines from each other.
    mask, *others = in_halves(marked, n_out)
    for other in others:
        mask |= other
    return mask


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
