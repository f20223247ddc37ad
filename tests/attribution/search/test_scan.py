"""The exact scan over shards, and what may be asked."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tests.attribution.search.arrays import decoded, gradients, shards
from tests.naive import scan as naive
from traceprop.attribution.search.question import ORDERS, ask
from traceprop.attribution.search.reads import read_rows
from traceprop.attribution.search.scan import scan, scan_one_by_one, score_values
from traceprop.attribution.search.threads import share_out
from traceprop.errors import AttributionError, DataError, StoreError


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("order", ORDERS)
def test_a_scan_ranks_as_a_sort_of_all_scores(tmp_path: Path, dtype: str, order: str) -> None:
    parts = shards(gradients(400, 33), dtype, tmp_path, (0, 17, 17, 230))
    queries = np.random.default_rng(1).standard_normal((3, 33))
    question = ask(queries, 33, 12, order, offsets=[0, 0.5, -0.5])
    found = scan(parts, question, threads=2)
    for q in range(3):
        expected = decoded(parts).astype(float) @ queries[q] + question.offsets[q]
        assert_array_equal(found.rows[q], naive.ranking(expected.astype(np.float32), 12, order))
        np.testing.assert_allclose(found.scores[q], expected[found.rows[q]], rtol=1e-4, atol=1e-6)
    for other in (scan(parts, question, threads=1), scan_one_by_one(parts, question, 2)):
        assert_array_equal(other.rows, found.rows)
        assert_array_equal(other.scores, found.scores)


@settings(max_examples=40)
@given(st.integers(0, 60), st.integers(1, 70), st.sampled_from(sorted(ORDERS)), st.integers(1, 4))
def test_equal_scores_keep_the_order_of_the_rows(n: int, k: int, order: str, threads: int) -> None:
    rows = np.random.default_rng(n).integers(-1, 2, (n, 3)).astype(np.float32)
    parts = shards_in_memory(rows, n // 3)
    question = ask([1, 1, 1], 3, k, order)
    found = scan(parts, question, threads)
    assert_array_equal(found.rows[0], naive.ranking(rows.sum(axis=1), k, order))


def shards_in_memory(rows: np.ndarray, cut: int):
    from traceprop.attribution.store.rows.shards import Shard

    def part(start: int, stop: int) -> Shard:
        return Shard(rows[start:stop], None, np.arange(start, stop), Path(), 0, start, None)

    return (part(0, cut), part(cut, len(rows)))


def test_no_shards_and_empty_shards_have_no_best_rows() -> None:
    question = ask([1.0], 1, 5)
    assert scan([], question).rows.shape == (1, 0)
    empty = shards_in_memory(np.empty((0, 1), np.float32), 0)
    assert scan(empty, question).rows.shape == (1, 0)
    assert scan_one_by_one([], question).rows.shape == (1, 0)


@pytest.mark.parametrize(
    ("queries", "error", "said"),
    [
        (np.ones((2, 4)), DataError, "rows of 3 numbers"),
        (np.ones((1, 1, 3)), DataError, "rows of 3 numbers"),
        (5.0, DataError, "rows of 3 numbers"),
        ([1, np.nan, 2], DataError, r"NaN, infinite or beyond float32 at \[1\]"),
        ([[1, 2, 3], [1, 2, np.inf]], DataError, r"at \[1, 2\]"),
        ([1, 1e39, 0], DataError, "beyond float32"),
        (["a", "b", "c"], DataError, "isn't numeric"),
        ([1j, 0, 0], DataError, "isn't numeric"),
    ],
)
def test_queries_that_make_no_sense(queries, error, said) -> None:
    with pytest.raises(error, match=said):
        ask(queries, 3, 1)


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "3", None])
def test_k_is_a_whole_number_from_1(k) -> None:
    with pytest.raises(AttributionError, match="whole number from 1"):
        ask([1, 2, 3], 3, k)


def test_other_wrong_questions() -> None:
    with pytest.raises(AttributionError, match="largest, abs, against"):
        ask([1, 2, 3], 3, 1, "smallest")
    with pytest.raises(DataError, match="2 offsets for 1 queries"):
        ask([1, 2, 3], 3, 1, offsets=[1, 2])
    with pytest.raises(AttributionError, match="threads is 0"):
        scan([], ask([1.0], 1, 1), threads=0)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_rows_are_read_by_position_as_they_are_mapped(tmp_path: Path, dtype: str) -> None:
    parts = shards(gradients(50, 7), dtype, tmp_path, (10, 10, 31))
    rows = np.array([0, 9, 10, 30, 31, 49])
    values, scales = read_rows(parts, rows)
    question = ask(np.arange(7), 7, 50)
    found = scan(parts, question)
    order = np.argsort(found.rows[0])
    assert_array_equal(score_values(values, scales, question, 0), found.scores[0][order][rows])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("queries", [np.ones(5), np.ones((3, 5))])
def test_a_damaged_row_is_named_instead_of_ranked_last(
    tmp_path: Path, order: str, queries: np.ndarray
) -> None:
    parts = shards(gradients(50, 5), "float32", tmp_path, (20,))
    parts[1].values[13, 2] = np.nan
    question = ask(queries, 5, 3, order)
    with pytest.raises(StoreError, match=r"sample 33 \(row 13 of .*float32-1.bin\) is NaN"):
        scan(parts, question, threads=2)
    with pytest.raises(StoreError, match=r"sample 33 .*is NaN"):
        scan_one_by_one(parts, question)


def test_a_file_that_was_cut_or_is_gone_is_named(tmp_path: Path) -> None:
    parts = shards(gradients(50, 7), "float32", tmp_path)
    rows = np.array([3, 49])
    with open(parts[0].path, "r+b") as file:
        file.truncate(24 + 49 * 28 + 5)
    with pytest.raises(StoreError, match=r"float32-0.bin ends before byte 1424"):
        read_rows(parts, rows)
    parts[0].path.unlink()
    with pytest.raises(StoreError, match=r"float32-0.bin failed: No such file"):
        read_rows(parts, rows)


def test_an_error_in_a_thread_reaches_the_caller() -> None:
    def work(thread: int, piece: int) -> None:
        if piece == 3:
            raise ValueError("three")

    with pytest.raises(ValueError, match="three"):
        share_out(work, 5, 2)


def _scan_in_child(rows: np.ndarray, queue) -> None:
    queue.put(scan(shards_in_memory(rows, 5), ask(np.ones(3), 3, 2), threads=2).rows.tolist())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_forked_after_a_scan_scans_too() -> None:
    rows = np.arange(30, dtype=np.float32).reshape(10, 3)
    expected = scan(shards_in_memory(rows, 5), ask(np.ones(3), 3, 2), threads=2).rows.tolist()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_scan_in_child, args=(rows, queue))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert queue.get() == expected
