"""What projections promise: linear, unbiased, little distorted, the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from traceprop.attribution.capture.gradients import flat_gradients
from traceprop.attribution.capture.recorder import blocks_of
from traceprop.attribution.projection import Block, Projector
from traceprop.curvature.losses import LossSpec
from traceprop.errors import AttributionError

# A weight that is tensor-sketched at k = 32, one that isn't, a bias.
BLOCKS = (Block("a", (20, 15), linear=True), Block("b", (4, 6), linear=True), Block("c", (70,)))
D = 300 + 24 + 70
K = 32


def vectors(n: int, d: int = D) -> np.ndarray:
    return np.random.default_rng(d).standard_normal((n, d)).astype(np.float32)


def test_identity_where_the_gradient_fits() -> None:
    projector = Projector(BLOCKS, k=D)
    x = vectors(3)
    assert (projector.kind, projector.width, projector.d) == ("identity", D, D)
    assert_array_equal(projector.project(x), x)


@pytest.mark.parametrize("repetitions", [1, 4])
def test_it_is_linear(repetitions: int) -> None:
    projector = Projector(BLOCKS, K, seed=3, repetitions=repetitions)
    assert (projector.kind, projector.width) == ("sjlt", K)
    x, y = vectors(2)
    combined, first, second = projector.project(np.stack([3 * x - 2 * y, x, y]))
    assert_allclose(combined, 3 * first - 2 * second, rtol=0, atol=1e-4)


@pytest.mark.parametrize("repetitions", [1, 4])
def test_inner_products_are_unbiased_with_the_variance_of_a_sparse_projection(
    repetitions: int,
) -> None:
    """Over seeds: mean <x, y>, variance (‖x‖²‖y‖² + <x, y>² − 2 Σ xᵢ²yᵢ²)/k for line-SJLT."""
    x, y = vectors(2, 500)
    y += x / 2
    n_seeds = 1500
    products = []
    for seed in range(n_seeds):
        projector = Projector((Block("v", (500,)),), K, seed, repetitions)
        first, second = projector.project(np.stack([x, y]))
        products.append(float(first @ second))
    exact = float(x @ y)
    variance = (x @ x * (y @ y) + exact**2 - 2 * (x**2 @ y**2)) / K
    # Four standard errors of the mean; the sample variance's relative error is about √(2/n).
    assert abs(np.mean(products) - exact) < 4 * np.sqrt(variance / n_seeds)
    assert np.var(products) == pytest.approx(variance, rel=0.2)


def test_tensor_sketch_is_unbiased() -> None:
    x, y = vectors(2, 300)
    y += x / 2
    products = []
    for seed in range(1500):
        projector = Projector((Block("a", (20, 15), linear=True),), K, seed)
        first, second = projector.project(np.stack([x, y]))
        products.append(float(first @ second))
    assert abs(np.mean(products) - float(x @ y)) < 4 * np.std(products) / np.sqrt(1500)


@pytest.fixture(scope="module")
def real_gradients() -> tuple[tuple[Block, ...], np.ndarray]:
    """Gradients of 120 digits in a network that was trained a little."""
    torch.manual_seed(0)
    images, digits = load_digits(return_X_y=True)
    inputs = torch.tensor((images - images.mean(0)) / (images.std(0) + 1e-3)).float()
    targets = torch.tensor(digits)
    model = nn.Sequential(
        nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 80), nn.ReLU(), nn.Linear(80, 10)
    )
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for start in range(0, 1600, 64):
        optimizer.zero_grad()
        part = slice(start, start + 64)
        functional.cross_entropy(model(inputs[part]), targets[part]).backward()
        optimizer.step()
    spec = LossSpec("cross_entropy", "mean")
    return blocks_of(model), flat_gradients(model, inputs[:120], targets[:120], spec)


@pytest.mark.parametrize("repetitions", [1, 4])
def test_real_gradients_are_little_distorted(
    real_gradients: tuple[tuple[Block, ...], np.ndarray], repetitions: int
) -> None:
    """RMS error of <x, y>/(‖x‖‖y‖) over different samples: at most 1.2/√k, over ten seeds."""
    blocks, gradients = real_gradients
    k = 1024
    norms = np.linalg.norm(gradients, axis=1)
    exact = gradients @ gradients.T / np.outer(norms, norms)
    different = ~np.eye(len(norms), dtype=bool)
    squares = []
    for seed in range(10):
        rows = Projector(blocks, k, seed, repetitions).project(gradients)
        errors = rows @ rows.T / np.outer(norms, norms) - exact
        squares.append(np.mean(errors[different] ** 2))
    assert np.sqrt(np.mean(squares)) <= 1.2 / np.sqrt(k)


@pytest.mark.parametrize("n_terms", [1, 2, 60])
def test_factors_are_projected_like_the_matrix_that_they_make(n_terms: int) -> None:
    n, (p, q) = 9, BLOCKS[0].shape
    left, right = vectors(n, n_terms * p), vectors(n, n_terms * q)
    left, right = left.reshape(n, n_terms, p), right.reshape(n, n_terms, q)
    projector = Projector(BLOCKS, K, seed=1, repetitions=2)
    factored, formed = projector.sketch(n), projector.sketch(n)
    factored.add_factors(0, left, right)
    formed.add(0, np.einsum("ntp,ntq->npq", left, right))
    scale = np.sqrt(n_terms * p * q)
    assert_allclose(factored.rows(), formed.rows(), rtol=0, atol=1e-5 * scale)


def test_factors_are_taken_where_that_is_cheaper() -> None:
    blocks = (Block("wide", (130, 150), linear=True), Block("small", (4, 6), linear=True))
    sketch = Projector(blocks, 4096).sketch(1)
    assert sketch.takes_factors(0, 1)
    assert not sketch.takes_factors(0, 1000)
    assert not sketch.takes_factors(1, 1)
    assert not Projector(BLOCKS, D).sketch(1).takes_factors(0, 1)


def test_segments_are_projected_like_rows_of_a_matrix() -> None:
    index = np.array([[0, 3, 3], [2, 2, 2]])
    values = vectors(2, 18).reshape(2, 3, 6)
    dense = np.zeros((2, 4, 6), np.float32)
    np.add.at(dense, (np.arange(2)[:, None], index), values)
    for k in (K, D):
        sparse, formed = (Projector(BLOCKS, k, 1, 2).sketch(2) for _ in range(2))
        sparse.add_segments(1, index, values)
        formed.add(1, dense)
        assert_allclose(sparse.rows(), formed.rows(), rtol=0, atol=1e-5)


def test_a_projector_comes_back_from_json() -> None:
    projector = Projector(BLOCKS, K, seed=2**40, repetitions=3)
    twin = Projector.from_json(projector.to_json())
    assert twin == projector


def test_different_seeds_and_parameters_have_different_maps() -> None:
    x = vectors(1)
    blocks = (Block("a", (100,)), Block("b", (100,)))
    same = np.tile(vectors(1, 100), 2)
    first, second = (Projector(BLOCKS, K, seed).project(x) for seed in (0, 1))
    assert not np.allclose(first, second)
    rows = Projector(blocks, K).project(np.concatenate([same * ([1] * 100 + [0] * 100)]))
    others = Projector(blocks, K).project(np.concatenate([same * ([0] * 100 + [1] * 100)]))
    assert not np.allclose(rows, others)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k=0"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 1 << 63}, "out of range"),
        ({"repetitions": 65}, "repetitions is 65"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(AttributionError, match=message):
        Projector(BLOCKS, **({"k": K} | arguments))


def test_gradients_of_another_model_are_refused() -> None:
    with pytest.raises(AttributionError, match=r"\(2, 5\) don't fit a projection of 394 numbers"):
        Projector(BLOCKS, K).project(np.zeros((2, 5)))


def test_the_stored_vector() -> None:
    """The same numbers on every machine: a store that was moved must project queries alike."""
    x = (np.arange(D) % 7 - 3).astype(np.float32)
    row = Projector(BLOCKS, 8, seed=12345, repetitions=2).project(x[None])[0]
    assert_allclose(row, STORED, rtol=1e-5, atol=1e-4)


STORED = [6.778175, -9.464467, 12.798989, 3.8786795, 23.36396, 12.535534, -0.29289275, 6.514718]
