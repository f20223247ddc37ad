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

_LANES = 16  # of a vector: 512 bits, or two of 256
_BLOCK = 256  # lines whose hashes are made at a time: 3 KiB at s = 1
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


def _emit_lines(context, builder, signature, args, n_rows):
    """Emit the additions of `_add_line` for rows that share an offset, a place and signs.

    Written as vectors of 16, since loops over single bits are not always vectorised. The signs
    become masks once for all rows.
    """
    from llvmlite import ir

    at, start, signs = args[2 * n_rows :]
    bits, index = ir.IntType(_LANES), ir.IntType(64)
    vector = ir.VectorType(ir.FloatType(), _LANES).as_pointer()

    def place(i, offset):
        data = context.make_array(signature.args[i])(context, builder, args[i]).data
        return builder.gep(data, [offset])

    targets = [place(i, at) for i in range(n_rows)]
    sources = [place(n_rows + i, start) for i in range(n_rows)]
    for lane in range(0, LINE, _LANES):
        offset = ir.Constant(index, lane)
        mask = builder.bitcast(
            builder.trunc(builder.lshr(signs, offset), bits), ir.VectorType(ir.IntType(1), _LANES)
        )
        for target, source in zip(targets, sources, strict=True):
            sums = builder.bitcast(builder.gep(target, [offset]), vector)
            old = builder.load(sums)
            new = builder.load(builder.bitcast(builder.gep(source, [offset]), vector))
            old.align = new.align = 4  # an offset is anywhere
            total = builder.select(mask, builder.fsub(old, new), builder.fadd(old, new))
            builder.store(total, sums).align = 4
    return context.get_dummy_value()


@intrinsic
def _add_line(typing_context, out, x, at, start, signs):
    """Add 64 float32 numbers from x[start] to those from out[at], negated where a bit is set."""

    def codegen(context, builder, signature, args):
        return _emit_lines(context, builder, signature, args, 1)

    return types.void(out, x, types.int64, types.int64, types.uint64), codegen


@intrinsic
def _add_lines(typing_context, out, other_out, x, other_x, at, start, signs):
    """Do what `_add_line` does, for two rows."""

    def codegen(context, builder, signature, args):
        return _emit_lines(context, builder, signature, args, 2)

    numbers = (types.int64, types.int64, types.uint64)
    return types.void(out, other_out, x, other_x, *numbers), codegen


@njit(cache=True, nogil=True)
def line_sjlt(x, key, repetitions, out):
    """Add the line-SJLT of float32 rows `x` (n, d), times √s, to `out` (n, k + 64).

    Line l (coordinates 64 l … 64 l + 63) is added at a random offset below k, each coordinate with
    a random sign, `repetitions` (s) times. Whatever goes past k is wrapped around by `fold`.
    """
    n, d = x.shape
    k = out.shape[1] - LINE
    n_whole = d // LINE
    # The hashes of some lines at a time, for all rows: the accumulators stay in the cache.
    places = np.empty((_BLOCK, repetitions), np.int64)
    signs = np.empty((_BLOCK, repetitions), np.uint64)
    for first in range(0, n_whole, _BLOCK):
        n_lines = min(_BLOCK, n_whole - first)
        for line in range(n_lines):
            for repetition in range(repetitions):
                counter = np.uint64((first + line) * MAX_REPETITIONS + repetition) * _U2
                places[line, repetition] = _below(hash64(key, counter), k)
                signs[line, repetition] = hash64(key, counter + _U1)
        for i in range(0, n - 1, 2):
            row, other, sums, other_sums = x[i], x[i + 1], out[i], out[i + 1]
            for line in range(n_lines):
                start = (first + line) * LINE
                for repetition in range(repetitions):
                    at, bits = places[line, repetition], signs[line, repetition]
                    _add_lines(sums, other_sums, row, other, at, start, bits)
        if n % 2:
            for line in range(n_lines):
                start = (first + line) * LINE
                for repetition in range(repetitions):
                    at, bits = places[line, repetition], signs[line, repetition]
                    _add_line(out[n - 1], x[n - 1], at, start, bits)
    if n_whole * LINE < d:
        for i in range(n):
            _add_segment(x[i], n_whole * LINE, d, 0, key, repetitions, out[i])


@njit(cache=True, nogil=True)
def line_sjlt_segments(index, x, key, repetitions, out):
    """Add the line-SJLT of sparse rows, times √s, to `out` (n, k + 64).

    Row i has `x[i, t]` (w float32 numbers) at coordinates `index[i, t] * w` onwards, for every t,
    and zeros elsewhere. The same map as `line_sjlt` of the dense rows.
    """
    n, n_segments, width = x.shape
    for i in range(n):
        for t in range(n_segments):
            start = index[i, t] * width
            _add_segment(x[i, t], start, start + width, start, key, repetitions, out[i])


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
def fold(lines, repetitions, out):
    """Add `lines` (n, k + 64), the last 64 wrapped around, to `out` (n, k), over √s."""
    n, k = out.shape
    scale = np.float32(1 / np.sqrt(repetitions))
    for i in range(n):
        for j in range(k):
            out[i, j] += scale * lines[i, j]
        for j in range(LINE):
            out[i, j % k] += scale * lines[i, k + j]


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
