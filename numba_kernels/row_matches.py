"""Which row of a file's later version is which row of the earlier one, by their hashes.

After Heckel, "A technique for isolating differences between files", CACM 21 (4), 1978: what is
equal at both ends is matched first, then rows that occur once in either version, then their equal
neighbours, forward and backward; a step of our own matches what copies are left in their order. So
a row that moved is found wherever it went, in linear time after one sort.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

NOWHERE = -1


def match_rows(old: NDArray[np.uint64], new: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return for each old row the new row that it is, or NOWHERE.

    Parameters
    ----------
    old, new : uint64 arrays, shape (n,) and (m,)
        A hash per row.

    Returns
    -------
    int64 array, shape (n,)
        No new row is named twice.
    """
    found = np.full(old.size, NOWHERE, np.int64)
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    found[:head] = np.arange(head)
    found[old.size - tail :] = np.arange(new.size - tail, new.size)
    before, after = old[head : old.size - tail], new[head : new.size - tail]
    if before.size and after.size:
        texts, numbers = np.unique(np.concatenate([before, after]), return_inverse=True)
        middle = _match(numbers[: before.size], numbers[before.size :], texts.size)
        middle[middle != NOWHERE] += head
        found[head : old.size - tail] = middle
    return found


def _common(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> int:
    """Count the equal rows at the beginning."""
    length = min(one.size, other.size)
    differs = one[:length] != other[:length]
    return int(np.argmax(differs)) if differs.any() else length


@njit(cache=True, nogil=True)
def _match(old, new, texts):
    """Match rows by the number of their text, from 0 to `texts`."""
    found, taken = np.full(old.size, NOWHERE), np.zeros(new.size, np.bool_)
    copies_old, copies_new = np.zeros(texts, np.int64), np.zeros(texts, np.int64)
    place = np.empty(texts, np.int64)
    for text in old:
        copies_old[text] += 1
    for j in range(new.size):
        copies_new[new[j]] += 1
        place[new[j]] = j
    for i in range(old.size):
        if copies_old[old[i]] == 1 and copies_new[old[i]] == 1:
            found[i] = place[old[i]]
            taken[found[i]] = True
    for i in range(1, old.size):
        j = found[i - 1] + 1
        if found[i] < 0 and 0 < j < new.size and not taken[j] and new[j] == old[i]:
            found[i], taken[j] = j, True
    for i in range(old.size - 2, -1, -1):
        j = found[i + 1] - 1
        if found[i] < 0 and j >= 0 and not taken[j] and new[j] == old[i]:
            found[i], taken[j] = j, True
    # What copies are left, in order: a list of places for each text.
    following, first = np.full(new.size, NOWHERE), np.full(texts, NOWHERE)
    for j in range(new.size - 1, -1, -1):
        if not taken[j]:
            following[j], first[new[j]] = first[new[j]], j
    for i in range(old.size):
        if found[i] < 0 and first[old[i]] >= 0:
            found[i] = first[old[i]]
            first[old[i]] = following[found[i]]
    return found
