"""Composing and merging row maps: which input rows each output row came from.

A *functional* map has at most one input row per output row and is an integer array, −1 where an
output row came from nowhere. Any other map is in compressed form: `indptr` (n + 1 offsets) and
`indices`, the sorted distinct input rows of output row i in `indices[indptr[i]:indptr[i + 1]]`.
All arrays are C-contiguous; indices are int32 or int64. Twins: `tests/naive/rowmaps.py`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

# Rows brought near, looked up and written back at a time: what streams by then doesn't wait behind
# the look-ups, which miss the cache. A fifth faster than one by one.
_BLOCK = 1 << 15


@njit(cache=True, nogil=True)
def compose_takes(outer, inner, result):  # type: ignore[no-untyped-def]
    """Write `inner[outer]` into `result`, −1 where either says −1."""
    n = outer.shape[0]
    near = np.empty(_BLOCK, outer.dtype)
    found = np.empty(_BLOCK, result.dtype)
    for start in range(0, n, _BLOCK):
        size = min(_BLOCK, n - start)
        near[:size] = outer[start : start + size]
        for i in range(size):
            middle = near[i]
            found[i] = inner[middle] if middle >= 0 else -1
        result[start : start + size] = found[:size]


@njit(cache=True, nogil=True)
def take_rows(outer, inner, result):  # type: ignore[no-untyped-def]
    """Write `inner[outer]` into `result`, where no row of `outer` is −1."""
    n = outer.shape[0]
    near = np.empty(_BLOCK, outer.dtype)
    found = np.empty(_BLOCK, result.dtype)
    for start in range(0, n, _BLOCK):
        size = min(_BLOCK, n - start)
        near[:size] = outer[start : start + size]
        for i in range(size):
            found[i] = inner[np.uint64(near[i])]  # unsigned: it can't count from the end
        result[start : start + size] = found[:size]


@njit(cache=True, nogil=True)
def narrow_index(index, result):  # type: ignore[no-untyped-def]
    """Write an index into `result`, of another integer type; return its lowest and highest row."""
    lowest = highest = np.int64(0)
    for i in range(index.shape[0]):
        row = np.int64(index[i])
        lowest = min(lowest, row)
        highest = max(highest, row)
        result[i] = row
    return lowest, highest


@njit(cache=True, nogil=True)
def pick(rows, mask, result):  # type: ignore[no-untyped-def]
    """Write `rows[mask]` into `result`, which has room for just that."""
    n = mask.shape[0]
    while n and not mask[n - 1]:
        n -= 1  # so that the last row written is one that was picked
    at = 0
    for i in range(n):
        result[at] = rows[i]
        at += mask[i]


@njit(cache=True, nogil=True)
def mark(rows, mask):  # type: ignore[no-untyped-def]
    """Set `mask` at each of `rows` that isn't −1."""
    for i in range(rows.shape[0]):
        if rows[i] >= 0:
            mask[rows[i]] = True


@njit(cache=True, nogil=True)
def mark_chosen(rows, chosen, mask):  # type: ignore[no-untyped-def]
    """Set `mask` at each of `rows` that isn't −1 and where `chosen` is True."""
    for i in range(rows.shape[0]):
        if chosen[i] and rows[i] >= 0:
            mask[rows[i]] = True


@njit(cache=True, nogil=True)
def mark_index(index, chosen, mask):  # type: ignore[no-untyped-def]
    """Set `mask` at each row of an index where `chosen` is True; return whether all are rows of it.

    A number below 0 counts from the end of the mask.
    """
    n = np.int64(mask.shape[0])
    inside = True
    for i in range(index.shape[0]):
        row = np.int64(index[i])
        row += n & (row >> 63)  # n where it is negative, else 0
        if np.uint64(row) < np.uint64(n):
            if chosen[i]:
                mask[np.uint64(row)] = True
        else:
            inside = False
    return inside


@njit(cache=True, nogil=True)
def spread(chosen, mask):  # type: ignore[no-untyped-def]
    """Leave of the k-th True of `mask` what `chosen[k]` says, in place."""
    at = 0
    for i in range(mask.shape[0]):
        if mask[i]:
            mask[i] = chosen[at]
            at += 1


@njit(cache=True, nogil=True)
def take_groups(outer, indptr, indices):  # type: ignore[no-untyped-def]
    """Return the groups `outer` picks, empty where it says −1, as (indptr, indices)."""
    n = outer.shape[0]
    offsets = np.zeros(n + 1, np.int64)
    for i in range(n):
        middle = outer[i]
        size = indptr[middle + 1] - indptr[middle] if middle >= 0 else 0
        offsets[i + 1] = offsets[i] + size
    result = np.empty(offsets[n], indices.dtype)
    for i in range(n):
        middle = outer[i]
        if middle >= 0:
            result[offsets[i] : offsets[i + 1]] = indices[indptr[middle] : indptr[middle + 1]]
    return offsets, result


@njit(cache=True, nogil=True)
def count_composed(indptr, indices, inner_indptr):  # type: ignore[no-untyped-def]
    """Return how many entries `compose_groups` visits: the most that its result can have."""
    total = 0
    for k in range(indptr[-1]):
        middle = indices[k]
        total += inner_indptr[middle + 1] - inner_indptr[middle]
    return total


@njit(cache=True, nogil=True)
def compose_groups(indptr, indices, inner_indptr, inner_indices, n_rows):  # type: ignore[no-untyped-def]
    """Compose two maps in compressed form; `n_rows` counts the rows of the innermost."""
    n = indptr.shape[0] - 1
    stamp = np.full(n_rows, -1, np.int64)  # last output row that took this input row
    offsets = np.zeros(n + 1, np.int64)
    for i in range(n):
        size = 0
        for k in range(indptr[i], indptr[i + 1]):
            middle = indices[k]
            for j in range(inner_indptr[middle], inner_indptr[middle + 1]):
                row = inner_indices[j]
                if stamp[row] != i:
                    stamp[row] = i
                    size += 1
        offsets[i + 1] = offsets[i] + size
    stamp[:] = -1
    result = np.empty(offsets[n], inner_indices.dtype)
    at = 0
    for i in range(n):
        for k in range(indptr[i], indptr[i + 1]):
            middle = indices[k]
            for j in range(inner_indptr[middle], inner_indptr[middle + 1]):
                row = inner_indices[j]
                if stamp[row] != i:
                    stamp[row] = i
                    result[at] = row
                    at += 1
        result[offsets[i] : at].sort()
    return offsets, result


@njit(cache=True, nogil=True)
def merge_groups(indptr, indices, other_indptr, other_indices):  # type: ignore[no-untyped-def]
    """Return the union of two maps in compressed form, row by row."""
    n = indptr.shape[0] - 1
    offsets = np.zeros(n + 1, np.int64)
    result = np.empty(indptr[n] + other_indptr[n], indices.dtype)
    at = 0
    for i in range(n):
        j, k = indptr[i], other_indptr[i]
        while j < indptr[i + 1] and k < other_indptr[i + 1]:
            a, b = indices[j], other_indices[k]
            result[at] = min(a, b)
            at += 1
            j += a <= b
            k += b <= a
        while j < indptr[i + 1]:
            result[at] = indices[j]
            at += 1
            j += 1
        while k < other_indptr[i + 1]:
            result[at] = other_indices[k]
            at += 1
            k += 1
        offsets[i + 1] = at
    return offsets, result[:at].copy()


@njit(cache=True, nogil=True)
def group_cells(cells):  # type: ignore[no-untyped-def]
    """Return the distinct numbers ≥ 0 in each row of a matrix, as (indptr, indices)."""
    n, width = cells.shape
    offsets = np.zeros(n + 1, np.int64)
    result = np.empty(n * width, cells.dtype)
    at = 0
    for i in range(n):
        ordered = np.sort(cells[i])
        last = ordered.dtype.type(-1)
        for row in ordered:
            if row > last:
                result[at] = row
                at += 1
                last = row
        offsets[i + 1] = at
    return offsets, result[:at].copy()


@njit(cache=True, nogil=True)
def fill_spans(low, high, like):  # type: ignore[no-untyped-def]
    """Return groups of consecutive rows, `low[i]` to `high[i]`; indices like `like`."""
    n = low.shape[0]
    offsets = np.zeros(n + 1, np.int64)
    for i in range(n):
        offsets[i + 1] = offsets[i] + max(0, high[i] - low[i])
    result = np.empty(offsets[n], like.dtype)
    for i in range(n):
        for j in range(offsets[i + 1] - offsets[i]):
            result[offsets[i] + j] = low[i] + j
    return offsets, result


@njit(cache=True, nogil=True)
def groups_touching(indptr, indices, wanted):  # type: ignore[no-untyped-def]
    """Return a mask of the groups that hold a row where `wanted` is True."""
    n = indptr.shape[0] - 1
    touched = np.zeros(n, np.bool_)
    for i in range(n):
        for k in range(indptr[i], indptr[i + 1]):
            if wanted[indices[k]]:
                touched[i] = True
                break
    return touched
