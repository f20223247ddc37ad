"""The best k of many scores in one pass: a heap of 64-bit keys that never sorts the rest.

A key holds all that decides a rank, so that one integer comparison does: in its upper half the
score, mapped to an integer of the same order; below it the row, so that of equal scores the
earlier row wins, and in the lowest bit the score's sign, which ranking by size would lose. Promise:
what is kept is what a stable sort of all scores begins with, NaN behind every number, however the
rows are spread over heaps and in whatever order they come.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

LARGEST, ABS, AGAINST = 0, 1, 2
"""Orders: largest score first, largest size first, smallest score first."""

MAX_ROWS = 1 << 31
"""Rows are numbered below this."""

_ROW_MASK = np.uint64(MAX_ROWS - 1)
_SIGN = np.uint32(0x80000000)
_U1, _U32 = np.uint64(1), np.uint64(32)


@intrinsic
def _bits(typing_context, value):
    """Return the bits of a float32 as a uint32."""

    def codegen(context, builder, signature, args):
        from llvmlite import ir

        return builder.bitcast(args[0], ir.IntType(32))

    return types.uint32(types.float32), codegen


@intrinsic
def _float(typing_context, bits):
    """Return the float32 of the bits of a uint32."""

    def codegen(context, builder, signature, args):
        from llvmlite import ir

        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.uint32), codegen


@njit(cache=True, nogil=True, inline="always")
def _rank_value(score, order):
    """Return what is ranked by: the larger, the better."""
    if order == ABS:
        return abs(score)
    return -score if order == AGAINST else score


@njit(cache=True, nogil=True, inline="always")
def rank_key(score, row, order):
    """Return the key of a float32 score: the larger, the better. A heap's empty places have 0."""
    negative = score < 0
    value = _rank_value(score, order)
    bits = _bits(np.float32(value + np.float32(0)))  # which makes −0 equal to 0
    if value != value:
        ordered = np.uint32(1)
    elif bits & _SIGN:
        ordered = ~bits
    else:
        ordered = bits | _SIGN
    place = (_ROW_MASK - np.uint64(row)) << _U1
    return (np.uint64(ordered) << _U32) | place | np.uint64(negative)


@njit(cache=True, nogil=True)
def offer(heap, key):
    """Take a key into a heap (k,) in place of its smallest, `heap[0]`, which it must exceed."""
    size = heap.shape[0]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = key


@njit(cache=True, nogil=True)
def _limit(key):
    """Return the value of a key, which a better score reaches at least; NaN for an empty place."""
    ordered = np.uint32(key >> _U32)
    return _float(ordered ^ _SIGN if ordered & _SIGN else ~ordered)


@njit(cache=True, nogil=True)
def offer_scores(scores, first, order, heap):
    """Offer the scores (n,) of rows `first` onwards to a heap; return a row of NaN, else −1."""
    limit, bad = _limit(heap[0]), -1
    for i in range(scores.shape[0]):
        # Nearly every row ends here. With NaN on either side the keys decide.
        if _rank_value(scores[i], order) < limit:
            continue
        if scores[i] != scores[i]:
            bad = first + i
        key = rank_key(scores[i], first + i, order)
        if key > heap[0]:
            offer(heap, key)
            limit = _limit(heap[0])
    return bad


def merge_heaps(
    heaps: NDArray[np.uint64], k: int, order: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Merge heaps into one ranking.

    Parameters
    ----------
    heaps : ndarray of uint64
        The keys of one query, of any shape; 0 stands for an empty place.
    k : int
        How many to return at most.
    order : int
        The order that the keys were made for.

    Returns
    -------
    rows : ndarray of int64, shape (m,)
        The best m ≤ k rows, best first.
    scores : ndarray of float32, shape (m,)
        Theirs.
    """
    keys = np.sort(heaps, axis=None)[::-1]
    keys = keys[: min(k, np.count_nonzero(keys))]
    rows = MAX_ROWS - 1 - ((keys >> _U1) & _ROW_MASK).astype(np.int64)
    ordered = (keys >> _U32).astype(np.uint32)
    bits = np.where(ordered & _SIGN, ordered ^ _SIGN, ~ordered).astype(np.uint32)
    scores = bits.view(np.float32)
    scores[ordered == 1] = np.nan
    if order == AGAINST:
        scores = -scores
    elif order == ABS:
        scores = np.where(keys & _U1, -scores, scores)
    return rows, scores
