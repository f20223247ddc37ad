"""Sets of rows behave as sets of ints, in every form they are kept in."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceprop.lineage import RowSet
from traceprop.lineage.rowset import union

rows = st.sets(st.integers(0, 60))


@given(rows)
def test_iterates_sorted_ints_with_length_and_membership(chosen):
    found = RowSet(chosen)
    assert list(found) == sorted(chosen)
    assert all(type(row) is int for row in found)
    assert len(found) == len(chosen)
    assert [row in found for row in range(-1, 62)] == [row in chosen for row in range(-1, 62)]
    assert found == chosen
    assert [row for run in found.ranges() for row in run] == sorted(chosen)
    np.testing.assert_array_equal(np.flatnonzero(found.mask(61)), sorted(chosen))


@given(rows, rows)
def test_union_and_equality(a, b):
    assert union(RowSet(a), RowSet(b)) == RowSet(a | b)
    assert (RowSet(a) == RowSet(b)) == (a == b)


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        ([], "no rows"),
        ([4], "row 4"),
        ([5, 3, 4], "rows 3-5"),
        ([3, 4, 5, 9], "rows 3-5, 9"),
        (range(0, 60, 2), "rows 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, … 58 (30 rows)"),
    ],
)
def test_prints_ranges(chosen, text):
    assert repr(RowSet(chosen)) == text


def test_a_dense_large_set_is_packed_and_still_the_same():
    mask = np.random.default_rng(0).random(1_000_000) < 0.6
    mask[-1] = True
    plain = RowSet.from_sorted(np.flatnonzero(mask).astype(np.int32))
    packed = plain.packed()
    assert RowSet.from_mask(mask).nbytes == packed.nbytes
    np.testing.assert_array_equal(packed.mask(len(mask)), mask)
    assert packed.nbytes < plain.nbytes / 10
    assert packed == plain
    assert len(packed) == mask.sum()
    assert 999_999 in packed
    assert int(np.flatnonzero(~mask)[0]) not in packed
    np.testing.assert_array_equal(packed.to_numpy(), np.flatnonzero(mask))


def test_consecutive_rows_take_no_memory():
    assert RowSet.from_mask(np.ones(1_000_000, dtype=bool)).nbytes == 0


def test_refuses_what_is_no_row_number():
    with pytest.raises(TypeError, match="row number"):
        RowSet([1.5])


@pytest.mark.parametrize("n", [300, 200_000])
@pytest.mark.parametrize("seed", range(5))
def test_a_set_in_any_form_answers_as_its_numbers(n, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(n) < rng.choice([0.02, 0.5, 0.98])
    mask[:7] = False
    numbers = np.flatnonzero(mask)
    plain = RowSet.from_sorted(numbers)
    for found in (RowSet.from_mask(mask), plain, plain.packed()):
        inside = [row in found for row in (*range(-3, 40), *range(n - 20, n + 20), 1 << 40)]
        wanted = [
            bool(0 <= row < n and mask[row])
            for row in (*range(-3, 40), *range(n - 20, n + 20), 1 << 40)
        ]
        assert inside == wanted
        assert hash(found) == hash(plain)
        assert found == plain
        assert str(found) == str_of_all(found.ranges(), len(numbers))


def str_of_all(runs, count):
    """Print as the set does, from all its runs."""
    shown = [str(r.start) if len(r) == 1 else f"{r.start}-{r.stop - 1}" for r in runs[:12]]
    more = f", … {runs[-1].stop - 1} ({count} rows)" if len(runs) > 12 else ""
    return ", ".join(shown) + more


def test_a_large_set_answers_small_questions_at_once():
    """Each took 12 to 30 ms when it wrote all rows out."""
    found = RowSet.from_mask(np.random.default_rng(0).random(1_000_000) < 0.5)
    for ask in (lambda: 500_001 in found, lambda: hash(found), lambda: repr(found)):
        ask()
        start = time.thread_time()
        for _ in range(10):
            ask()
        assert (time.thread_time() - start) / 10 < 2e-3
