"""The kernels of keys and groups beside their plain twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numba_kernels import keys as kernels
from tests.naive import tables as naive
from traceprop.sources.table import keys

some_keys = st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(0, 5)))


def split(given: list[int | None]) -> tuple[np.ndarray, np.ndarray]:
    present = np.array([key is not None for key in given], bool)
    return np.array([key or 0 for key in given], np.int64), present


@given(some_keys, some_keys)
def test_keys_are_numbered_as_they_appear_and_found_again(
    first: list[int | None], second: list[int | None]
) -> None:
    ids, found = np.empty(len(first), np.int64), np.empty(len(second), np.int64)
    firsts, *table = kernels.number_keys(*split(first), ids)
    expected = naive.number(first)
    assert ids.tolist() == expected
    assert firsts.tolist() == [expected.index(i) for i in range(max(expected, default=-1) + 1)]
    kernels.find_keys(*split(second), *table, found)
    known = {key: i for key, i in zip(first, expected, strict=True) if key is not None}
    assert found.tolist() == [known.get(key, -1) for key in second]


@pytest.mark.parametrize("spread", [1, 2**20, 2**40, -(2**48)])
def test_many_keys_in_a_table_that_grows(spread: int) -> None:
    given = np.random.default_rng(0).permutation(20_000).astype(np.int64) * spread
    given = np.concatenate([given, given[::-1]])
    ids = np.empty(len(given), np.int64)
    kernels.number_keys(given, np.ones(len(given), bool), ids)
    assert np.array_equal(ids, np.concatenate([np.arange(20_000), np.arange(20_000)[::-1]]))


@given(st.lists(st.integers(-1, 4)))
def test_rows_by_group(ids: list[int]) -> None:
    rows = np.empty(sum(i >= 0 for i in ids), np.int32)
    starts = kernels.group_rows(np.array(ids, np.int32), 5, rows)
    for group in range(5):
        expected = [row for row, i in enumerate(ids) if i == group]
        assert rows[starts[group] : starts[group + 1]].tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(allow_nan=False, allow_infinity=False))))
def test_sums_are_as_exact_as_rounding_allows(rows: list[tuple[int, float]]) -> None:
    labels = np.array([label for label, _ in rows], np.int32)
    values = np.array([value for _, value in rows], np.float64)
    values = np.where(np.abs(values) > 1e300, 1.0, values)
    sums = np.zeros(4)
    kernels.group_float_sums(values, labels, np.ones(len(rows), bool), sums)
    for label in range(4):
        members = values[labels == label]
        slack = 4 * np.finfo(float).eps ** 2 * len(members) ** 2 * np.abs(members).sum()
        exact = math.fsum(members)
        assert abs(sums[label] - exact) <= np.spacing(abs(exact)) + slack


def test_sums_of_infinities() -> None:
    values, labels = np.array([np.inf, 1, np.inf, -np.inf]), np.array([0, 0, 1, 1], np.int32)
    sums = np.zeros(2)
    kernels.group_float_sums(values, labels, np.ones(4, bool), sums)
    assert sums[0] == np.inf
    assert np.isnan(sums[1])


@given(
    st.one_of(
        st.lists(st.sampled_from([np.nan, 0.0, -0.0, 1.5, -2.0, np.inf])).map(
            lambda v: np.array(v, float)
        ),
        st.lists(st.integers(-(2**63), 2**63 - 1)).map(lambda v: np.array(v, np.int64)),
        st.lists(st.integers(0, 2**64 - 1)).map(lambda v: np.array(v, np.uint64)),
        st.lists(st.integers(-3, 9)).map(lambda v: np.array(v, np.int64).astype("M8[D]")),
        st.lists(st.booleans()).map(lambda v: np.array(v, bool)),
    )
)
def test_values_are_numbered_in_their_order(values: np.ndarray) -> None:
    ids, count = keys.ordered_ids(values)
    plain = [None if value != value else value for value in values.tolist()]
    distinct = sorted({value for value in plain if value is not None})
    assert ids.tolist() == [len(distinct) if v is None else distinct.index(v) for v in plain]
    assert count == len(distinct) + (None in plain)
