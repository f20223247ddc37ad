"""Estimated inner products from one bit a coordinate: what a large store is searched with first.

The query has four bits a coordinate, kept as four planes of one bit, so that a product is an "and"
and a count of bits, 512 coordinates an instruction where the processor has it. Promise: the sums
are integers, so an estimate doesn't depend on machine, order or threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from numba_kernels.scan_top import offer, offer_scores, rank_key

PLANES = 4
"""Bits of a query's coordinate v in −8 … 7: of weights 1, 2, 4 and −8."""

WORDS_STEP = 8
"""Codes have a multiple of this many 64-bit words."""

# Rows whose codes stay in a core's nearest cache while one query after the other goes over them.
_BLOCK_ROWS = 64


@intrinsic
def _weighted_bits(typing_context, codes, i, planes, q):
    """Return Σ vⱼ over the bits that are set in row i of `codes` (n, words), as an int64.

    `planes` is (m, PLANES, words): those of the coordinates v of query q are counted.
    """

    def codegen(context, builder, signature, args):
        from llvmlite import ir

        word = ir.IntType(64)
        vector = ir.VectorType(word, WORDS_STEP)
        codes = context.make_array(signature.args[0])(context, builder, args[0])
        planes = context.make_array(signature.args[2])(context, builder, args[2])
        words = builder.extract_value(codes.shape, 1)
        row = builder.gep(codes.data, [builder.mul(args[1], words)])
        query_words = builder.mul(words, ir.Constant(word, PLANES))
        query = builder.gep(planes.data, [builder.mul(args[3], query_words)])
        count = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector]), f"llvm.ctpop.v{WORDS_STEP}i64"
        )
        add_lanes = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(word, [vector]),
            f"llvm.vector.reduce.add.v{WORDS_STEP}i64",
        )

        def load(start, at):
            pointer = builder.bitcast(builder.gep(start, [at]), vector.as_pointer())
            return builder.load(pointer, align=8)

        zero = ir.Constant(vector, [0] * WORDS_STEP)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(PLANES)]
        step = ir.Constant(word, WORDS_STEP)
        with cgutils.for_range(builder, builder.udiv(words, step)) as loop:
            at = builder.mul(loop.index, step)
            bits = load(row, at)
            for b, total in enumerate(sums):
                plane = builder.add(at, builder.mul(words, ir.Constant(word, b)))
                common = builder.and_(bits, load(query, plane))
                builder.store(
                    builder.add(builder.load(total), builder.call(count, [common])), total
                )
        parts = [
            builder.shl(builder.load(total), ir.Constant(vector, [b] * WORDS_STEP))
            for b, total in enumerate(sums)
        ]
        positive = builder.add(builder.add(parts[0], parts[1]), parts[2])
        return builder.call(add_lanes, [builder.sub(positive, parts[3])])

    return types.int64(codes, types.intp, planes, types.intp), codegen


@njit(cache=True, nogil=True)
def scan_codes(codes, factors, planes, centres, steps, offsets, first, order, heaps):
    """Offer estimated scores of rows to the queries' heaps (m, k), see `scan_top`.

    Row i is estimated as factors[i] · steps[q] · (2 Σ v − centres[q]) + offsets[q], the sum over
    its set bits and centres[q] over all: each bit stands for +1 or −1. `codes` is (n, words)
    uint64, `planes` (m, PLANES, words); the rows' own numbers run from `first`.
    """
    n = codes.shape[0]
    scores = np.empty(min(n, _BLOCK_ROWS), np.float32)
    for start in range(0, n, _BLOCK_ROWS):
        stop = min(n, start + _BLOCK_ROWS)
        for q in range(planes.shape[0]):
            for i in range(start, stop):
                total = 2 * _weighted_bits(codes, i, planes, q) - centres[q]
                scores[i - start] = factors[i] * (steps[q] * np.float32(total)) + offsets[q]
            offer_scores(scores[: stop - start], first + start, order, heaps[q])


@njit(cache=True, nogil=True)
def refine_codes(rows, head, tail, factors, planes, tail_planes, centre, step, offset, order, heap):
    """Offer the estimates of some rows, by all their words, to one query's heap.

    `head` and `tail` are the codes' parts, (n, a) and (n, b); `planes` and `tail_planes` the parts
    of one query, (1, PLANES, a) and (1, PLANES, b). The rest is as in `scan_codes`.
    """
    for i in rows:
        total = _weighted_bits(head, i, planes, 0) + _weighted_bits(tail, i, tail_planes, 0)
        score = factors[i] * (step * np.float32(2 * total - centre)) + offset
        key = rank_key(score, i, order)
        if key > heap[0]:
            offer(heap, key)
