"""Every kind of value: plain NumPy's results, of the same dtype, with a sound lineage."""

from __future__ import annotations

import numpy as np
import pytest

import traceprop as tp
from traceprop.errors import EscapeError
from traceprop.lineage import strict, values
from traceprop.testing import assert_sound

NUMBERS = ["float16", "float32", "float64", "longdouble", "complex64", "complex128", "int8",
           "int64", "uint8", "uint64"]  # fmt: skip


@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers(dtype):
    def normalised(x):
        kept = x[x.real > 1]
        return kept - kept.mean(axis=0), np.sort(kept, axis=0), kept.sum(dtype=dtype)

    assert_sound(normalised, np.array([[1, 5], [2, 2], [3, 4], [7, 0]], dtype=dtype))


def test_booleans():
    def logic(flags):
        return ~flags, flags & flags[::-1], flags.any(axis=1), np.logical_xor.reduce(flags)

    assert_sound(logic, np.array([[True, False], [False, False], [True, True]]))


def test_fixed_width_texts():
    def clean(words):
        lowered = np.strings.lower(np.strings.strip(words))
        found, codes = np.unique(lowered, return_inverse=True)
        return lowered[np.strings.str_len(lowered) > 1], found, codes, lowered == "ab"

    assert_sound(clean, np.array([" Ab", "b", "ab ", "c d"]))


def test_byte_strings():
    assert_sound(lambda raw: np.strings.decode(raw)[::-1], np.array([b"ab", b"c", b"de"]))


def test_texts_of_any_width():
    def clean(words):
        longer = np.strings.add(words, "!")
        return longer, longer[words > "b"], np.sort(words), np.strings.str_len(longer)

    assert_sound(clean, np.array(["b", "a longer one", "", "cc"], dtype=np.dtypes.StringDType()))


def test_dates():
    def ages(days):
        since = days - days.min()
        return since, since / np.timedelta64(1, "D"), days.astype("datetime64[M]"), np.diff(days)

    days = np.array(["2024-02-28", "2024-03-01", "NaT", "2023-12-31"], dtype="datetime64[D]")
    assert_sound(ages, days)


def test_objects():
    def work(things):
        things = things.copy()
        things[1:2] = things[3:]
        return things * 2, things[things > 2], np.concatenate([things, things])

    assert_sound(work, np.array([1, 2.5, 3, 10**30], dtype=object))


def test_a_cell_of_an_object_array_leaves_visibly():
    things = tp.array(np.array([{"a": 1}, [2]], dtype=object), name="things")
    with strict(), pytest.raises(EscapeError, match="object"):
        things[0]
    assert list(things[1:].sources()["things"]) == [1]


RECORDS = np.array(
    [(1, "x", 2.5), (2, "y", 0.5), (2, "x", 1.0)], dtype=[("k", "i8"), ("s", "U1"), ("v", "f8")]
)


def test_records():
    def work(records):
        records = records[records["v"] > 0.7]
        records["v"] *= 2
        return records, np.sort(records, order="v"), records[["k", "v"]], records["k"].sum()

    assert_sound(work, RECORDS)


def test_a_record_and_its_fields():
    table = tp.array(RECORDS, name="table")
    assert list(table["v"][1:].sources()["table"]) == [1, 2]
    assert list(table[2]["v"].sources()["table"]) == [2]
    assert table.dtype.names == ("k", "s", "v")


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (1,), (1, 1), (2, 0, 2)])
def test_nothing_and_next_to_nothing(shape):
    def work(x):
        return x * 2, x.sum(axis=0), np.concatenate([x, x]), x[::-1], x.reshape(-1), x[x > 1], x.T

    assert_sound(work, np.ones(shape))


def test_a_number_is_a_row_of_its_own():
    number = tp.array(np.float64(2.5), name="number")
    assert values(number * 2) == 5.0
    assert list((number * 2).sources()["number"]) == [0]


@pytest.mark.parametrize("order", ["C", "F"])
def test_layouts_in_memory(order):
    def work(x):
        return x.ravel("K"), x.reshape(3, -1), x.T.ravel(), np.ravel(x, "A"), x[:, ::-1].copy("K")

    assert_sound(work, np.asarray(np.arange(12.0).reshape(4, 3), order=order))


def test_big_endian_numbers():
    swapped = np.array([1.0, -2.0, 3.0], dtype=">f8")
    assert_sound(lambda x: (x + 1, x.byteswap(), x.astype("<f8"), x.view(">i8")), swapped)
