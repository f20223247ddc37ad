"""Values as keys: which rows of one or two tables have the same, and in what order.

A key column becomes an int64 per row that is equal exactly where the values are; several columns
become one number. A missing value (NaN, NaT, code -1) is no key of a join, a group of its own among
groups, and last in a sort.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Keys = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_DENSE: Final = 4  # keys within so many times the number of rows are looked up in a plain table
_MOST_COMBINED: Final = 1 << 62


def present_in(values: Array, codes: bool = False) -> Mask:
    """Return a mask of the values that aren't missing."""
    if codes:
        return np.asarray(values >= 0)
    if values.dtype.kind == "f":
        return np.asarray(~np.isnan(values))
    if values.dtype.kind in "mM":
        return np.asarray(~np.isnat(values))
    return np.ones(len(values), np.bool_)


def as_keys(values: Array) -> Keys:
    """Return an int64 per value, equal where the values of this dtype are."""
    if values.dtype.kind == "f":
        return (values.astype(np.float64) + 0.0).view(np.int64)  # -0.0 is 0.0
    if values.dtype.kind in "mM":
        return np.ascontiguousarray(values).view(np.int64)
    return np.ascontiguousarray(values.astype(np.int64, copy=False))


def comparable(left: Array, right: Array) -> tuple[Array, Array, Mask, Mask]:
    """Return two columns of numbers or dates as one dtype, exactly, and which rows can match.

    A value that the other column's dtype can't hold equals none of its values.
    """
    left_kind, right_kind = left.dtype.kind, right.dtype.kind
    masks = present_in(left), present_in(right)
    if left.dtype == right.dtype or (left_kind == "f" and right_kind == "f"):
        return left, right, *masks
    if left_kind in "mM":
        dtype = np.result_type(left, right)
        cast = left.astype(dtype), right.astype(dtype)
        return (
            *cast,
            masks[0] & (cast[0].astype(left.dtype) == left),
            masks[1] & (cast[1].astype(right.dtype) == right),
        )
    whole = _as_integers(left, masks[0]), _as_integers(right, masks[1])
    return whole[0][0], whole[1][0], whole[0][1], whole[1][1]


def _as_integers(values: Array, present: Mask) -> tuple[Keys, Mask]:
    """Return numbers as int64, and a mask of those that are whole and within its range."""
    if values.dtype.kind == "f":
        fits = present & (np.abs(values) < 2.0**63) & (np.trunc(values) == values)
        return np.where(fits, values, 0).astype(np.int64), fits
    if values.dtype.kind == "u" and values.dtype.itemsize == 8:
        present = present & (values < np.uint64(2**63))
    return values.astype(np.int64), present


def ordered_ids(values: Array, codes: bool = False) -> tuple[Keys, int]:
    """Give numbers to distinct values in their order, 0, 1, …; missing ones get the last.

    Returns
    -------
    ids : int64 array, (n,)
    count : int
        How many numbers there are, the one for missing values included.
    """
    present = present_in(values, codes)
    keys = as_keys(values)
    ids = np.empty(len(keys), np.int64)
    low, high = _range(keys, present) if values.dtype.kind != "f" else (0, -1)
    if low <= high and high - low < _DENSE * len(keys):
        count = _number_dense(keys, present, low, high, ids)
    else:
        from numba_kernels.keys import number_keys

        firsts = number_keys(keys, present, ids)[0]
        rank = np.empty(len(firsts) + 1, np.int64)
        rank[np.argsort(values[firsts], kind="stable")] = np.arange(len(firsts))
        rank[-1] = -1
        ids, count = rank[ids], len(firsts)
    if not present.all():
        ids[~present] = count
        count += 1
    return ids, count


def _range(keys: Keys, present: Mask) -> tuple[int, int]:
    chosen = keys if present.all() else keys[present]
    return (int(chosen.min()), int(chosen.max())) if len(chosen) else (0, -1)


def _number_dense(keys: Keys, present: Mask, low: int, high: int, ids: Keys) -> int:
    """Write numbers for keys of a small range, in order, -1 for no key; return how many."""
    from numba_kernels.keys import mark_keys, number_marked

    seen = np.zeros(high - low + 1, np.int64)
    mark_keys(keys, present, low, seen)
    numbers = np.cumsum(seen) - 1
    number_marked(keys, present, low, numbers, ids)
    return int(numbers[-1]) + 1


def group_labels(columns: Sequence[Array], codes: Sequence[bool]) -> npt.NDArray[np.int32]:
    """Give numbers to distinct combinations of values in their order; missing ones come last.

    Returns
    -------
    int32 array, (n,)
    """
    ids, count = ordered_ids(columns[0], codes[0])
    for column, is_codes in zip(columns[1:], codes[1:], strict=True):
        others, size = ordered_ids(column, is_codes)
        if count * size >= _MOST_COMBINED:
            ids, count = ordered_ids(ids)
        ids, count = ids * size + others, count * size
    if len(columns) > 1:
        ids, count = ordered_ids(ids)
    return ids.astype(np.int32)


def sort_order(
    columns: Sequence[Array], codes: Sequence[bool], descending: Sequence[bool]
) -> npt.NDArray[np.intp]:
    """Return the stable order of rows by several columns, the first one first; missing last."""
    order: npt.NDArray[np.intp] | None = None
    for column, is_codes, falls in reversed(list(zip(columns, codes, descending, strict=True))):
        ranked = _rising(column, is_codes, falls)
        if order is None:
            order = np.argsort(ranked, kind="stable")
        else:
            order = order[np.argsort(ranked[order], kind="stable")]
    assert order is not None
    return order


def _rising(values: Array, codes: bool, descending: bool) -> Array:
    """Return numbers that rise as the values rise or, `descending`, fall, missing ones last."""
    if codes:
        top = np.iinfo(values.dtype).max
        return np.where(values < 0, top, top - 1 - values if descending else values)
    if not descending:
        return values
    if values.dtype.kind == "f":
        return np.asarray(-values)
    if values.dtype.kind in "mM":
        return np.asarray(~values.view(np.int64))  # NaT, the smallest, becomes the largest
    return np.asarray(~values)


def matching_rows(
    left: Sequence[tuple[Array, Mask]], right: Sequence[tuple[Array, Mask]], keep_left: bool
) -> tuple[Array, Array]:
    """Pair the rows of two tables whose keys are equal.

    Parameters
    ----------
    left, right : sequence of (values, present)
        The key columns, pair by pair of one dtype.
    keep_left : bool
        Pair a left row without a match with -1.

    Returns
    -------
    left_rows, right_rows : integer arrays, (m,)
        In the order of the left rows, and within those of the right.
    """
    from numba_kernels.keys import count_matches, fill_matches, group_rows

    left_ids, right_ids, count = _ids_of_both(left, right)
    right_rows = np.empty(int(np.count_nonzero(right_ids >= 0)), _row_dtype(len(right_ids)))
    starts = group_rows(right_ids, count, right_rows)
    total = count_matches(left_ids, starts, keep_left)
    pairs = np.empty((2, total), _row_dtype(max(len(left_ids), len(right_ids))))
    fill_matches(left_ids, starts, right_rows, keep_left, pairs[0], pairs[1])
    return pairs[0], pairs[1]


def _row_dtype(n_rows: int) -> type[np.int32 | np.int64]:
    from traceprop.lineage.rowset import row_dtype

    return row_dtype(n_rows)


def _ids_of_both(
    left: Sequence[tuple[Array, Mask]], right: Sequence[tuple[Array, Mask]]
) -> tuple[Keys, Keys, int]:
    """Give equal numbers to equal keys of both tables, -1 to those of the left without a match."""
    (left_keys, left_present), (right_keys, right_present) = (
        _combined(left, right) if len(left) > 1 else (_single(left[0]), _single(right[0]))
    )
    left_ids, right_ids = np.empty(len(left_keys), np.int64), np.empty(len(right_keys), np.int64)
    low, high = _range(right_keys, right_present)
    if low <= high and high - low < _DENSE * len(right_keys):
        from numba_kernels.keys import number_marked

        numbers = np.arange(high - low + 1)
        number_marked(right_keys, right_present, low, numbers, right_ids)
        number_marked(left_keys, left_present, low, numbers, left_ids)
        return left_ids, right_ids, high - low + 1
    from numba_kernels.keys import find_keys, number_keys

    firsts, *table = number_keys(right_keys, right_present, right_ids)
    find_keys(left_keys, left_present, *table, left_ids)
    return left_ids, right_ids, len(firsts)


def _single(column: tuple[Array, Mask]) -> tuple[Keys, Mask]:
    return as_keys(column[0]), column[1]


def _combined(
    left: Sequence[tuple[Array, Mask]], right: Sequence[tuple[Array, Mask]]
) -> tuple[tuple[Keys, Mask], tuple[Keys, Mask]]:
    """Make one key of several, over the rows of both tables."""
    n_left = len(left[0][0])
    present = np.ones(n_left + len(right[0][0]), np.bool_)
    ids, count = np.zeros(len(present), np.int64), 1
    for (a, a_present), (b, b_present) in zip(left, right, strict=True):
        present &= np.concatenate([a_present, b_present])
        others, size = ordered_ids(np.concatenate([as_keys(a), as_keys(b)]))
        if count * size >= _MOST_COMBINED:
            ids, count = ordered_ids(ids)
        ids, count = ids * size + others, count * size
    return (ids[:n_left], present[:n_left]), (ids[n_left:], present[n_left:])
