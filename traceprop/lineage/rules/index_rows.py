"""Rows that a one-dimensional mask or index chose, as a row map.

The map owns what it keeps, a bit a row for a mask and an int32 for an index, so that later writes
into the array are no concern of it. Whoever holds the index shares the map's rows from then on. An
index that nobody can write into unseen is read as it is until its rows are looked up: to mark
them, which is all that a set of rows needs, takes less time than to write them out.
"""

# ruff: noqa: D102 - the methods are RowMap's and documented there

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import ChangedArrayError
from traceprop.lineage.graph.node import Held
from traceprop.lineage.halves import in_halves
from traceprop.lineage.recording.kept_arrays import check_unchanged
from traceprop.lineage.rowmap import Filter, RowMap, Take
from traceprop.lineage.rowmap.functional import KERNEL_FROM
from traceprop.lineage.rowmap.listed import marked_in_halves
from traceprop.lineage.rowset import Rows, row_dtype


class Chosen(Take):
    """The rows that an index chose, as one that nobody writes into has them."""

    __slots__ = ("_held", "_rows")

    def __init__(self, held: Held, n_out: int, n_in: int) -> None:
        RowMap.__init__(self, n_out, n_in)
        self.full = True
        self._held = held
        self._rows: Rows | None = None

    @property
    def rows(self) -> Rows:  # type: ignore[override]
        """The rows in the smallest type for them, written out once."""
        if self._rows is None:
            try:
                self._rows = _written_out(self._held, np.asarray(self._held.array), self.n_in)
            except LookupError:
                raise self._outside() from None
        return self._rows

    def marked(self, chosen: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        if self._rows is not None:
            return super().marked(chosen)
        from numba_kernels.rowmaps import mark_index

        index = np.ascontiguousarray(self._held.array)
        which = np.ones(self.n_out, dtype=bool) if chosen is None else chosen
        inside = []

        def mark_part(start: int, stop: int, mask: NDArray[np.bool_]) -> None:
            inside.append(mark_index(index[start:stop], which[start:stop], mask))

        mask = marked_in_halves(mark_part, self.n_out, self.n_in)
        if not all(inside):
            raise self._outside()
        return mask

    def _outside(self) -> ChangedArrayError:
        return ChangedArrayError(
            f"An index names a row that isn't among the {self.n_in} there were: it was changed "
            "since, or the lineage that was loaded is damaged."
        )

    @property
    def nbytes(self) -> int:
        kept: Rows = self._held.array if self._rows is None else self._rows
        return kept.nbytes


def chosen_map(held: Held, n: int) -> RowMap | None:
    """Return the map from the chosen rows to the `n` rows there were, None for other keys.

    Raises
    ------
    LookupError
        When the array was written into since, so that nobody knows what it chose.
    """
    if held.array is None:
        return None
    check_unchanged(held)
    array = np.asarray(held.array)
    if array.ndim != 1:
        return None
    if array.dtype == bool:
        if len(array) != n:
            raise LookupError
        return Filter(array)
    if array.dtype.kind not in "iu":
        return None
    if held.mark is None and len(array) >= KERNEL_FROM:
        return Chosen(held, len(array), n)
    return Take(_written_out(held, array, n), n, full=True)


def _written_out(held: Held, array: Rows, n: int) -> Rows:
    """Return the rows that an index chose of `n`, which its holder shares from now on.

    Raises
    ------
    LookupError
        When it names a row that isn't there.
    """
    rows, lowest, highest = _narrowed(array, n)
    if lowest < -n or highest >= n:
        raise LookupError
    if lowest < 0:  # it counts from the end, and means another row over other arrays
        return np.where(rows < 0, rows + rows.dtype.type(n), rows)
    held.mark = None  # first: another thread would find the new array and the old mark
    held.array = rows
    return rows


def _narrowed(index: Rows, n: int) -> tuple[Rows, int, int]:
    """Copy an index into the smallest type for `n` rows; also return its lowest and highest."""
    if len(index) < KERNEL_FROM:
        few: Rows = index.astype(row_dtype(n))
        return few, int(index.min(initial=0)), int(index.max(initial=0))
    from numba_kernels.rowmaps import narrow_index

    index = np.ascontiguousarray(index)
    rows: Rows = np.empty(len(index), row_dtype(n))
    found = in_halves(lambda a, b: narrow_index(index[a:b], rows[a:b]), len(index))
    return rows, min(low for low, _ in found), max(high for _, high in found)
