"""Rows that a one-dimensional mask or index chose, as a row map.

The map owns what it keeps, a bit a row for a mask and an int32 for an index, so that later writes
into the array are no concern of it. Whoever holds the index shares the map's rows from then on.
"""

from __future__ import annotations

import numpy as np

from traceprop.lineage.answers.halves import in_halves
from traceprop.lineage.graph.node import Held
from traceprop.lineage.recording.kept_arrays import check_unchanged
from traceprop.lineage.rowmap import Filter, RowMap, Take
from traceprop.lineage.rowmap.functional import KERNEL_FROM
from traceprop.lineage.rowset import Rows, row_dtype


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
    rows, lowest, highest = _narrowed(array, n)
    if lowest < -n or highest >= n:
        raise LookupError
    if lowest >= 0:  # else the number counts from the end, and means another row over other arrays
        held.mark = None  # first: another thread would find the new array and the old mark
        held.array = rows
    else:
        rows = np.where(rows < 0, rows + rows.dtype.type(n), rows)
    return Take(rows, n, full=True)


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
