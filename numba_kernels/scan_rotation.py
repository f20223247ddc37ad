"""Rows turned at random and cut down to the signs of their numbers, one bit each.

A row is padded with zeros to `size` numbers, a power of two, and twice given random signs and
multiplied by a Hadamard matrix (Ailon and Chazelle 2006): after that no coordinate says much more
than another, and the signs keep the row's direction. The random signs are `projection.hash64`, so
that any machine turns alike.

What is lost in length is kept as a factor, after RaBitQ (Gao and Long 2024): for a row w and a
query u, both turned, ⟨u, w⟩ ≈ ⟨u, sign w⟩ · ‖w‖² / ‖w‖₁, which is exact for u = w.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from numba_kernels.projection import hash64

MIN_SIZE = 1024
"""The shortest row after padding; all sizes are powers of two."""

_COLUMNS = 64
_U1 = np.uint64(1)


@njit(cache=True, nogil=True)
def rotate(row, key, out, scratch):
    """Write the rotation of a row (width,) to `out` (size,); `scratch` is of the same size.

    Twice signs and a Hadamard matrix: once would leave a short row's numbers many times over. The
    matrix's rows come in the order that is fastest, those of a (size / 64, 64) table read by
    columns. Lengths stay as they are.
    """
    size, width = out.shape[0], row.shape[0]
    _flip_signs(row, key, 0, scratch[:width])
    scratch[width:] = 0
    _multiply(scratch, out)
    _flip_signs(out, key, size, scratch)
    _multiply(scratch, out)
    scale = np.float32(1 / size)
    for j in range(size):
        out[j] *= scale


@njit(cache=True, nogil=True)
def _flip_signs(values, key, first, out):
    """Write numbers with the random signs from number `first` on, a multiple of 64."""
    n = values.shape[0]
    for start in range(0, n, 64):
        signs = hash64(key, np.uint64((first + start) // 64))
        for j in range(start, min(n, start + 64)):
            negative = (signs >> np.uint64(j - start)) & _U1
            out[j] = -values[j] if negative else values[j]


@njit(cache=True, nogil=True)
def _multiply(values, out):
    """Write a Hadamard matrix times numbers (size,) to `out`; `values` are overwritten."""
    _butterflies(values, _COLUMNS)
    runs = values.shape[0] // _COLUMNS
    for r in range(runs):
        for c in range(_COLUMNS):
            out[c * runs + r] = values[r * _COLUMNS + c]
    _butterflies(out, runs)


@njit(cache=True, nogil=True)
def _butterflies(values, run):
    """Multiply in place by a Hadamard matrix over places, each a run of numbers side by side."""
    size = values.shape[0]
    half = size // 2
    while half >= run:
        for start in range(0, size, 2 * half):
            # Two arrays, so that the compiler may take them for apart.
            first, second = values[start : start + half], values[start + half : start + 2 * half]
            for j in range(half):
                a, b = first[j], second[j]
                first[j], second[j] = a + b, a - b
        half //= 2


@njit(cache=True, nogil=True)
def encode_rows(rows, key, head, tail, factors):
    """Turn rows (n, width) of float32 and write their codes.

    Bit j of a row (bit j mod 64 of word j // 64) is 1 where number j isn't negative. The first
    words go to `head` (n, a) uint64, the others to `tail` (n, b); `factors` (2, n) float32 gets
    what an estimate from the head alone, and from all words, is multiplied by.
    """
    n_head, n_words = head.shape[1], head.shape[1] + tail.shape[1]
    turned = np.empty(64 * n_words, np.float32)
    scratch = np.empty(64 * n_words, np.float32)
    for i in range(rows.shape[0]):
        rotate(rows[i], key, turned, scratch)
        for word in range(n_words):
            bits = _signs(turned[64 * word : 64 * word + 64])
            if word < n_head:
                head[i, word] = bits
            else:
                tail[i, word - n_head] = bits
        square, total = _sizes(turned)
        _, of_head = _sizes(turned[: 64 * n_head])
        # A row of zeros has factors of zero.
        factors[0, i] = square / of_head if of_head else 0
        factors[1, i] = square / total if total else 0


@njit(cache=True, nogil=True)
def _signs(values):
    """Return a word whose bit j says whether number j isn't negative."""
    bits = np.uint64(0)
    for j in range(64):
        bits |= np.uint64(values[j] >= 0) << np.uint64(j)
    return bits


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz", "contract"})
def _sizes(values):
    """Return the sum of squares and the sum of sizes, in whatever order is fast."""
    squares, sizes = np.float32(0), np.float32(0)
    for value in values:
        squares += value * value
        sizes += abs(value)
    return squares, sizes
