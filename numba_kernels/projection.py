"""Random projections without a stored matrix: line-SJLT, count sketch and TensorSketch.

Every random choice is `hash64(key, counter)`, a counter-based hash (SplitMix64: Steele, Lea and
Flood 2014), so that any process on any machine projects alike and nothing needs to be stored.
All kernels *add* to `out`: a projection is linear, and the parts of a gradient share one row.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

LINE = 64
"""Coordinates that share one offset: one sign bit each makes one 64-bit word a line."""

MAX_REPETITIONS = 64
"""What each line has room for: its repetition r uses counters 2 (64 line + r) and the next."""

_SIGN_BIT = np.uint32(0x80000000)
_U1, _U2, _U27, _U30, _U31, _U32 = (np.uint64(v) for v in (1, 2, 27, 30, 31, 32))
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@njit(cache=True, nogil=True, inline="always")
def hash64(key, counter):
    """Return 64 random bits for a key and a counter (both uint64)."""
    z = key + (counter + _U1) * _GAMMA
    z = (z ^ (z >> _U30)) * _MIX_1
    z = (z ^ (z >> _U27)) * _MIX_2
    return z ^ (z >> _U31)


@njit(cache=True, nogil=True, inline="always")
def _below(bits, k):
    """Return a number in [0, k) from the upper 32 of 64 random bits; k < 2³²."""
    return np.int64(((bits >> _U32) * np.uint64(k)) >> _U32)


@intrinsic
def _flip(typing_context, value, mask):
    """Return float32 `value` with the bits of uint32 `mask` flipped: a sign without a multiply."""

    def codegen(context, builder, signature, args):
        from llvmlite import ir

        bits = builder.bitcast(args[0], ir.IntType(32))
        return builder.bitcast(builder.xor(bits, args[1]), ir.FloatType())

    return types.float32(types.float32, types.uint32), codegen


@njit(cache=True, nogil=True)
def line_sjlt(x, key, repetitions, out):
    """Add the line-SJLT of float32 rows `x` (n, d) to `out` (n, k).

    Line l (coordinates 64 l … 64 l + 63) is added at a random offset, cyclically, each coordinate
    with a random sign, `repetitions` (s) times, over √s.
    """
    n, d = x.shape
    k = out.shape[1]
    n_whole = d // LINE
    accumulator = np.empty(k + LINE, np.float32)
    for i in range(n):
        row = x[i]
        accumulator[:] = 0
        for line in range(n_whole):
            start = line * LINE
            for repetition in range(repetitions):
                counter = np.uint64(line * MAX_REPETITIONS + repetition) * _U2
                at = _below(hash64(key, counter), k)
                signs = hash64(key, counter + _U1)
                low, high = np.uint32(signs), np.uint32(signs >> _U32)
                for j in range(32):
                    mask = (low << np.uint32(31 - j)) & _SIGN_BIT
                    accumulator[at + j] += _flip(row[start + j], mask)
                for j in range(32):
                    mask = (high << np.uint32(31 - j)) & _SIGN_BIT
                    accumulator[at + 32 + j] += _flip(row[start + 32 + j], mask)
        if n_whole * LINE < d:
            _add_segment(row, n_whole * LINE, d, 0, key, repetitions, accumulator)
        _fold(accumulator, repetitions, out[i])


@njit(cache=True, nogil=True)
def line_sjlt_segments(index, x, key, repetitions, out):
    """Add the line-SJLT of sparse rows to `out` (n, k).

    Row i has `x[i, t]` (w float32 numbers) at coordinates `index[i, t] * w` onwards, for every t,
    and zeros elsewhere. The same map as `line_sjlt` of the dense rows.
    """
    n, n_segments, width = x.shape
    k = out.shape[1]
    accumulator = np.empty(k + LINE, np.float32)
    for i in range(n):
        accumulator[:] = 0
        for t in range(n_segments):
            start = index[i, t] * width
            _add_segment(x[i, t], start, start + width, start, key, repetitions, accumulator)
        _fold(accumulator, repetitions, out[i])


@njit(cache=True, nogil=True, inline="never")
def _add_segment(values, start, stop, origin, key, repetitions, accumulator):
    """Add coordinates [start, stop), held in `values` from `origin` on; they may part lines."""
    k = accumulator.shape[0] - LINE
    for line in range(start // LINE, (stop + LINE - 1) // LINE):
        begin, end = max(start, line * LINE), min(stop, (line + 1) * LINE)
        for repetition in range(repetitions):
            counter = np.uint64(line * MAX_REPETITIONS + repetition) * _U2
            at = _below(hash64(key, counter), k)
            signs = hash64(key, counter + _U1)
            for c in range(begin, end):
                j = c - line * LINE
                value = values[c - origin]
                if (signs >> np.uint64(j)) & _U1:
                    value = -value
                accumulator[at + j] += value


@njit(cache=True, nogil=True)
def _fold(accumulator, repetitions, out):
    """Add the accumulator, whose last line wraps around, to a row of k numbers, over √s."""
    k = out.shape[0]
    scale = np.float32(1 / np.sqrt(repetitions))
    for j in range(k):
        out[j] += scale * accumulator[j]
    for j in range(LINE):
        out[j % k] += scale * accumulator[k + j]


@njit(cache=True, nogil=True)
def hash_table(key, n, k):
    """Return the buckets in [0, k) (int32) and signs ±1 (float32) of n coordinates."""
    buckets = np.empty(n, np.int32)
    signs = np.empty(n, np.float32)
    for i in range(n):
        bits = hash64(key, np.uint64(i))
        buckets[i] = _below(bits, k)
        signs[i] = np.float32(1) - np.float32(2) * np.float32(bits & _U1)
    return buckets, signs


@njit(cache=True, nogil=True)
def count_sketch(x, buckets, signs, out):
    """Add the count sketch of rows `x` (n, m) to `out` (n, k) (Charikar, Chen, Farach-Colton)."""
    n, m = x.shape
    for i in range(n):
        for j in range(m):
            out[i, buckets[j]] += signs[j] * x[i, j]


@njit(cache=True, nogil=True)
def tensor_sketch(x, row_buckets, row_signs, column_buckets, column_signs, out):
    """Add the TensorSketch of matrices `x` (n, p, q) to `out` (n, k) (Pham and Pagh 2013).

    Entry (r, c) goes to bucket `row_buckets[r] + column_buckets[c]` modulo k with the product of
    the signs. For a product of two vectors that is the cyclic convolution of their count sketches.
    """
    n, n_rows, n_columns = x.shape
    k = out.shape[1]
    accumulator = np.empty(2 * k, np.float32)
    for i in range(n):
        accumulator[:] = 0
        for r in range(n_rows):
            at, sign = row_buckets[r], row_signs[r]
            for c in range(n_columns):
                accumulator[at + column_buckets[c]] += sign * column_signs[c] * x[i, r, c]
        for j in range(k):
            out[i, j] += accumulator[j] + accumulator[k + j]


@njit(cache=True, nogil=True)
def add_rows(rows, x, out):
    """Add row i of `x` to `out[rows[i]]`; a row may be named more than once."""
    for i in range(rows.shape[0]):
        for j in range(x.shape[1]):
            out[rows[i], j] += x[i, j]
