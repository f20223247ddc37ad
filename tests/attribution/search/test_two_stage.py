"""Codes, the whitening before them, and the search that ends in exact scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tests.attribution.search.arrays import decoded, gradients, shards
from tests.naive import scan as naive
from traceprop.attribution.search.codes import code_queries, encode, padded_size
from traceprop.attribution.search.index import SearchIndex
from traceprop.attribution.search.question import ORDERS, ask
from traceprop.attribution.search.scan import scan
from traceprop.attribution.search.two_stage import pays
from traceprop.attribution.search.whitening import Whitening
from traceprop.errors import StoreError

KEY = 99


def moment_of(rows: np.ndarray) -> np.ndarray:
    return rows.T.astype(float) @ rows / len(rows)


@pytest.mark.parametrize("width", [1, 60, 1100])
def test_whitening_keeps_inner_products(width: int) -> None:
    rows = gradients(300, width).astype(np.float32)
    queries = gradients(5, width, 1).astype(np.float32)
    whitening = Whitening.of_moment(moment_of(rows))
    found = whitening.queries(queries) @ whitening.rows(rows).T
    sizes = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(rows, axis=1)
    assert (np.abs(found - queries @ rows.T) <= 2e-6 * sizes).all()


def test_whitening_is_the_square_root_of_the_damped_fisher_matrix() -> None:
    rows = gradients(500, 40).astype(np.float32)
    moment = moment_of(rows)
    values, vectors = np.linalg.eigh(moment)
    damping = 0.01 * values[-1]
    root = vectors * np.sqrt(damping / (values + damping)) @ vectors.T
    # Directions below a tenth of the damping stay as they are: 5 % of their share at most.
    expected = rows @ root
    found = Whitening.of_moment(moment).rows(rows)
    assert np.linalg.norm(found - expected) <= 0.05 * np.linalg.norm(expected)


@pytest.mark.parametrize("moment", [np.zeros((4, 4)), np.full((4, 4), np.nan)])
def test_rows_without_a_direction_have_no_index(moment: np.ndarray) -> None:
    with pytest.raises(StoreError, match="nothing to search"):
        Whitening.of_moment(moment)


def test_the_scale_of_the_rows_doesnt_matter() -> None:
    rows = gradients(300, 30)
    one, other = (Whitening.of_moment(moment_of(rows * scale)) for scale in (1e-15, 1e15))
    assert_allclose(one.gains, other.gains, rtol=1e-4)


@pytest.mark.parametrize(("width", "size"), [(1, 1024), (1024, 1024), (1025, 2048), (4096, 4096)])
def test_padded_size(width: int, size: int) -> None:
    assert padded_size(width) == size


@pytest.mark.parametrize("width", [50, 1030])
def test_codes_estimate_inner_products(width: int) -> None:
    rows = gradients(200, width).astype(np.float32)
    whitening = Whitening.of_moment(moment_of(rows))
    codes = encode([rows[:70], rows[70:70], rows[70:]], 200, whitening, KEY, threads=2)
    query = gradients(1, width, 2).astype(np.float32)
    coded = code_queries(query, whitening, KEY)
    words = np.concatenate([codes.head, codes.tail], axis=1)
    planes = np.concatenate([coded.head, coded.tail], axis=2)[0]
    weights = np.array([1, 2, 4, -8])
    values = weights @ np.array([naive.bits_of(plane) for plane in planes])
    assert values.sum() == coded.centres[0]
    assert values[:1024].sum() == coded.head_centres[0]
    assert np.abs(values).max() <= 7
    estimates = [
        naive.estimate(word, factor, values, coded.steps[0], 0)
        for word, factor in zip(words, codes.factors[1], strict=True)
    ]
    sizes = np.linalg.norm(whitening.rows(rows), axis=1) * np.linalg.norm(whitening.queries(query))
    errors = (np.array(estimates) - rows @ query[0]) / sizes
    # One bit a coordinate: √(π/2 − 1) / √size for a random direction, and the query's rounding.
    assert np.sqrt(np.mean(errors**2)) <= 0.85 / np.sqrt(64 * words.shape[1])


def test_a_query_of_zeros_is_coded() -> None:
    coded = code_queries(np.zeros((1, 5), np.float32), Whitening.of_moment(np.eye(5)), KEY)
    assert not coded.head.any()
    assert coded.steps.tolist() == [0]


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("order", ORDERS)
def test_the_search_finds_what_the_scan_finds(tmp_path: Path, dtype: str, order: str) -> None:
    parts = shards(gradients(20_000, 96), dtype, tmp_path, (1, 7000))
    rows = decoded(parts)
    moment = moment_of(rows)
    damped = moment + 0.01 * np.linalg.eigvalsh(moment)[-1] * np.eye(96)
    queries = np.linalg.solve(damped, gradients(10, 96, 5).T).T
    question = ask(queries / np.abs(queries).max(), 96, 20, order, np.linspace(-0.1, 0.1, 10))
    index = SearchIndex.of_rows(iter([rows]), len(rows), moment)
    found, exact = index.search(parts, question, threads=2), scan(parts, question)
    shared = [np.isin(a, b).sum() for a, b in zip(exact.rows, found.rows, strict=True)]
    assert np.mean(shared) >= 0.95 * 20
    for q in range(10):
        there, said = np.isin(exact.rows[q], found.rows[q]), np.isin(found.rows[q], exact.rows[q])
        assert_array_equal(exact.rows[q][there], found.rows[q][said])
        assert_array_equal(exact.scores[q][there], found.scores[q][said])
    one = index.search(parts, question, threads=1)
    assert_array_equal(one.rows, found.rows)


def test_all_rows_as_candidates_give_the_exact_answer(tmp_path: Path) -> None:
    parts = shards(gradients(300, 1030), "float16", tmp_path, (100,))
    rows = decoded(parts)
    question = ask(gradients(3, 1030, 5), 1030, 25)
    index = SearchIndex.of_rows(iter([rows]), 300, moment_of(rows))
    found = index.search(parts, question, candidates=300)
    assert_array_equal(found.rows, scan(parts, question).rows)
    assert index.search(parts, ask(np.ones(1030), 1030, 400)).rows.shape == (1, 300)


def test_codes_are_asked_where_they_spare_rows() -> None:
    assert pays(1_000_000, 20)
    assert not pays(10_000, 20)
    assert not pays(1_000_000, 10_000)


def test_a_candidate_that_was_damaged_since_the_index_was_made_is_named(tmp_path: Path) -> None:
    parts = shards(gradients(300, 60), "float32", tmp_path, (100,))
    rows = decoded(parts)
    index = SearchIndex.of_rows(iter([rows]), 300, moment_of(rows))
    with open(parts[1].path, "r+b") as file:
        file.seek(parts[1].offset + 7 * 60 * 4)
        file.write(np.float32(np.nan).tobytes())
    with pytest.raises(StoreError, match=r"sample 107 \(row 7 of .*float32-1.bin\) is NaN"):
        index.search(parts, ask(np.ones(60), 60, 5), candidates=300)
