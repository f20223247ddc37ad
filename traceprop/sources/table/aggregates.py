"""Aggregates by group on plain arrays: a column and a label per row in, a value per group out.

Missing values (NaN, NaT, code -1) are left out. A group without any value counts 0, sums to 0 and
has no mean, extreme or first value: a missing one stands there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from traceprop.lineage.rowset import row_dtype
from traceprop.sources.table import ops
from traceprop.sources.table.keys import ordered_ids, present_in

Array = npt.NDArray[Any]
Labels = npt.NDArray[np.int32]


def count_of(labels: Labels) -> int:
    """Return how many groups there are."""
    return int(labels.max(initial=-1)) + 1


def _counts(labels: Labels, present: Array) -> npt.NDArray[np.int64]:
    from numba_kernels.keys import group_counts

    counts = np.zeros(count_of(labels), np.int64)
    group_counts(labels, present, counts)
    return counts


def _size(values: Array, labels: Labels, codes: bool = False) -> Array:
    return np.bincount(labels, minlength=count_of(labels))


def _count(values: Array, labels: Labels, codes: bool = False) -> Array:
    return _counts(labels, present_in(values, codes))


def _sum(values: Array, labels: Labels) -> Array:
    from numba_kernels.keys import group_float_sums, group_sums

    present = present_in(values)
    if values.dtype.kind == "f":
        sums = np.zeros(count_of(labels))
        group_float_sums(values.astype(np.float64, copy=False), labels, present, sums)
        return sums
    wide = np.uint64 if values.dtype == np.uint64 else np.int64
    whole = np.zeros(count_of(labels), wide)
    group_sums(values.astype(wide, copy=False), labels, present, whole)
    return whole


def _mean(values: Array, labels: Labels) -> Array:
    sums = _sum(values.astype(np.float64, copy=False), labels)
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / _counts(labels, present_in(values)))


def _var(values: Array, labels: Labels) -> Array:
    from numba_kernels.keys import group_squares

    floats, present = values.astype(np.float64, copy=False), present_in(values)
    counts, squares = _counts(labels, present), np.zeros(count_of(labels))
    group_squares(floats, labels, present, _mean(floats, labels), squares)
    return np.where(counts > 1, squares / np.maximum(counts - 1, 1), np.nan)


def _std(values: Array, labels: Labels) -> Array:
    return np.sqrt(_var(values, labels))


def _extreme(largest: bool) -> Callable[..., Array]:
    def extreme(values: Array, labels: Labels, codes: bool = False) -> Array:
        from numba_kernels.keys import group_extremes

        plain = values
        if values.dtype.kind in "mM":
            plain = values.view(np.int64)
        elif values.dtype.kind == "b":
            plain = values.view(np.uint8)
        elif values.dtype == np.float16:
            plain = values.astype(np.float32)
        rows = np.full(count_of(labels), -1, np.int64)
        group_extremes(plain, labels, present_in(values, codes), largest, rows)
        return ops.gathered(values, rows, codes)

    return extreme


def _end(last: bool) -> Callable[..., Array]:
    def end(values: Array, labels: Labels, codes: bool = False) -> Array:
        from numba_kernels.keys import group_ends

        rows = np.full(count_of(labels), -1, row_dtype(len(labels)))
        group_ends(labels, present_in(values, codes), last, rows)
        return rows

    return end


def _nunique(values: Array, labels: Labels, codes: bool = False) -> Array:
    present = present_in(values, codes)
    ids, count = ordered_ids(values, codes)
    pairs = (labels.astype(np.int64) * count + ids)[present]
    numbered, distinct = ordered_ids(pairs)
    group_of = np.empty(distinct, np.int32)
    group_of[numbered] = labels[present]
    return np.bincount(group_of, minlength=count_of(labels))


VALUES: Final[dict[str, Callable[..., Array]]] = {
    "size": _size,
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "min": _extreme(False),
    "max": _extreme(True),
    "std": _std,
    "var": _var,
    "nunique": _nunique,
}
"""Aggregates that give a value: `run(values, labels)`, of text with `codes=True`. std and var are
the sample's, divided by n - 1, as in pandas and SQL."""

ROWS: Final[dict[str, Callable[..., Array]]] = {"first": _end(False), "last": _end(True)}
"""Aggregates that choose a row of each group, -1 for none."""
