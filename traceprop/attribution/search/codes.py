"""A store's rows as codes of one bit a coordinate, and queries that are held against them.

Rows are whitened, turned at random and cut to their signs; queries are whitened the other way,
turned alike and rounded to four bits. Codes are kept in two parts: the first 1,024 bits of all
rows, which a search reads in full, and the rest, which it reads for the few that these leave.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numba_kernels.scan_codes import PLANES
from numba_kernels.scan_rotation import MIN_SIZE, encode_rows, rotate
from traceprop.attribution.search.threads import share_out
from traceprop.attribution.search.whitening import Floats, Whitening

Words = NDArray[np.uint64]

HEAD_WORDS = MIN_SIZE // 64

# A query's step in standard deviations: of 15 levels for normal numbers, near the one with the
# smallest error (Max 1960, table II: 0.34).
_STEP = 0.34
_LEVELS = 7
_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """The codes of n rows.

    Parameters
    ----------
    head, tail : ndarray of uint64, shape (n, 16) and (n, b)
        The bits; see `numba_kernels.scan_rotation.encode_rows`.
    factors : ndarray of float32, shape (2, n)
        What an estimate from the head, and from all bits, is multiplied by.
    """

    head: Words
    tail: Words
    factors: Floats


@dataclass(frozen=True, slots=True, eq=False)
class CodedQueries:
    """Queries of four bits a coordinate.

    Parameters
    ----------
    head, tail : ndarray of uint64, shape (q, 4, 16) and (q, 4, b)
        The bit planes.
    head_centres, centres : ndarray of int64, shape (q,)
        The sum of all numbers, of the head's coordinates and of all.
    steps : ndarray of float32, shape (q,)
        What one unit is worth.
    """

    head: Words
    tail: Words
    head_centres: NDArray[np.int64]
    centres: NDArray[np.int64]
    steps: Floats


def padded_size(width: int) -> int:
    """Return how many bits a row of a width has: a power of two."""
    return max(int(MIN_SIZE), 1 << (width - 1).bit_length())


def encode(blocks: Iterable[Floats], n: int, whitening: Whitening, key: int, threads: int) -> Codes:
    """Code rows.

    Parameters
    ----------
    blocks : iterable of ndarray of float32, shape (m, width)
        The n rows in order, in blocks.
    n : int
    whitening : Whitening
    key : int
        What the random signs follow from.
    threads : int
    """
    size = padded_size(whitening.directions.shape[1])
    head = np.zeros((n, HEAD_WORDS), np.uint64)
    tail = np.zeros((n, size // 64 - HEAD_WORDS), np.uint64)
    factors = np.zeros((2, n), np.float32)
    start = 0
    for block in _gathered(blocks):
        whitened, first = whitening.rows(block), start
        step = max(1, len(block) // (4 * threads))

        def work(
            _: int, piece: int, rows: Floats = whitened, at: int = first, m: int = step
        ) -> None:
            part = slice(piece * m, min(len(rows), (piece + 1) * m))
            out = slice(at + part.start, at + part.stop)
            encode_rows(rows[part], np.uint64(key), head[out], tail[out], factors[:, out])

        share_out(work, -(-len(block) // step), threads)
        start += len(block)
    return Codes(head, tail, factors)


def code_queries(queries: Floats, whitening: Whitening, key: int) -> CodedQueries:
    """Round whitened and turned queries `(q, width)` to integers of four bits."""
    size = padded_size(queries.shape[1])
    whitened = whitening.queries(queries)
    turned = np.empty((len(queries), size), np.float32)
    scratch = np.empty(size, np.float32)
    for row, out in zip(whitened, turned, strict=True):
        rotate(row, np.uint64(key), out, scratch)
    steps = _STEP * np.sqrt(np.mean(np.square(turned), axis=1, dtype=np.float64))
    # A query of zeros has steps of zero, and numbers of zero.
    scaled = np.divide(turned, steps[:, None], out=np.zeros_like(turned), where=steps[:, None] > 0)
    levels = np.clip(np.rint(scaled), -_LEVELS, _LEVELS).astype(np.int8)
    weights = np.arange(PLANES, dtype=np.int8)[:, None]
    planes = np.packbits((levels[:, None] >> weights) & 1, axis=2, bitorder="little").view(
        np.uint64
    )
    head_size = 64 * HEAD_WORDS
    return CodedQueries(
        np.ascontiguousarray(planes[:, :, :HEAD_WORDS]),
        np.ascontiguousarray(planes[:, :, HEAD_WORDS:]),
        levels[:, :head_size].sum(axis=1, dtype=np.int64),
        levels.sum(axis=1, dtype=np.int64),
        steps.astype(np.float32),
    )


def _gathered(blocks: Iterable[Floats]) -> Iterator[NDArray[Any]]:
    """Cut blocks that are larger than a core's share of work needs."""
    for block in blocks:
        step = max(1, _BLOCK_BYTES // max(1, 4 * block.shape[1]))
        for start in range(0, len(block), step):
            yield block[start : start + step]
