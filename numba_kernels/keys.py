"""Keys of tables: numbering them, matching those of two tables, and reducing rows by group.

A key is an int64; rows without one say so in `present`. *Labels* number the groups of rows: label g
of row i in `labels[i]`, every row with one. All arrays are C-contiguous. Twins:
`tests/naive/tables.py`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: Knuth's multiplicative hash
_FEWEST = 1024  # slots of a table to begin with


@njit(cache=True, nogil=True)
def _slot(key, shift):  # type: ignore[no-untyped-def]
    """Return where a key's search begins in a table of 2**(64 - shift) slots."""
    mixed = np.uint64(key)
    mixed ^= mixed >> np.uint64(32)
    return np.int64((mixed * _SPREAD) >> np.uint64(shift))


@njit(cache=True, nogil=True)
def _grow(keys, ids, shift):  # type: ignore[no-untyped-def]
    """Return a table of twice the slots."""
    size = keys.shape[0] * 2
    new_keys = np.empty(size, np.int64)
    new_ids = np.full(size, -1, np.int64)
    for i in range(keys.shape[0]):
        if ids[i] >= 0:
            at = _slot(keys[i], shift - 1)
            while new_ids[at] >= 0:
                at = (at + 1) & (size - 1)
            new_keys[at] = keys[i]
            new_ids[at] = ids[i]
    return new_keys, new_ids


@njit(cache=True, nogil=True)
def number_keys(keys, present, ids):  # type: ignore[no-untyped-def]
    """Write numbers for the distinct keys, 0, 1, … as they appear, into `ids`; -1 for no key.

    Returns the row at which each first appeared, and the hash table: its keys, ids and shift.
    """
    slot_keys = np.empty(_FEWEST, np.int64)
    slot_ids = np.full(_FEWEST, -1, np.int64)
    shift = 54
    firsts = np.empty(_FEWEST, np.int64)
    count = 0
    for row in range(keys.shape[0]):
        if not present[row]:
            ids[row] = -1
            continue
        key = keys[row]
        last = slot_ids.shape[0] - 1
        at = _slot(key, shift)
        while slot_ids[at] >= 0 and slot_keys[at] != key:
            at = (at + 1) & last
        if slot_ids[at] < 0:
            if count == firsts.shape[0]:
                firsts = np.append(firsts, np.empty(count, np.int64))
            slot_keys[at] = key
            slot_ids[at] = count
            firsts[count] = row
            ids[row] = count
            count += 1
            if count * 2 > last:
                slot_keys, slot_ids = _grow(slot_keys, slot_ids, shift)
                shift -= 1
        else:
            ids[row] = slot_ids[at]
    return firsts[:count].copy(), slot_keys, slot_ids, shift


@njit(cache=True, nogil=True)
def find_keys(keys, present, slot_keys, slot_ids, shift, ids):  # type: ignore[no-untyped-def]
    """Write into `ids` the numbers that `number_keys` gave to these keys, -1 where it gave none."""
    last = slot_ids.shape[0] - 1
    for row in range(keys.shape[0]):
        ids[row] = -1
        if present[row]:
            key = keys[row]
            at = _slot(key, shift)
            while slot_ids[at] >= 0 and slot_keys[at] != key:
                at = (at + 1) & last
            ids[row] = slot_ids[at]


@njit(cache=True, nogil=True)
def mark_keys(keys, present, lowest, seen):  # type: ignore[no-untyped-def]
    """Set `seen[key - lowest]` for each key."""
    for row in range(keys.shape[0]):
        if present[row]:
            seen[keys[row] - lowest] = 1


@njit(cache=True, nogil=True)
def number_marked(keys, present, lowest, numbers, ids):  # type: ignore[no-untyped-def]
    """Write `numbers[key - lowest]` into `ids`; -1 for no key and for those out of reach."""
    for row in range(keys.shape[0]):
        ids[row] = -1
        if present[row]:
            place = keys[row] - lowest
            if 0 <= place < numbers.shape[0]:
                ids[row] = numbers[place]


@njit(cache=True, nogil=True)
def group_rows(ids, count, rows):  # type: ignore[no-untyped-def]
    """Write rows by id into `rows`, in order within each; return where each id's begin.

    Rows of id -1 are left out; `rows` has room for all others.
    """
    starts = np.zeros(count + 1, np.int64)
    for row in range(ids.shape[0]):
        if ids[row] >= 0:
            starts[ids[row] + 1] += 1
    for i in range(count):
        starts[i + 1] += starts[i]
    at = starts[:-1].copy()
    for row in range(ids.shape[0]):
        group = ids[row]
        if group >= 0:
            rows[at[group]] = row
            at[group] += 1
    return starts


@njit(cache=True, nogil=True)
def count_matches(left_ids, starts, keep):  # type: ignore[no-untyped-def]
    """Count the pairs of rows of one id; with `keep` a left row without one counts as a pair."""
    total = np.int64(0)
    for row in range(left_ids.shape[0]):
        found = left_ids[row]
        size = starts[found + 1] - starts[found] if found >= 0 else 0
        total += size if size or not keep else 1
    return total


@njit(cache=True, nogil=True)
def fill_matches(left_ids, starts, right_rows, keep, left, right):  # type: ignore[no-untyped-def]
    """Write the pairs that `count_matches` counted, by left row; the right one is -1 for none."""
    at = 0
    for row in range(left_ids.shape[0]):
        found = left_ids[row]
        begin = starts[found] if found >= 0 else 0
        end = starts[found + 1] if found >= 0 else 0
        for k in range(begin, end):
            left[at] = row
            right[at] = right_rows[k]
            at += 1
        if begin == end and keep:
            left[at] = row
            right[at] = -1
            at += 1


@njit(cache=True, nogil=True)
def group_counts(labels, present, counts):  # type: ignore[no-untyped-def]
    """Count the rows of each group that are present."""
    for row in range(labels.shape[0]):
        counts[labels[row]] += present[row]


@njit(cache=True, nogil=True)
def group_sums(values, labels, present, sums):  # type: ignore[no-untyped-def]
    """Add integers by group into `sums`."""
    for row in range(labels.shape[0]):
        if present[row]:
            sums[labels[row]] += values[row]


@njit(cache=True, nogil=True)
def group_float_sums(values, labels, present, sums):  # type: ignore[no-untyped-def]
    """Add floats by group into `sums`, with what rounding lost carried along (Neumaier, 1974)."""
    lost = np.zeros(sums.shape[0])
    for row in range(labels.shape[0]):
        if present[row]:
            group = labels[row]
            value = values[row]
            before = sums[group]
            after = before + value
            if np.isfinite(after):
                if abs(before) >= abs(value):
                    lost[group] += (before - after) + value
                else:
                    lost[group] += (value - after) + before
            sums[group] = after
    for group in range(sums.shape[0]):
        if np.isfinite(sums[group]):
            sums[group] += lost[group]


@njit(cache=True, nogil=True)
def group_squares(values, labels, present, means, squares):  # type: ignore[no-untyped-def]
    """Add squared distances from each group's mean into `squares`."""
    for row in range(labels.shape[0]):
        if present[row]:
            group = labels[row]
            away = values[row] - means[group]
            squares[group] += away * away


@njit(cache=True, nogil=True)
def group_extremes(values, labels, present, largest, rows):  # type: ignore[no-untyped-def]
    """Write the row of each group's smallest or largest value into `rows`, which holds -1."""
    for row in range(labels.shape[0]):
        if present[row]:
            group = labels[row]
            best = rows[group]
            if (
                best < 0
                or (largest and values[row] > values[best])
                or (not largest and values[row] < values[best])
            ):
                rows[group] = row


@njit(cache=True, nogil=True)
def group_ends(labels, present, last, rows):  # type: ignore[no-untyped-def]
    """Write the first or last row of each group that is present into `rows`, which holds -1."""
    for row in range(labels.shape[0]):
        if present[row] and (last or rows[labels[row]] < 0):
            rows[labels[row]] = row


@njit(cache=True, nogil=True)
def gather(column, rows, missing, result):  # type: ignore[no-untyped-def]
    """Write `column[rows]` into `result`, and `missing` where a row is -1."""
    for i in range(rows.shape[0]):
        row = rows[i]
        result[i] = column[row] if row >= 0 else missing
