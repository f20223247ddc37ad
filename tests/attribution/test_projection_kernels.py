"""The projection kernels against their slow twins."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from numba_kernels import projection as kernels
from numba_kernels.projection_panels import achlioptas_panel
from tests.naive import projection as naive

KEY = 0x0123456789ABCDEF


def rows(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, *shape)).astype(np.float32)


@pytest.mark.parametrize("counter", [0, 1, 63, 2**40, 2**63])
def test_the_hash_is_the_twins(counter: int) -> None:
    assert int(kernels.hash64(np.uint64(KEY), np.uint64(counter))) == naive.hash64(KEY, counter)


@pytest.mark.parametrize(("d", "k"), [(1, 5), (64, 64), (200, 17), (333, 128), (512, 1000)])
@pytest.mark.parametrize("repetitions", [1, 4])
def test_line_sjlt(d: int, k: int, repetitions: int) -> None:
    x = rows(3, d)
    out, lines = np.ones((3, k), np.float32), np.zeros((3, k + kernels.LINE), np.float32)
    kernels.line_sjlt(x, np.uint64(KEY), repetitions, lines)
    kernels.fold(lines, repetitions, out)
    # Sums of a few standard normal numbers in float32: absolute errors of some 1e-7 each.
    expected = 1 + x @ naive.line_sjlt_matrix(d, k, KEY, repetitions)
    assert_allclose(out, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("width", [1, 24, 64, 130])
def test_line_sjlt_of_segments_is_that_of_the_dense_rows(width: int) -> None:
    n, n_rows, n_segments, k = 3, 7, 5, 50
    index = np.random.default_rng(0).integers(0, n_rows, (n, n_segments))
    x = rows(n, n_segments, width)
    dense = np.zeros((n, n_rows, width))
    np.add.at(dense, (np.arange(n)[:, None], index), x)
    out, lines = np.zeros((n, k), np.float32), np.zeros((n, k + kernels.LINE), np.float32)
    kernels.line_sjlt_segments(index, x, np.uint64(KEY), 4, lines)
    kernels.fold(lines, 4, out)
    expected = dense.reshape(n, -1) @ naive.line_sjlt_matrix(n_rows * width, k, KEY, 4)
    assert_allclose(out, expected, rtol=0, atol=1e-5)


def test_count_sketch() -> None:
    x, k = rows(4, 300), 37
    buckets, signs = kernels.hash_table(np.uint64(KEY), 300, k)
    assert list(zip(buckets.tolist(), signs.tolist(), strict=True)) == naive.table(KEY, 300, k)
    out = np.zeros((4, k), np.float32)
    kernels.count_sketch(x, buckets, signs, out)
    assert_allclose(out, x @ naive.count_sketch_matrix(KEY, 300, k), rtol=0, atol=1e-5)


def test_tensor_sketch_of_matrices_and_of_an_outer_product() -> None:
    p, q, k = 6, 11, 32
    tables = [*kernels.hash_table(np.uint64(KEY), p, k), *kernels.hash_table(np.uint64(7), q, k)]
    matrix = naive.tensor_sketch_matrix(KEY, 7, p, q, k)
    left, right = rows(5, p), rows(5, q)
    out = np.zeros((5, k), np.float32)
    kernels.tensor_sketch(left[:, :, None] * right[:, None], *tables, out)
    expected = np.einsum("np,nq->npq", left, right).reshape(5, -1) @ matrix
    assert_allclose(out, expected, rtol=0, atol=1e-5)
    counts = [
        left @ naive.count_sketch_matrix(KEY, p, k),
        right @ naive.count_sketch_matrix(7, q, k),
    ]
    spectra = [np.fft.rfft(c) for c in counts]
    assert_allclose(np.fft.irfft(spectra[0] * spectra[1], k), expected, rtol=0, atol=1e-5)


def test_add_rows_counts_a_repeated_row_twice() -> None:
    x, out = rows(3, 4), np.zeros((2, 4), np.float32)
    kernels.add_rows(np.array([1, 0, 1]), x, out)
    assert_array_equal(out, [x[1], x[0] + x[2]])


@pytest.mark.parametrize(("d", "k"), [(3, 8), (5, 17), (70, 6)])
def test_achlioptas_panels(d: int, k: int) -> None:
    panel = np.empty((d - 2, k), np.float32)
    achlioptas_panel(np.uint64(KEY), 2, panel)
    assert_allclose(panel, naive.achlioptas_matrix(d, k, KEY)[2:], rtol=1e-6)


def test_achlioptas_has_a_third_of_its_entries() -> None:
    panel = np.empty((512, 4096), np.float32)
    achlioptas_panel(np.uint64(KEY), 0, panel)
    assert np.mean(panel != 0) == pytest.approx(1 / 3, abs=0.002)
    assert np.mean(panel > 0) == pytest.approx(1 / 6, abs=0.002)
    assert panel.var() * 4096 == pytest.approx(1, abs=0.01)
    # Neither columns, nor the two halves of a word, nor rows go together.
    signs = np.sign(panel)
    assert abs(np.mean(signs[:, :2048] * signs[:, 2048:])) < 0.002
    assert abs(np.mean(signs[:, 1:] * signs[:, :-1])) < 0.002
    assert abs(np.mean(signs[1:] * signs[:-1])) < 0.002


def test_more_lines_than_hashes_made_at_a_time() -> None:
    d, k, key = 64 * (kernels._BLOCK + 3) + 5, 40, np.uint64(KEY)
    x = rows(2, d)
    whole, apart = np.zeros((2, k + kernels.LINE), np.float32), np.zeros((2, k), np.float32)
    kernels.line_sjlt(x, key, 2, whole)
    index = np.arange(d // 5, dtype=np.int64)[None].repeat(2, 0)
    assert d % 5 == 1
    lines = np.zeros_like(whole)
    kernels.line_sjlt_segments(index, x[:, :-1].reshape(2, -1, 5), key, 2, lines)
    kernels.line_sjlt_segments(np.full((2, 1), d - 1), x[:, -1:, None], key, 2, lines)
    kernels.fold(lines, 2, apart)
    folded = np.zeros_like(apart)
    kernels.fold(whole, 2, folded)
    assert_allclose(folded, apart, rtol=0, atol=1e-3)
