"""Rows of typed columns, read where they lie: hashed, and laid out as a matrix, in one pass.

A few hundred rows at a time: their words are made, hashed while they are in the nearest cache, and
the same numbers put into the rows of a float64 matrix. Columns are named by the addresses of their
buffers, so that one compiled kernel takes any number of columns of any types; whoever calls must
keep the buffers alive and state their lengths rightly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from numba_kernels.row_hashes import hash_words

#: What a column is described by, one int64 each: an address of 0 means there is none.
FIELDS = ("kind", "values", "validity", "offset", "words")
KIND, VALUES, VALIDITY, OFFSET, WORDS = range(len(FIELDS))
#: Kinds of values. MADE: `words` are the words, and `values`, if there, the numbers as float64.
INT32, INT64, FLOAT32, FLOAT64, MADE = range(5)

NULL = np.uint64(0x3EC9E10063179F3A)  # XXH64 of b"null"
_NAN = np.uint64(0x7FF8000000000000)
_EXACT = 2**53  # integers up to here are float64 exactly
_ROWS = 512  # rows whose words and numbers stay in the nearer caches

_int32, _int64, _uint64 = np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.uint64)
_float32, _float64, _uint8 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.uint8)


@intrinsic
def _pointer(typing_context: Any, address: Any) -> Any:
    """Turn an address into a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


@njit(cache=True, nogil=True)
def _whole_words(values, words):
    for i in range(words.size):
        words[i] = np.uint64(np.int64(values[i]))


@njit(cache=True, nogil=True)
def _float_words(values, words):
    for i in range(words.size):
        value = np.float64(values[i])
        words[i] = value.view(np.uint64) if value == value else _NAN


@njit(cache=True, nogil=True)
def _put(values, rows, j):
    for i in range(rows.shape[0]):
        rows[i, j] = values[i]


@njit(cache=True, nogil=True)
def _is_exact(values):
    beyond = False
    for value in values:
        beyond |= (value > _EXACT) | (value < -_EXACT)
    return not beyond


@njit(cache=True, nogil=True)
def _without_missing(values, bits, first, held):
    """Copy values to `held`, with 0 for those whose bit isn't set."""
    for i in range(held.size):
        at = first + i
        held[i] = values[i] if bits[at >> 3] >> (at & 7) & 1 else 0
    return held


@njit(cache=True, nogil=True)
def _mark_missing(bits, first, words, rows, j):
    for i in range(words.size):
        at = first + i
        if not bits[at >> 3] >> (at & 7) & 1:
            words[i] = NULL
            if rows.shape[0]:
                rows[i, j] = np.nan


@njit(cache=True, nogil=True)
def hash_columns(
    columns: NDArray[np.int64], hashes: NDArray[np.uint64], matrix: NDArray[np.float64]
) -> int:
    """Hash rows, and put their numbers into a matrix.

    Parameters
    ----------
    columns : int64 array, shape (columns, len(FIELDS))
        Of each column the kind of its values and the addresses of: its values; a bit a row, the
        first of them number `offset`, that says whether it is there, if any is missing; its words,
        if they are made already (as uint64).
    hashes : uint64 array, shape (n,)
        Receives XXH64 of each row's words: an integer as two's complement, a float as the bits of
        its float64, every NaN alike, NULL where it is missing.
    matrix : float64 array, shape (n, columns) or (0, columns)
        Receives the numbers, NaN where they are missing; nothing if it has no rows.

    Returns
    -------
    int
        The first column with an integer that no float64 is exactly, if a matrix is wanted; else -1.
    """
    width, n_rows, filled = columns.shape[0], hashes.size, matrix.shape[0] > 0
    words = np.empty((width, _ROWS), np.uint64)
    held32, held64 = np.empty(_ROWS, np.int32), np.empty(_ROWS, np.int64)
    for first in range(0, n_rows, _ROWS):
        n = min(_ROWS, n_rows - first)
        rows = matrix[first : first + n] if filled else matrix
        for j in range(width):
            kind, address, out = columns[j, KIND], columns[j, VALUES], words[j, :n]
            bits = carray(_pointer(columns[j, VALIDITY]), 1, _uint8)
            start, holes = columns[j, OFFSET] + first, columns[j, VALIDITY] != 0
            if kind == INT64:
                whole = carray(_pointer(address + 8 * first), n, _int64)
                if holes:
                    whole = _without_missing(whole, bits, start, held64[:n])
                _whole_words(whole, out)
                if filled:
                    if not _is_exact(whole):
                        return j
                    _put(whole, rows, j)
            elif kind == INT32:
                short = carray(_pointer(address + 4 * first), n, _int32)
                if holes:
                    short = _without_missing(short, bits, start, held32[:n])
                _whole_words(short, out)
                _put(short, rows, j)
            elif kind == FLOAT64:
                number = carray(_pointer(address + 8 * first), n, _float64)
                _float_words(number, out)
                _put(number, rows, j)
            elif kind == FLOAT32:
                single = carray(_pointer(address + 4 * first), n, _float32)
                _float_words(single, out)
                _put(single, rows, j)
            else:
                out[:] = carray(_pointer(columns[j, WORDS] + 8 * first), n, _uint64)
                if filled:
                    _put(carray(_pointer(address + 8 * first), n, _float64), rows, j)
            if holes:
                _mark_missing(bits, start, out, rows, j)
        hash_words(words[:, :n], hashes[first : first + n])
    return -1
