"""Decimal numbers read by the kernel have the bits that Python's `float` gives them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numba_kernels import decimals
from tests.naive import decimals as naive

COMMA = b","


def read(
    rows: Sequence[bytes],
    delimiter: bytes = COMMA,
    places: Sequence[int] = (0,),
    missing: Sequence[bytes] = (),
    dtype: type = np.uint32,
) -> np.ndarray:
    """Read rows by the kernel, from a text that begins and ends with them; those read."""
    lengths = np.array([*map(len, rows)], dtype)
    starts = np.cumsum([0, *(lengths[:-1] + 1)]).astype(dtype)
    out = np.full((len(rows), max(places) + 1), 7.25)
    n = decimals.read_rows(
        np.frombuffer(bytearray(b"\n".join(rows)), np.uint8),
        starts,
        lengths,
        0,
        ord(delimiter),
        np.array(places),
        np.frombuffer(bytearray(b"".join(missing)), np.uint8),
        np.cumsum([len(mark) for mark in missing], dtype=np.int64),
        out,
    )
    return out[:n]


def check(cells: Sequence[str]) -> None:
    """Compare with `float`, bit by bit; every cell must be read."""
    found = read([cell.encode() for cell in cells])[:, 0]
    expected = np.array([*map(float, cells)])
    wrong = np.flatnonzero(found.view(np.uint64) != expected[: len(found)].view(np.uint64))
    assert not wrong.size, [(cells[k], float(found[k]), float(cells[k])) for k in wrong[:5]]
    assert len(found) == len(cells), f"not read: {cells[len(found)]}"


def undecided(cell: str) -> bool:
    """Whether the first 19 digits leave open to which float a number of more is rounded."""
    number = cell.lower().lstrip("+-").partition("e")[0].replace(".", "").lstrip("0")
    return len(number) > 19


def check_if_decided(cell: str) -> None:
    if len(read([cell.encode()])):
        check([cell])
    else:
        assert undecided(cell)


HARD = """
0 -0 0.0 -0.0 +0 00 000.000 -0e5 0e999 -0.0e-999 0e-400 1 +1 -1 1. .5 -.5 +.5e1 1.e5 1e5 1E+5
1e-5 007 0000000000000000000000001 0.00000000000000000000000000000000000001 1e0000000005
1e-0000000005 9007199254740991 9007199254740992 9007199254740993 9007199254740994
9007199254740995 9007199254740993.0 90071992547409930e-1 900719925474099.3e1 9007199254740993e0
18014398509481985 36028797018963969 18446744073709551615 18446744073709551614
9999999999999999999 1000000000000000000000 12345678901234567890 100000000000000000000000
2.2250738585072011e-308 2.2250738585072012e-308 2.2250738585072014e-308 2.225073858507201e-308
4.9406564584124654e-324 2.4703282292062328e-324 2.47032822920623e-324 5e-324 3e-324 2e-324
1e-324 1.7976931348623157e308 1.7976931348623158e308 1.797693134862315e309 1e308 1e309 -1e309
1e999 -1e999 1e99999999999999999999 1e-99999999999999999999 -1e-400 1e-343
9999999999999999999e-343 1e22 1e23 8.5e22 9.5e22 9007199254740993e22 1e-22 1e-23 123456789e-22
7.0e-10 6.02214076e23 1.6021766e-19 6929495644600919.5e-22 3.518437208883201171875e13 1e-5 0.1
0.2 0.3 0.7 1.1 123.456 179.99999999 5708990770823839207320493820740630171355185151e-23
1.00000000000000011102230246251565 62.5364939768271845828 8.10109172351e-10
1.50000000000000011102230246251565 0.000000000000001
9007199254740991.4999999999999999999999999999999999 31415926535897932384626433832795e-31
9.999999999999999999999999999999999999e22 99999999999999974834176 100000000000000000000001
4.4501477170144023e-308 2.2250738585072013830902327173324040642192159804623318306e-308
1448997445238699 7.2057594037927933e16 7.2057594037927932e16 5e-20 67e14 985e15 7693e-42 7e-27
"""
"""Among them those of Clinger (1990), Paxson (1991), and of known faults of PHP and Java."""


@pytest.mark.parametrize("cell", HARD.split())
def test_known_hard_numbers(cell: str) -> None:
    check_if_decided(cell)
    check_if_decided(f"-{cell.lstrip('+-')}")


def test_the_powers_of_five_are_the_rounded_ones() -> None:
    for power in (-342, -300, -28, -27, -1, 0, 1, 27, 55, 56, 308):
        high, low = (int(word) for word in decimals._FIVES[power + 342])
        bits = (high << 64) | low
        assert bits.bit_length() == 128
        share = Fraction(bits) / Fraction(5) ** power
        share /= Fraction(2) ** (math.frexp(float(share))[1] - 1)
        error = min(abs(share - 1), abs(share / 2 - 1)) * 2**128
        assert error == 0 if 0 <= power <= 55 else 0 < error <= 4


digits = st.text("0123456789", max_size=40)
plain = st.builds(
    lambda sign, whole, point, part, exponent: sign + (whole + point + part or "0") + exponent,
    st.sampled_from(["", "-", "+"]),
    digits.filter(bool),
    st.sampled_from(["", "."]),
    digits,
    st.one_of(
        st.just(""),
        st.builds(
            lambda e, sign, power: f"{e}{sign}{power}",
            st.sampled_from("eE"),
            st.sampled_from(["", "+", "-"]),
            st.one_of(st.integers(0, 40), st.integers(250, 400), st.integers(0, 10**25)),
        ),
    ),
)


@given(plain)
def test_any_plain_number(cell: str) -> None:
    check_if_decided(cell)


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(5e-324)
@example(2.2250738585072014e-308)
@example(-0.0)
def test_any_float(value: float) -> None:
    check([repr(value), f"{value:.17g}", f"{value:.16e}"])


@given(st.integers(0, 2**52 - 1), st.integers(1, 2046), st.integers(0, 60))
@example(0, 1, 0)
@example(2**52 - 1, 2046, 0)
def test_halfway_between_two_floats(mantissa: int, exponent: int, more: int) -> None:
    """Exactly halfway, and a little above and below, in all their digits and in fewer."""
    bits = np.array([(exponent << 52) | mantissa], np.uint64)
    value = Fraction(float(bits.view(np.float64)[0]))
    half = value + Fraction(2) ** (exponent - 1023 - 53)
    power = 0
    while half.denominator > 1 and power < 30:
        half, power = half * 10, power + 1
    if half.denominator > 1 or half > 10**60:
        return
    whole = int(half)
    for number in (whole, whole * 10**more + 1, whole * 10**more - 1):
        shift = 0 if number == whole else more
        check_if_decided(f"{number}e{-power - shift}")


def test_ties_of_up_to_nineteen_digits_are_decided() -> None:
    ties = [2**53 + odd for odd in range(1, 2001, 2)] + [(2**54 + 4 * k + 2) for k in range(1000)]
    check([*map(str, ties)])
    check([f"{tie // 10}.{tie % 10}" for tie in ties if tie % 2])
    check([f"{tie}e{q}" for tie in ties[::50] for q in range(-30, 30)])


def test_every_number_of_digits_before_and_after_the_point() -> None:
    """Words of eight digits are read whole, and the rest of a number in part of one."""
    digits = "1234567890" * 2
    check([digits[:n] for n in range(1, 20)])
    check([f"{digits[:n]}.{digits[:m]}" for n in range(19) for m in range(20 - n) if n + m])


def random_doubles(count: int, seed: int) -> np.ndarray:
    """Finite floats of all magnitudes: random bits."""
    bits = np.random.default_rng(seed).integers(0, 2**64, count, np.uint64, endpoint=False)
    values = bits.view(np.float64)
    return values[np.isfinite(values)]


def check_doubles(values: np.ndarray) -> None:
    numbers = values.tolist()
    for cells in ([repr(v) for v in numbers], [f"{v:.17g}" for v in numbers]):
        found = read([cell.encode() for cell in cells])[:, 0]
        assert np.array_equal(found.view(np.uint64), values.view(np.uint64))


def test_random_doubles() -> None:
    check_doubles(random_doubles(200_000, 0))


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 13))
def test_many_random_doubles(seed: int) -> None:
    check_doubles(random_doubles(500_000, seed))


def test_random_digits_and_powers() -> None:
    """Of 1 to 19 digits every number is decided, whatever its power of ten."""
    random_ = random.Random(0)
    cells = [
        f"{random_.randrange(10 ** random_.randrange(1, 20))}e{random_.randrange(-345, 312)}"
        for _ in range(100_000)
    ]
    check(cells)


def test_few_numbers_of_many_digits_are_undecided() -> None:
    random_ = random.Random(1)
    cells = [f"0.{random_.randrange(10**30):030}" for _ in range(20_000)]
    decided = [cell for cell in cells if len(read([cell.encode()]))]
    check(decided)
    assert len(decided) > 0.995 * len(cells)


cells = st.one_of(
    plain,
    st.sampled_from(
        ["", "NA", "?", "N", "NAN", "inf", "nan", "1 ", " 1", "-", "+", ".", "1e", "e5"]
    ),
    st.sampled_from(
        ['"1"', "0x10", "1_0", "1,", "--1", "1..2", "1e5.", "é", "1f", "1e+", "1-", "1'000"]
    ),
    st.text("0123456789+-.eENA? ", max_size=6),
)


@given(
    st.lists(st.lists(cells, min_size=1, max_size=4), min_size=1, max_size=4),
    st.permutations([0, 1, -1]),
    st.sampled_from([b",", b";", b"\t", b"|"]),
    st.sampled_from([np.uint32, np.int64]),
)
def test_rows_are_those_of_the_twin(
    table: list[list[str]], places: list[int], delimiter: bytes, dtype: type
) -> None:
    rows = [delimiter.join(cell.encode() for cell in row) for row in table]
    found = read(rows, delimiter, places, (b"NA", b"?"), dtype)
    expected = naive.read_rows(rows, delimiter, places, (b"NA", b"?"))[: len(found)]
    assert np.array_equal(
        found.view(np.uint64), np.array(expected).reshape(found.shape).view(np.uint64)
    )
    if len(found) < len(naive.read_rows(rows, delimiter, places, (b"NA", b"?"))):
        stopped = rows[len(found)].decode().split(delimiter.decode())
        assert any(undecided(cell) for cell in stopped)
