"""The kernels that turn rows into codes and search these, against their slow twins."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from numba_kernels import scan_codes, scan_rotation
from numba_kernels.scan_top import merge_heaps
from tests.naive import scan as naive

KEY = 0x5EED


@pytest.mark.parametrize("width", [1, 63, 64, 65, 1000, 1024])
def test_rotation(width: int) -> None:
    row = np.random.default_rng(width).standard_normal(width).astype(np.float32)
    out, scratch = np.empty(1024, np.float32), np.full(1024, np.nan, np.float32)
    scan_rotation.rotate(row, np.uint64(KEY), out, scratch)
    assert_allclose(out, naive.rotation(width, 1024, KEY) @ row, rtol=0, atol=1e-5)
    assert_allclose(np.linalg.norm(out), np.linalg.norm(row), rtol=1e-5)


def encoded(rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n, words = len(rows), size // 64
    head = np.zeros((n, 16), np.uint64)
    tail = np.zeros((n, words - 16), np.uint64)
    factors = np.full((2, n), np.nan, np.float32)
    scan_rotation.encode_rows(rows.astype(np.float32), np.uint64(KEY), head, tail, factors)
    return head, tail, factors


@pytest.mark.parametrize("size", [1024, 2048])
def test_codes_and_factors(size: int) -> None:
    rows = np.random.default_rng(3).standard_normal((5, size - 100))
    rows[3] = 0
    head, tail, factors = encoded(rows, size)
    turned = rows @ naive.rotation(rows.shape[1], size, KEY).T
    words = np.concatenate([head, tail], axis=1)
    for row, found in zip(turned, words, strict=True):
        different = np.array(naive.bits_of(found)) != (row >= 0)
        assert not different[np.abs(row) > 1e-5].any()  # rounding may turn what is next to zero
    square = (rows**2).sum(1)
    sizes = [np.abs(turned[:, :1024]).sum(1), np.abs(turned).sum(1)]
    expected = [np.divide(square, s, out=np.zeros(5), where=square > 0) for s in sizes]
    assert_allclose(factors, expected, rtol=1e-4)
    assert (factors[:, 3] == 0).all()


def test_a_row_of_zeros_has_a_code_of_ones() -> None:
    head, _, _ = encoded(np.zeros((1, 10)), 1024)
    assert_array_equal(head[0], naive.code(np.zeros(1024)))


@pytest.mark.parametrize("words", [8, 24])
@pytest.mark.parametrize("order", ["largest", "abs", "against"])
def test_estimates(words: int, order: str) -> None:
    random = np.random.default_rng(words)
    n, m, number = 70, 2, {"largest": 0, "abs": 1, "against": 2}[order]
    codes = random.integers(0, 1 << 64, (n, words), dtype=np.uint64)
    values = random.integers(-7, 8, (m, 64 * words))
    planes = np.empty((m, scan_codes.PLANES, words), np.uint64)
    for q in range(m):
        for b in range(scan_codes.PLANES):
            planes[q, b] = naive.code(np.where((values[q] >> b) & 1, 1, -1))
    factors = random.uniform(0, 2, n).astype(np.float32)
    steps, offsets = np.array([0.5, 2], np.float32), np.array([0, -3], np.float32)
    heaps = np.zeros((m, 12), np.uint64)
    centres = values.sum(1)
    scan_codes.scan_codes(codes, factors, planes, centres, steps, offsets, 50, number, heaps)
    for q in range(m):
        expected = np.array(
            [
                naive.estimate(codes[i], factors[i], values[q], steps[q], offsets[q])
                for i in range(n)
            ]
        )
        rows, scores = merge_heaps(heaps[q], 12, number)
        assert_allclose(scores, expected[naive.ranking(expected, 12, order)], rtol=1e-5)
        assert_allclose(scores, expected[rows - 50], rtol=1e-5)
        some = np.arange(0, n, 3)
        heap = np.zeros(5, np.uint64)
        head, tail = np.ascontiguousarray(codes[:, :8]), np.ascontiguousarray(codes[:, 8:])
        parts = (np.ascontiguousarray(planes[q : q + 1, :, s]) for s in (slice(8), slice(8, None)))
        scan_codes.refine_codes(
            some, head, tail, factors, *parts, centres[q], steps[q], offsets[q], number, heap
        )
        rows, scores = merge_heaps(heap, 5, number)
        assert_allclose(scores, expected[some][naive.ranking(expected[some], 5, order)], rtol=1e-5)
        assert set(rows) <= set(some)
