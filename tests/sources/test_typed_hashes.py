"""The hash of a row of typed values: over what it holds, not over how Arrow stores it."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.naive.row_hashes import hash_of_row
from traceprop.errors import SourceError
from traceprop.sources.identity.typed_hashes import hash_numbers, hash_table

MOMENT = datetime.datetime(2024, 2, 29, 13, 59, 1, 250_000)
COLUMNS = {
    "bools": (pa.bool_(), [True, False, None, True]),
    "bytes": (pa.int8(), [-128, None, 127, 0]),
    "counts": (pa.uint64(), [2**64 - 1, 0, 1, None]),
    "longs": (pa.int64(), [-(2**63), 2**63 - 1, None, -1]),
    "halves": (pa.float16(), [np.float16(0.5), None, np.float16("nan"), np.float16(-2)]),
    "floats": (pa.float32(), [0.5, -0.0, None, float("inf")]),
    "doubles": (pa.float64(), [0.1, float("nan"), None, 0.0]),
    "decimals": (pa.decimal128(12, 3), [*map(decimal.Decimal, ("1.250", "-7.000")), None, None]),
    "texts": (pa.string(), ["", "żółć", None, "a" * 70]),
    "large": (pa.large_string(), ["x", None, "y", "x"]),
    "raw": (pa.binary(), [b"", None, b"\xff\0", b"x"]),
    "fixed": (pa.binary(2), [b"ab", None, b"\xff\0", b"xx"]),
    "days": (pa.date32(), [MOMENT.date(), None, datetime.date(1901, 1, 1), MOMENT.date()]),
    "moments": (pa.timestamp("us"), [MOMENT, None, datetime.datetime(1677, 1, 1), MOMENT]),
    "utc": (pa.timestamp("ms", tz="UTC"), [MOMENT, None, MOMENT, MOMENT]),
    "times": (pa.time64("us"), [MOMENT.time(), None, datetime.time(), MOMENT.time()]),
    "spans": (pa.duration("us"), [datetime.timedelta(-1, 5), None, datetime.timedelta(7), None]),
    "nothing": (pa.null(), [None] * 4),
}
ZONED = datetime.UTC


def everything() -> pa.Table:
    return pa.table({name: pa.array(values, kind) for name, (kind, values) in COLUMNS.items()})


@pytest.mark.parametrize("name", COLUMNS)
def test_each_type_is_hashed_as_plain_python_does(name: str) -> None:
    kind, values = COLUMNS[name]
    table = pa.table({name: pa.array(values, kind)})
    plain = [None if v is None else float(v) if name == "halves" else v for v in values]
    assert hash_table(table).tolist() == [hash_of_row([value]) for value in plain]


def test_rows_of_all_types() -> None:
    rows = zip(*(values for _, values in COLUMNS.values()), strict=True)
    plain = [[float(v) if isinstance(v, np.float16) else v for v in row] for row in rows]
    assert hash_table(everything()).tolist() == [hash_of_row(row) for row in plain]


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 5))
def test_chunks_slices_and_dictionaries_do_not_matter(rows: list[int], size: int) -> None:
    table = everything().take(pa.array(rows, pa.int64()))
    expected = hash_table(everything())[np.array(rows, np.intp)]
    pieces = [table.slice(i, size) for i in range(0, len(rows), size)]
    chunked = pa.concat_tables(pieces) if pieces else table
    assert np.array_equal(hash_table(chunked), expected)
    for name in ("texts", "large", "longs", "decimals"):
        at = chunked.column_names.index(name)
        encoded = [p.column(at).combine_chunks().dictionary_encode() for p in pieces]
        if encoded:
            chunked = chunked.set_column(at, name, pa.chunked_array(encoded))
    assert np.array_equal(hash_table(chunked), expected)


@pytest.mark.parametrize(
    ("one", "other", "values"),
    [
        (pa.int8(), pa.uint64(), [1, None, 100]),
        (pa.float32(), pa.float64(), [0.5, None, float("nan")]),
        (pa.string(), pa.large_string(), ["a", None, "ü"]),
        (pa.string(), pa.string_view(), ["a", None, "a text too long to lie in the view"]),
        (pa.date32(), pa.date64(), [MOMENT.date(), None, datetime.date(1901, 1, 1)]),
        (pa.timestamp("ms"), pa.timestamp("ns"), [MOMENT, None, MOMENT]),
        (pa.time32("ms"), pa.time64("ns"), [MOMENT.time(), None, MOMENT.time()]),
        (pa.decimal128(9, 2), pa.decimal256(40, 2), [decimal.Decimal("1.50"), None, None]),
    ],
    ids=str,
)
def test_the_width_of_a_type_does_not_matter(
    one: pa.DataType, other: pa.DataType, values: list
) -> None:
    first, second = (pa.table({"x": pa.array(values, kind)}) for kind in (one, other))
    assert np.array_equal(hash_table(first), hash_table(second))


def test_missing_is_neither_nan_nor_empty_nor_zero() -> None:
    floats = hash_table(pa.table({"x": pa.array([None, float("nan"), 0.0])}))
    texts = hash_table(pa.table({"x": pa.array([None, "", "null "])}))
    assert len({*floats.tolist(), *texts.tolist()}) == 5  # a missing value is one in both


def test_columns_have_an_order() -> None:
    table = pa.table({"a": [1, 2], "b": [2, 1]})
    assert np.array_equal(hash_table(table), hash_table(table.select(["b", "a"]))[::-1])
    assert not np.array_equal(hash_table(table), hash_table(table.select(["b", "a"])))


def test_a_table_without_rows_or_of_one_batch() -> None:
    table = everything()
    assert hash_table(table.slice(0, 0)).size == 0
    assert np.array_equal(hash_table(table.to_batches()[0]), hash_table(table))


def test_nested_values_are_refused_by_name() -> None:
    with pytest.raises(SourceError, match=r"'tags' holds list<.*> values"):
        hash_table(pa.table({"id": [1], "tags": [[1, 2]]}))


NUMBERS = {
    "bools": pa.bool_(),
    "bytes": pa.int8(),
    "shorts": pa.uint16(),
    "ints": pa.int32(),
    "counts": pa.uint32(),
    "longs": pa.int64(),
    "unsigned": pa.uint64(),
    "halves": pa.float16(),
    "floats": pa.float32(),
    "doubles": pa.float64(),
    "decimals": pa.decimal128(12, 3),
    "nothing": pa.null(),
}


@st.composite
def batches_of_numbers(draw: st.DrawFn) -> pa.RecordBatch:
    """A slice, not from the first row, of columns of all kinds, some as dictionaries."""
    n, columns = draw(st.integers(0, 700)), {}
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    for name in draw(st.lists(st.sampled_from(list(NUMBERS)), min_size=1, max_size=9, unique=True)):
        whole = rng.integers(0, 2 if name == "bools" else 100, n)
        whole = whole - 50 * (NUMBERS[name] in (pa.int8(), pa.int32(), pa.int64()))
        array = pa.nulls(n)
        if name == "decimals":
            array = pa.array([decimal.Decimal(int(i)) / 8 for i in whole], NUMBERS[name])
        elif name != "nothing":
            array = pa.array(whole.astype(NUMBERS[name].to_pandas_dtype()))
        if name in ("floats", "doubles"):
            array = pa.array(np.where(whole % 7, whole / 3, np.nan), NUMBERS[name])
        if draw(st.booleans()):
            array = pc.if_else(pa.array(rng.random(n) < 0.8), array, None)
        if name in ("ints", "longs", "decimals") and draw(st.booleans()):
            array = array.dictionary_encode()
        columns[name] = array
    return pa.record_batch(columns).slice(draw(st.integers(0, 12)))


@given(batches_of_numbers())
def test_numbers_are_hashed_and_laid_out_in_one_pass(batch: pa.RecordBatch) -> None:
    hashes, matrix = np.empty(len(batch), np.uint64), np.empty((len(batch), batch.num_columns))
    assert hash_numbers(batch, hashes, matrix) is None
    plain = [batch.column(j).to_pylist() for j in range(batch.num_columns)]
    expected = [[np.nan if v is None else float(v) for v in column] for column in plain]
    assert np.array_equal(matrix, np.array(expected).T.reshape(matrix.shape), equal_nan=True)
    assert np.array_equal(hashes, hash_table(batch))
    sample = range(0, len(batch), 37)
    assert [hashes[i] for i in sample] == [hash_of_row([c[i] for c in plain]) for i in sample]


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.dictionary(pa.int8(), pa.int64())])
@pytest.mark.parametrize("holes", [False, True])
def test_an_integer_that_no_float_is_exactly_names_its_column(
    kind: pa.DataType, holes: bool
) -> None:
    hashes, matrix = np.empty(601, np.uint64), np.empty((601, 2))
    for last, found in ((2**53, None), (2**53 + 1, "n")):
        longs = pa.array([None if holes else 1] * 600 + [last], pa.int64())
        longs = longs.dictionary_encode() if pa.types.is_dictionary(kind) else longs.cast(kind)
        batch = pa.record_batch({"x": pa.array([1.0] * 601), "n": longs})
        assert hash_numbers(batch, hashes, matrix) == found
