"""Values of a query's result: their kinds, their digest, and what is refused."""

from __future__ import annotations

import datetime
import math
import uuid
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.naive import sql_digest as naive
from traceprop.errors import SourceError
from traceprop.sources.sql.digest import ResultDigest, encode, row_hashes
from traceprop.sources.sql.values import from_arrow, from_python, joined, kind_of

VIENNA = datetime.timezone(datetime.timedelta(hours=2))

NUMBERS = st.one_of(st.integers(-(2**53), 2**53), st.floats(), st.none())
INTEGERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.none())
KINDS = [
    NUMBERS,
    INTEGERS,
    st.one_of(st.text(st.characters(codec="utf-8"), max_size=9), st.none()),
    st.one_of(st.booleans(), st.none()),
    st.one_of(st.dates(), st.none()),
    st.one_of(st.datetimes(), st.none()),
    st.one_of(st.datetimes(datetime.datetime(2, 1, 1), datetime.datetime(9998, 1, 1),
                           timezones=st.just(VIENNA)), st.none()),
    st.one_of(st.times(), st.none()),
    st.none(),
]  # fmt: skip


@st.composite
def results(draw: st.DrawFn) -> tuple[list[str], list[tuple[Any, ...]], list[int]]:
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
    rows = draw(st.lists(st.tuples(*kinds), min_size=1, max_size=12))
    cuts = draw(st.lists(st.integers(1, len(rows)), max_size=4))
    return [f"c{i}" for i in range(len(kinds))], rows, sorted({0, *cuts, len(rows)})


@given(results())
def test_digest_and_hashes_are_those_of_the_naive_twin_however_rows_are_cut(
    result: tuple[list[str], list[tuple[Any, ...]], list[int]],
) -> None:
    names, rows, cuts = result
    running, hashes = ResultDigest(names), []
    for start, stop in pairwise(cuts):
        columns = zip(*rows[start:stop], strict=True)
        arrays = [
            from_python(column, name, start) for column, name in zip(columns, names, strict=True)
        ]
        encoded = [encode(array) for array in arrays]
        running.add(encoded)
        hashes += row_hashes(encoded).tolist()
    assert running.hexdigest() == naive.digest(names, rows)
    assert hashes == [naive.row_hash(row) for row in rows]


def test_a_slice_is_encoded_as_the_same_values_by_themselves() -> None:
    for values in (["a", "bcd", None, "ä", ""], [1.5, None, 3.0, math.nan], [True, None, False]):
        whole = from_python(values, "c", 0)
        part, alone = encode(whole.slice(1)), encode(from_python(values[1:], "c", 0))
        assert part.kind == alone.kind
        for one, other in zip(
            (part.presence, part.words, part.text),
            (alone.presence, alone.words, alone.text),
            strict=True,
        ):
            assert one.tolist() == other.tolist()


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, None, 3], "number", [1, None, 3]),
        ([1, 2.5], "number", [1.0, 2.5]),
        ([Decimal("0.1"), None, Decimal("NaN")], "number", [0.1, None, math.nan]),
        ([Decimal("2.50"), 1, 0.5], "number", [2.5, 1.0, 0.5]),
        ([True, None], "boolean", [True, None]),
        (["x", None], "text", ["x", None]),
        ([uuid.UUID(int=5)], "text", ["00000000-0000-0000-0000-000000000005"]),
        ([None, None], "nothing", [None, None]),
        ([datetime.date(2020, 1, 2)], "date", [datetime.date(2020, 1, 2)]),
        (
            [datetime.datetime(2020, 1, 2, 3, tzinfo=VIENNA)],
            "timestamp UTC",
            [datetime.datetime(2020, 1, 2, 1, tzinfo=datetime.UTC)],
        ),
    ],
)
def test_kinds_of_python_values(values: list[Any], kind: str, expected: list[Any]) -> None:
    array = from_python(values, "c", 0)
    assert kind_of(array) == kind
    assert repr(array.to_pylist()) == repr(expected) or array.to_pylist() == expected


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1, "x"], r"'c' holds values of two kinds: number, but text in row 8 \('x'\)"),
        ([None, "x", 2.0], r"text, but number in row 9 \(2.0\)"),
        ([True, 1], "boolean, but number|boolean, but integer"),
        ([datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1)], "date, but timestamp"),
        (
            [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=VIENNA)],
            "timestamp, but timestamp UTC",
        ),
        ([None, b"x"], r"'c' holds bytes \(a BLOB\) \(row 8\)"),
        (["x", memoryview(b"x")], "BLOB"),
        ([datetime.timedelta(1)], "intervals"),
        ([[1]], "values of type list"),
        ([2**63], "doesn't fit 64 bits"),
        ([2**53 + 1, 0.5], "can't hold exactly"),
        ([Decimal("1e400")], "too large for a float64"),
        ([datetime.time(1, tzinfo=VIENNA)], "with a time zone"),
    ],
)
def test_python_values_that_are_refused(values: list[Any], reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        from_python(values, "c", 7)


@pytest.mark.parametrize(
    ("array", "kind", "expected"),
    [
        (pa.array([1, None], pa.int16()), "number", [1, None]),
        (pa.array([7], pa.uint64()), "number", [7]),
        (pa.array([0.5], pa.float32()), "number", [0.5]),
        (pa.array([Decimal("0.10")], pa.decimal128(9, 2)), "number", [0.1]),
        (pa.array(["x"], pa.large_string()), "text", ["x"]),
        (pa.array(["x", "y", "x"]).dictionary_encode(), "text", ["x", "y", "x"]),
        (pa.array([datetime.date(2020, 1, 2)], pa.date64()), "date", [datetime.date(2020, 1, 2)]),
        (pa.array([1], pa.timestamp("s")), "timestamp", [datetime.datetime(1970, 1, 1, 0, 0, 1)]),
        (pa.array([60], pa.time32("s")), "time", [datetime.time(0, 1)]),
        (pa.nulls(2), "nothing", [None, None]),
    ],
)
def test_kinds_of_arrow_arrays(array: Any, kind: str, expected: list[Any]) -> None:
    read = from_arrow(array, "c")
    assert kind_of(read) == kind
    assert read.to_pylist() == expected


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (pa.array([b"x"]), "bytes"),
        (pa.array([[1]]), "list"),
        (pa.array([2**63], pa.uint64()), "can't be read"),
        (pa.array([1], pa.timestamp("ns")), "can't be read"),
        (pa.array([2**62], pa.timestamp("us")), "years 1 to 9999"),
        (pa.array([2**31 - 1], pa.date32()), "years 1 to 9999"),
        (pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "intervals"),
    ],
)
def test_arrow_arrays_that_are_refused(array: Any, reason: str) -> None:
    with pytest.raises(SourceError, match=rf"'c'.*{reason}"):
        from_arrow(array, "c")


def test_batches_of_integers_and_of_floats_become_one_column_of_floats() -> None:
    column = joined([pa.array([1, 2]), pa.nulls(1), pa.array([0.5])], "c")
    assert column.to_pylist() == [1.0, 2.0, None, 0.5]
    assert np.asarray(column.type == pa.float64())
    with pytest.raises(SourceError, match="exactly"):
        joined([pa.array([2**53 + 1]), pa.array([0.5])], "c")
