"""Arrow columns as NumPy: values, categories, and every missing value kept."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from traceprop.sources import columns


@given(
    arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 4))),
    st.lists(st.integers(0, 9), max_size=3),
)
def test_the_matrix_is_the_columns_side_by_side(expected: np.ndarray, cuts: list[int]) -> None:
    bounds = sorted({0, len(expected), *(cut for cut in cuts if cut < len(expected))})
    batches = [
        pa.record_batch(
            [pa.array(column, mask=np.isnan(column)) for column in expected[start:stop].T],
            names=[str(j) for j in range(expected.shape[1])],
        )
        for start, stop in itertools.pairwise(bounds)
    ]
    found = columns.matrix(pa.Table.from_batches(batches))
    assert found.flags.c_contiguous
    assert np.array_equal(found, expected, equal_nan=True)


def chunked(*chunks: list, type: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(chunk, type) for chunk in chunks])


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (chunked([1, 2], [3]), np.array([1, 2, 3], np.int64)),
        (chunked([1, None], [3]), np.array([1.0, np.nan, 3.0])),
        (chunked([True, False]), np.array([True, False])),
        (chunked([True, None], [False]), np.array([1.0, np.nan, 0.0])),
        (chunked([None, None]), np.array([np.nan, np.nan])),
        (chunked([1, None], type=pa.date32()), np.array(["1970-01-02", "NaT"], "M8[D]")),
        (chunked([90, None], type=pa.time32("s")), np.array([90, "NaT"], "m8[s]")),
        (chunked([90, None], type=pa.time32("ms")), np.array([90, "NaT"], "m8[ms]")),
        (chunked([90, None], type=pa.time64("us")), np.array([90, "NaT"], "m8[us]")),
        (chunked([5], type=pa.timestamp("s", "UTC")), np.array(["1970-01-01T00:00:05"], "M8[s]")),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_values(column: pa.ChunkedArray, expected: np.ndarray) -> None:
    found = columns.column(column)
    assert found.categories is None
    assert found.values.dtype == expected.dtype
    assert np.array_equal(found.values, expected, equal_nan=True)


@given(
    st.lists(
        st.lists(st.one_of(st.none(), st.text("abé", max_size=2)), min_size=1, max_size=5),
        min_size=1,
        max_size=4,
    )
)
def test_categories_are_sorted_and_codes_name_them(chunks: list[list[str | None]]) -> None:
    text = pa.chunked_array([pa.array(chunk, pa.string()).dictionary_encode() for chunk in chunks])
    found = columns.column(text)
    flat = [value for chunk in chunks for value in chunk]
    assert found.categories == tuple(sorted({value for value in flat if value is not None}))
    assert found.values.dtype == np.int32
    named = [None if code < 0 else found.categories[code] for code in found.values]
    assert named == flat


def test_a_dictionary_with_a_text_twice_or_missing() -> None:
    words = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 2, None, 3], pa.int32()), pa.array(["b", None, "a", "b"])
    )
    found = columns.column(pa.chunked_array([words]))
    assert found.categories == ("a", "b")
    assert found.values.tolist() == [1, -1, 0, -1, 1]
