"""The kernels that score stored rows, and those that keep the best, against their slow twins."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from numba_kernels import scan
from numba_kernels.scan_top import MAX_ROWS, merge_heaps, offer_scores
from tests.naive import scan as naive

ORDERS = {"largest": 0, "abs": 1, "against": 2}
FORMATS = ("float32", "float16", "int8")
UNSCALED = np.empty(0, np.float32)


def stored(
    rows: np.ndarray, dtype: str, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Rows as the kernel takes them, their scales, and the scales as the twin takes them."""
    if dtype == "int8":
        scales = np.random.default_rng(seed).uniform(0.1, 2, len(rows)).astype(np.float32)
        return np.clip(np.round(rows * 40), -127, 127).astype(np.int8), scales, scales
    return rows.astype(dtype), UNSCALED, None


def for_kernel(rows: np.ndarray) -> np.ndarray:
    return rows.view(np.uint16) if rows.dtype == np.float16 else rows


def kept(scores: np.ndarray, k: int, order: str, parts: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """What heaps of k keep, the rows dealt out to some of them in stretches."""
    heaps = np.zeros((parts, k), np.uint64)
    cuts = np.linspace(0, len(scores), 2 * parts + 1).astype(int)
    for part, (start, stop) in enumerate(itertools.pairwise(cuts)):
        offer_scores(scores[start:stop], start, ORDERS[order], heaps[part % parts])
    return merge_heaps(heaps, k, ORDERS[order])


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("width", [1, 7, 16, 31, 32, 33, 100, 1024])
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 20])
def test_scores(dtype: str, width: int, n: int) -> None:
    random = np.random.default_rng(width)
    rows, scales, twin_scales = stored(random.standard_normal((n, width)), dtype)
    queries = random.standard_normal((3, width)).astype(np.float32)
    out = np.empty(n, np.float32)
    scan.score_rows(for_kernel(rows), scales, queries, 1, np.float32(0.25), out)
    expected = naive.scores(rows, twin_scales, queries[1], 0.25)
    # Float32 sums against double ones: a few roundings of the sum of sizes.
    sizes = naive.scores(np.abs(rows), twin_scales, np.abs(queries[1]), 0.25)
    assert (np.abs(out - expected) <= 1e-6 * sizes).all()


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_row_has_one_score_wherever_it_stands(dtype: str) -> None:
    row = np.random.default_rng(0).standard_normal(333)
    rows, _, _ = stored(np.tile(row, (21, 1)), dtype)
    out = np.empty(21, np.float32)
    query = np.random.default_rng(1).standard_normal((1, 333)).astype(np.float32)
    scan.score_rows(for_kernel(rows), UNSCALED, query, 0, np.float32(0), out)
    assert len(set(out.tolist())) == 1


def test_every_float16_is_read_as_it_is() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    one, zero = np.ones((1, 1), np.float32), np.float32(0)
    out = np.empty(len(bits), np.float32)
    scan.score_rows(bits[:, None], UNSCALED, one, 0, zero, out)
    with np.errstate(invalid="ignore"):
        assert_array_equal(out, bits.view(np.float16).astype(np.float32))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", FORMATS)
def test_scan_keeps_the_best_of_each_query(dtype: str, order: str) -> None:
    random = np.random.default_rng(5)
    # Whole numbers: the sums are exact, and many are equal.
    rows, scales, _ = stored(random.integers(-2, 3, (300, 9)) / 40, dtype)
    if dtype == "int8":
        scales[:] = 1
    queries = random.integers(-2, 3, (4, 9)).astype(np.float32)
    offsets = np.array([0, 1, -0.5, 0], np.float32)
    heaps = np.zeros((4, 25), np.uint64)
    for start, stop in ((0, 130), (130, 130), (130, 300)):
        part = for_kernel(rows[start:stop])
        own = scales[start:stop] if dtype == "int8" else scales
        scan.scan_rows(part, own, queries, offsets, 1000 + start, ORDERS[order], heaps)
    out = np.empty(300, np.float32)
    for q in range(4):
        scan.score_rows(for_kernel(rows), scales, queries, q, offsets[q], out)
        expected = naive.ranking(out, 25, order)
        found, scores = merge_heaps(heaps[q], 25, ORDERS[order])
        assert_array_equal(found, 1000 + expected)
        assert_array_equal(scores, out[expected])


FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)
FEW = st.sampled_from([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3e38])


@settings(max_examples=300)
@given(
    st.lists(st.one_of(FLOATS, FEW), max_size=40),
    st.integers(1, 45),
    st.sampled_from(sorted(ORDERS)),
    st.integers(1, 3),
)
def test_what_is_kept_is_the_head_of_a_stable_sort(
    given_scores: list[float], k: int, order: str, parts: int
) -> None:
    scores = np.array(given_scores, np.float32)
    rows, values = kept(scores, k, order, parts)
    expected = naive.ranking(scores, k, order)
    assert_array_equal(rows, expected)
    assert_array_equal(values, scores[expected])


def test_the_last_row_that_can_be_numbered() -> None:
    heap = np.zeros(3, np.uint64)
    offer_scores(np.array([1, 1], np.float32), MAX_ROWS - 2, 0, heap)
    rows, _ = merge_heaps(heap, 3, 0)
    assert_array_equal(rows, [MAX_ROWS - 2, MAX_ROWS - 1])


def test_overflowing_and_undefined_scores_rank_as_numpy_ranks_them() -> None:
    rows = np.array([[3e38, 3e38], [np.inf, -np.inf], [1, 1], [-3e38, -3e38]], np.float32)
    query, heap = np.full((1, 2), 3e38, np.float32), np.zeros((1, 4), np.uint64)
    scan.scan_rows(rows, UNSCALED, query, np.zeros(1, np.float32), 0, 0, heap)
    found, scores = merge_heaps(heap[0], 4, 0)
    assert_array_equal(found, [0, 2, 3, 1])
    assert_array_equal(scores, [np.inf, np.inf, -np.inf, np.nan])


def test_rows_of_no_numbers_score_their_offset() -> None:
    out = np.empty(3, np.float32)
    query = np.empty((1, 0), np.float32)
    scan.score_rows(np.empty((3, 0), np.float32), UNSCALED, query, 0, np.float32(2), out)
    assert_allclose(out, 2)
