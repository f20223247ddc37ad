"""Panels of Achlioptas' random matrix (2003): entries of ±√(3/k), each 1/6 of the time, else 0.

The matrix is never whole: a panel of a few of its rows is made from a counter-based hash of
(coordinate, column), multiplied and forgotten, so that any process on any machine has the same one.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from numba_kernels.projection import hash64

SIXTH = 10923
"""How many of the 65,536 values of 16 bits are +1, and how many −1: 1/6 to five digits."""

_LOW = np.uint64(0xFFFFFFFF)
_U32 = np.uint64(32)
_STEP = np.uint32(0x9E3779B9)
_MIX_1, _MIX_2 = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)
_S15, _S16 = np.uint32(15), np.uint32(16)
_HALF = np.uint32(0xFFFF)
_PLUS, _MINUS = np.uint32(SIXTH), np.uint32(65536 - SIXTH)


@njit(cache=True, nogil=True)
def achlioptas_panel(key, first, out):
    """Fill `out` (P, k) float32 with rows first … first + P − 1 of the matrix.

    The scale makes each entry's variance exactly 1/k. A 32-bit hash (Wang and Mitton's search for
    low-bias mixers, keyed by 64 bits a row) gives the entries of columns j and j + ⌈k/2⌉.
    """
    n_rows, k = out.shape
    half = (k + 1) // 2
    scale = np.float32(np.sqrt(65536 / (2 * SIXTH) / k))
    for row in range(n_rows):
        bits = hash64(key, np.uint64(first + row))
        low, high = np.uint32(bits & _LOW), np.uint32(bits >> _U32)
        left, right = out[row, :half], out[row, half:]
        for j in range(k - half):
            word = _word(np.uint32(j), low, high)
            left[j] = _entry(word & _HALF, scale)
            right[j] = _entry(word >> _S16, scale)
        if half > k - half:
            left[half - 1] = _entry(_word(np.uint32(half - 1), low, high) & _HALF, scale)


@njit(cache=True, nogil=True, inline="always")
def _word(column, low, high):
    """Return 32 random bits for a column of the row with this key."""
    # Each step is cast back: numba widens arithmetic of 32 bits to 64.
    word = np.uint32(column * _STEP + low)
    word = np.uint32((word ^ (word >> _S16)) * _MIX_1)
    word = np.uint32((word ^ high ^ (word >> _S15)) * _MIX_2)
    return np.uint32(word ^ (word >> _S16))


@njit(cache=True, nogil=True, inline="always")
def _entry(bits, scale):
    plus = np.float32(1) if bits < _PLUS else np.float32(0)
    minus = np.float32(1) if bits >= _MINUS else np.float32(0)
    return scale * (plus - minus)
