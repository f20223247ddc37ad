"""Decimal numbers in delimited text as float64: rounded to nearest, ties to even, as `float` does.

Promise: a cell that is read has the very bits that Python's `float` gives it; a cell that isn't
plain (below), or can't be decided here, stops the reading, and the caller asks somebody slower.

A number of at most 19 digits is an integer w < 2⁶⁴ times 10^q. Where w ≤ 2⁵³ and |q| ≤ 22, both
are floats and one operation rounds once (Clinger, "How to read floating point numbers accurately",
PLDI 1990). Otherwise w is multiplied by the first 128 bits of 5^q (Lemire, "Number parsing at a
gigabyte per second", 2021), which is enough for every w and q (Mushtak and Lemire, "Fast number
parsing without fallback", 2023). Of more digits the first 19 are taken: where w and w + 1 round
alike, so does all between them; where they don't, it isn't decided here.

Digits are found and added up eight at a time, in one word.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from numba_kernels.words import (
    bits_of_float,
    float_of_bits,
    high_product,
    leading_zeros,
    load64,
    trailing_zeros,
)

_QUOTE, _PLUS, _MINUS, _POINT, _ZERO, _E, _SMALL_E = 34, 43, 45, 46, 48, 69, 101

_ASCII_ZEROS = np.uint64(0x3030303030303030)
_ABOVE_NINE = np.uint64(0x7676767676767676)  # 0x80 - 10 in each byte
_HIGHS = np.uint64(0x8080808080808080)

_MOST_DIGITS = 19  # that fit into 64 bits
_LEAST_POWER, _LARGEST_POWER = -342, 308  # beyond, 19 digits times 10^q are 0 or infinite
_FAR = 100_000  # an exponent that is far beyond, with any digits that a cell can hold before it
_MANTISSA_BITS, _BIAS = 52, 1023
_INFINITY = np.uint64(0x7FF0000000000000)
_EXACT = np.uint64(1 << 53)


def _powers_of_five() -> NDArray[np.uint64]:
    """Return the first 128 bits of 5^q, high word and low word, from the least power on.

    Those of negative powers are rounded up, the others cut off.
    """
    words = []
    for power in range(_LEAST_POWER, _LARGEST_POWER + 1):
        five = 5 ** abs(power)
        if power < 0:
            size = (five - 1).bit_length()  # the least with five <= 2**size
            bits = (1 << (size + 127 if power >= -27 else 2 * size + 128)) // five + 1
        else:
            bits = five << 128
        bits >>= bits.bit_length() - 128
        words.append((bits >> 64, bits & (2**64 - 1)))
    return np.array(words, np.uint64)


_FIVES = _powers_of_five()
_TENS = np.array([10**k for k in range(20)], np.uint64)
_FLOAT_TENS = np.array([10.0**k for k in range(23)])


@njit(cache=True, nogil=True, forceinline=True)
def _word(data, i):
    """Eight bytes from i on; zeros where the text has ended."""
    if i + 8 <= data.size:
        return load64(data, i)
    word = np.uint64(0)
    for k in range(data.size - i):
        word |= np.uint64(data[i + k]) << np.uint64(8 * k)
    return word


@njit(cache=True, nogil=True, forceinline=True)
def _eight_digits(word):
    """Value of eight bytes of one digit each, the first the most significant (Lemire 2021)."""
    word = word * np.uint64(10) + (word >> np.uint64(8))
    pairs = np.uint64(0x000000FF000000FF)
    upper = (word & pairs) * np.uint64(0x000F424000000064)
    lower = ((word >> np.uint64(16)) & pairs) * np.uint64(0x0000271000000001)
    return (upper + lower) >> np.uint64(32)


@njit(cache=True, nogil=True, forceinline=True)
def _add_digits(data, i, value):
    """Read the digits at i: what `value` becomes with them appended (modulo 2⁶⁴), and their end."""
    digits = _word(data, i) ^ _ASCII_ZEROS
    others = ((digits + _ABOVE_NINE) | digits) & _HIGHS
    while others == 0:
        value = value * _TENS[8] + _eight_digits(digits)
        i += 8
        digits = _word(data, i) ^ _ASCII_ZEROS
        others = ((digits + _ABOVE_NINE) | digits) & _HIGHS
    # The lowest mark is right; a carry can only have spoilt marks above it.
    count = trailing_zeros(others) >> 3
    rest = _eight_digits((digits << np.uint64(8 * (7 - count))) << np.uint64(8))
    return value * _TENS[count] + rest, i + count


@njit(cache=True, nogil=True)
def _rounded(w, q):
    """Bits of the float64 nearest to w · 10^q, for any w of 64 bits (Mushtak and Lemire 2023)."""
    if w == 0 or q < _LEAST_POWER:
        return np.uint64(0)
    if q > _LARGEST_POWER:
        return _INFINITY
    zeros = leading_zeros(w)
    w <<= np.uint64(zeros)
    five = _FIVES[q - _LEAST_POWER]
    low, high = w * five[0], high_product(w, five[0])
    # 55 bits are needed; the second word of the power matters only where the others are all ones.
    others = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(_MANTISSA_BITS + 3)
    if high & others == others:
        more = high_product(w, five[1])
        low += more
        high += np.uint64(low < more)
    top = high >> np.uint64(63)
    shift = top + np.uint64(64 - _MANTISSA_BITS - 3)
    mantissa = high >> shift
    # 217706 / 2¹⁶ is the binary logarithm of 10, near enough.
    exponent = ((217706 * q) >> 16) + 63 + np.int64(top) - zeros + _BIAS
    one = np.uint64(1)
    if exponent <= 0:  # a subnormal number: it has fewer bits
        if exponent <= -63:
            return np.uint64(0)
        mantissa >>= np.uint64(1 - exponent)
        return (mantissa + (mantissa & one)) >> one  # rounding up to 2⁵² gives the least normal one
    # Only with these powers can a number lie halfway between two floats: then to the even one.
    is_tie = low <= one and -4 <= q <= 23 and mantissa & np.uint64(3) == one
    if is_tie and mantissa << shift == high:
        mantissa -= one
    mantissa = (mantissa + (mantissa & one)) >> one
    # The leading bit, which isn't stored, adds one to the exponent; a carry adds two, as it should.
    bits = (np.uint64(exponent - 1) << np.uint64(_MANTISSA_BITS)) + mantissa
    return min(bits, _INFINITY)


@njit(cache=True, nogil=True)
def _many_digits(data, begin, end, exponent):
    """Bits of a number of over 19 digits (point among them) times 10^exponent; decided or not."""
    w, taken, power = np.uint64(0), 0, exponent
    after_point = more = False
    for i in range(begin, end):
        if data[i] == _POINT:
            after_point = True
            continue
        digit = np.uint64(data[i] - _ZERO)
        if taken == _MOST_DIGITS:
            more |= digit != 0
            power += not after_point
        else:
            w = w * np.uint64(10) + digit
            taken += w != 0
            power -= after_point
    power = min(max(power, -2 * _FAR), 2 * _FAR)
    bits = _rounded(w, power)
    return bits, not more or bits == _rounded(w + np.uint64(1), power)


@njit(cache=True, nogil=True)
def _exponent(data, i, stop):
    """Read what follows an e: the exponent and its end; the end is -1 where there are no digits."""
    negative = False
    if i < stop and (data[i] == _MINUS or data[i] == _PLUS):
        negative = data[i] == _MINUS
        i += 1
    begin = i
    value = 0
    while i < stop and _ZERO <= data[i] <= _ZERO + 9:
        value = min(value * 10 + (data[i] - _ZERO), _FAR)
        i += 1
    return (-value if negative else value), (-1 if i == begin else i)


@njit(cache=True, nogil=True, forceinline=True)
def _number(data, i, stop):
    """Read the number at i, before stop: it and its end; the end is -1 where it isn't plain."""
    negative = data[i] == _MINUS
    i += negative | (data[i] == _PLUS)  # no branch: signs come at random
    begin = i
    if i + 1 < stop and data[i + 1] == _POINT and _ZERO <= data[i] <= _ZERO + 9:
        w, i = np.uint64(data[i] - _ZERO), i + 1  # by far the most usual: one digit and a point
    else:
        w, i = _add_digits(data, i, np.uint64(0))
    count, shift, exponent = i - begin, 0, 0
    if i < stop and data[i] == _POINT:
        point = i
        w, i = _add_digits(data, i + 1, w)
        shift = i - point - 1
        count += shift
    if count == 0:
        return 0.0, -1
    end = i
    if i < stop and (data[i] == _SMALL_E or data[i] == _E):
        exponent, i = _exponent(data, i + 1, stop)
        if i < 0:
            return 0.0, -1
    power = exponent - shift
    if count <= _MOST_DIGITS and w <= _EXACT and -22 <= power <= 22:
        value = np.float64(np.int64(w))
        value = value / _FLOAT_TENS[-power] if power < 0 else value * _FLOAT_TENS[power]
        return float_of_bits(bits_of_float(value) | np.uint64(negative) << np.uint64(63)), i
    if count <= _MOST_DIGITS:
        bits = _rounded(w, power)
    else:
        bits, decided = _many_digits(data, begin, end, exponent)
        if not decided:
            return 0.0, -1
    return float_of_bits(bits | np.uint64(negative) << np.uint64(63)), i


@njit(cache=True, nogil=True)
def _cell_end(data, i, stop, delimiter):
    """End of the cell at i; -1 where a quote or a byte beyond ASCII is in it."""
    while i < stop and data[i] != delimiter:
        if data[i] == _QUOTE or data[i] >= 0x80:
            return -1
        i += 1
    return i


@njit(cache=True, nogil=True)
def _missing_end(data, i, stop, delimiter, missing, ends):
    """End of the cell at i where it is one of the marks of missing values; else -1."""
    end = _cell_end(data, i, stop, delimiter)
    begin = 0
    for mark in range(ends.size):
        if ends[mark] - begin == end - i:
            k = 0
            while i + k < end and data[i + k] == missing[begin + k]:
                k += 1
            if i + k == end:
                return end
        begin = ends[mark]
    return -1


@njit(cache=True, nogil=True)
def read_rows(
    data: NDArray[np.uint8],
    starts: NDArray[np.integer[Any]],
    lengths: NDArray[np.integer[Any]],
    origin: int,
    delimiter: int,
    places: NDArray[np.int64],
    missing: NDArray[np.uint8],
    ends: NDArray[np.int64],
    out: NDArray[np.float64],
) -> int:
    """Read rows of plain cells; stop before the first that isn't so.

    A plain cell is empty, which is NaN; a mark of missing values, which is NaN; or a number: a sign
    or none, digits with a point among, before, after them or none, and an exponent or none (e or E,
    a sign or none, digits). A cell that isn't wanted is plain without quotes and beyond ASCII.

    Parameters
    ----------
    data : uint8 array, contiguous
        The text.
    starts, lengths : integer arrays, shape (n,)
        Row i is `data[origin + starts[i]:][:lengths[i]]`, without its line end, which follows.
    origin : int
    delimiter : int
        One byte that no number has.
    places : int64 array, shape (columns,)
        Which column of `out` each column goes to; -1 for one that isn't wanted.
    missing, ends : uint8 and int64 arrays
        The marks of missing values, one after the other, and where each ends.
    out : float64 array, shape (n, wanted columns), C order
        Receives the numbers.

    Returns
    -------
    int
        Rows read: n, or the number of the first row with another number of cells, or with a cell
        that isn't plain or whose value isn't decided here; what `out` has from there on is void.
    """
    last = places.size - 1
    for row in range(starts.size):
        i = origin + np.int64(starts[row])
        stop = i + np.int64(lengths[row])
        for j in range(places.size):
            place = places[j]
            if place < 0:
                i = _cell_end(data, i, stop, delimiter)
            elif i == stop or data[i] == delimiter:
                out[row, place] = np.nan
            else:
                value, end = _number(data, i, stop)
                if end < 0 or (end < stop and data[end] != delimiter):
                    value, end = np.nan, _missing_end(data, i, stop, delimiter, missing, ends)
                out[row, place] = value
                i = end
            if i < 0 or (i == stop) != (j == last):
                return row
            i += 1
    return starts.size
