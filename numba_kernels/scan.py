"""Inner products of queries with stored rows, at the speed of memory.

One kernel a row format (float32, float16, int8 with a float32 scale per row), made of explicit
vectors: eight rows at a time, so that one load of the query serves eight and their sums run side
by side. Promises: float32 products are summed in one fixed order per row, whatever rows stand
beside it, so that equal rows have equal scores; a row comes from memory once for all queries.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from numba_kernels.scan_top import offer_scores

# Numbers in a vector (a register of AVX-512, two of AVX2), vectors a step, and rows side by side.
_LANES = 16
_UNROLLED = 2
_ROWS = 8
# Bytes of rows that stay in a core's cache while one query after the other goes over them.
_BLOCK_BYTES = 1 << 18


def _dots(n_rows):
    """Make the intrinsic that multiplies `n_rows` rows from row i on with query q."""

    def typed(typing_context, rows, i, queries, q):
        returned = types.UniTuple(types.float32, n_rows)

        def codegen(context, builder, signature, args):
            return _emit_dots(context, builder, signature, args, n_rows)

        return returned(rows, types.intp, queries, types.intp), codegen

    return intrinsic(typed)


def _emit_dots(context, builder, signature, args, n_rows):
    """Write the loop over the columns: vectors of `_LANES`, then one by one."""
    from llvmlite import ir

    rows, i, queries, q = args
    rows = context.make_array(signature.args[0])(context, builder, rows)
    queries = context.make_array(signature.args[2])(context, builder, queries)
    width = builder.extract_value(queries.shape, 1)
    starts = [
        builder.gep(rows.data, [builder.mul(builder.add(i, ir.Constant(i.type, r)), width)])
        for r in range(n_rows)
    ]
    query = builder.gep(queries.data, [builder.mul(q, width)])
    load = _loader(context, builder, signature.args[0].dtype)
    load_query = _loader(context, builder, types.float32)
    vector = ir.VectorType(ir.FloatType(), _LANES)
    zero = ir.Constant(vector, [0.0] * _LANES)
    sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(_UNROLLED)] for _ in starts]
    step = ir.Constant(width.type, _LANES * _UNROLLED)
    whole = builder.udiv(width, step)
    with cgutils.for_range(builder, whole) as loop:
        start = builder.mul(loop.index, step)
        for u in range(_UNROLLED):
            at = builder.add(start, ir.Constant(width.type, u * _LANES))
            factor = load_query(query, at, _LANES)
            for row, partial in zip(starts, sums, strict=True):
                _add_product(builder, partial[u], load(row, at, _LANES), factor)
    totals = [
        cgutils.alloca_once_value(builder, _lane_sum(builder, [builder.load(s) for s in partial]))
        for partial in sums
    ]
    with cgutils.for_range_slice(
        builder, builder.mul(whole, step), width, ir.Constant(width.type, 1), width.type
    ) as (at, _):
        factor = load_query(query, at, 1)
        for row, total in zip(starts, totals, strict=True):
            _add_product(builder, total, load(row, at, 1), factor)
    return context.make_tuple(
        builder, signature.return_type, [builder.load(total) for total in totals]
    )


def _add_product(builder, total, left, right):
    # `contract` lets a processor round product and sum at once, and allows no other order.
    product = builder.fmul(left, right, flags=["contract"])
    builder.store(builder.fadd(builder.load(total), product, flags=["contract"]), total)


def _lane_sum(builder, vectors):
    """Return the sum of all lanes: halves are added until one number is left."""
    from llvmlite import ir

    while len(vectors) > 1:
        half = len(vectors) // 2
        pairs = zip(vectors[:half], vectors[half:], strict=True)
        vectors = [builder.fadd(a, b) for a, b in pairs]
    (vector,) = vectors
    lanes = _LANES
    while lanes > 1:
        lanes //= 2
        undefined = ir.Constant(vector.type, ir.Undefined)
        halves = [
            builder.shuffle_vector(
                vector,
                undefined,
                ir.Constant(
                    ir.VectorType(ir.IntType(32), lanes), list(range(first, first + lanes))
                ),
            )
            for first in (0, lanes)
        ]
        vector = builder.fadd(*halves)
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))


def _loader(context, builder, dtype):
    """Return what loads `lanes` numbers of a format from a place and makes them float32."""
    from llvmlite import ir

    stored = {
        types.float32: ir.FloatType(),
        types.uint16: ir.HalfType(),  # numba has no arrays of float16 on processors
        types.int8: ir.IntType(8),
    }[dtype]
    size = context.get_abi_sizeof(context.get_data_type(dtype))

    def load(start, at, lanes):
        kept, wanted = stored, ir.FloatType()
        if lanes > 1:
            kept, wanted = ir.VectorType(kept, lanes), ir.VectorType(wanted, lanes)
        pointer = builder.bitcast(builder.gep(start, [at]), kept.as_pointer())
        value = builder.load(pointer, align=size)
        if stored == ir.IntType(8):
            return builder.sitofp(value, wanted)
        return value if kept == wanted else builder.fpext(value, wanted)

    return load


_dots_of_one = _dots(1)
_dots_of_some = _dots(_ROWS)


@njit(cache=True, nogil=True)
def score_rows(rows, scales, queries, q, offset, out):
    """Write the scores of query q to `out` (n,): scale × inner product + offset.

    `rows` (n, width) are float32, int8, or the bits of float16 as uint16; `scales` (n,) float32,
    or of length 0 where every scale is 1; `queries` (m, width) float32.
    """
    n = rows.shape[0]
    whole = n - n % _ROWS
    for i in range(0, whole, _ROWS):
        dots = _dots_of_some(rows, i, queries, q)
        for r in range(_ROWS):
            out[i + r] = dots[r]
    for i in range(whole, n):
        out[i] = _dots_of_one(rows, i, queries, q)[0]
    if scales.shape[0]:
        for i in range(n):
            out[i] = out[i] * scales[i] + offset
    else:
        for i in range(n):
            out[i] += offset


@njit(cache=True, nogil=True)
def scan_rows(rows, scales, queries, offsets, first, order, heaps):
    """Offer the scores of all queries (m, width) to their heaps (m, k), see `scan_top`.

    Returns the number of a row with a score of NaN, −1 where there is none. The rows' own numbers
    run from `first`. Arguments as in `score_rows`.
    """
    n, width = rows.shape
    bad = -1
    block = max(1, _BLOCK_BYTES // max(1, _ROWS * width * rows.itemsize)) * _ROWS
    scores = np.empty(min(n, block), np.float32)
    for start in range(0, n, block):
        stop = min(n, start + block)
        out = scores[: stop - start]
        own = scales[start:stop] if scales.shape[0] else scales
        for q in range(queries.shape[0]):
            score_rows(rows[start:stop], own, queries, q, offsets[q], out)
            bad = max(bad, offer_scores(out, first + start, order, heaps[q]))
    return bad
