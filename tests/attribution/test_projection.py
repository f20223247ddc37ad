"""What projections promise: linear, unbiased, little distorted, the same everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from tests.naive import projection as naive
from traceprop.attribution.capture.gradients import flat_gradients
from traceprop.attribution.capture.recorder import blocks_of
from traceprop.attribution.projection import KINDS, Block, Projector
from traceprop.curvature.losses import LossSpec
from traceprop.errors import AttributionError, CaptureError, StoreError

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


RANDOM: dict[str, dict[str, Any]] = {
    "sjlt s=1": {"kind": "sjlt"},
    "sjlt s=4": {"kind": "sjlt", "repetitions": 4},
    "achlioptas": {"kind": "achlioptas"},
}


@pytest.mark.parametrize("name", RANDOM)
def test_it_is_linear(name: str) -> None:
    projector = Projector(BLOCKS, K, seed=3, **RANDOM[name])
    assert (projector.kind, projector.width) == (RANDOM[name]["kind"], K)
    x, y = vectors(2)
    combined, first, second = projector.project(np.stack([3 * x - 2 * y, x, y]))
    assert_allclose(combined, 3 * first - 2 * second, rtol=0, atol=1e-4)


def pair(kind: str, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Two vectors of d numbers: all of them there, or twelve of each; or twice the same."""
    x, y = vectors(2, d).astype(np.float64)
    y += x / 2
    if "sparse" in kind:
        kept = np.zeros(d, bool)
        kept[np.random.default_rng(1).choice(d, 12, replace=False)] = True
        x[~kept] = 0
        y[~np.roll(kept, d // 2) & ~(kept & (np.arange(d) % 2 == 0))] = 0
    return (x, x) if "self" in kind else (x, y)


VARIANTS: dict[str, tuple[Block, int, dict[str, Any], Callable[..., float]]] = {
    "line-SJLT s=1": (Block("v", (500,)), K, RANDOM["sjlt s=1"], naive.sjlt_variance),
    "line-SJLT s=4": (Block("v", (500,)), K, RANDOM["sjlt s=4"], naive.sjlt_variance),
    "TensorSketch": (
        Block("w", (25, 20), linear=True),
        64,
        RANDOM["sjlt s=1"],
        lambda x, y, k: naive.tensor_sketch_variance(x.reshape(25, 20), y.reshape(25, 20), k),
    ),
    "Achlioptas": (
        Block("v", (500,)),
        K,
        RANDOM["achlioptas"],
        lambda x, y, k: naive.sparse_variance(x, y, k, 3),
    ),
}


@pytest.mark.parametrize("kind", ["dense", "sparse", "dense self", "sparse self"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_inner_products_are_unbiased_with_the_published_variance(variant: str, kind: str) -> None:
    block, k, options, published = VARIANTS[variant]
    x, y = pair(kind, 500)
    both = np.stack([x, y]).astype(np.float32)
    n_seeds = 2500
    products = np.empty(n_seeds)
    for seed in range(n_seeds):
        first, second = Projector((block,), k, seed, **options).project(both)
        products[seed] = first.astype(np.float64) @ second
    exact, variance = float(x @ y), published(x, y, k)
    # Four standard errors of the mean; the sample variance's relative error is 3 to 5 %.
    assert abs(products.mean() - exact) < 4 * np.sqrt(variance / n_seeds)
    assert np.var(products) == pytest.approx(variance, rel=0.2)


def test_tensor_sketchs_variance_is_below_the_published_bound() -> None:
    """Avron, Nguyen and Woodruff 2014, lemma 2: (2 + 3²) ‖x‖² ‖y‖² / k for products of two."""
    for kind in ("dense", "sparse", "dense self", "sparse self"):
        x, y = pair(kind, 500)
        variance = naive.tensor_sketch_variance(x.reshape(25, 20), y.reshape(25, 20), 1)
        assert variance <= 11 * (x @ x) * (y @ y)


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


@pytest.mark.parametrize("name", RANDOM)
def test_real_gradients_are_little_distorted(
    real_gradients: tuple[tuple[Block, ...], np.ndarray], name: str
) -> None:
    """RMS error of <x, y>/(‖x‖‖y‖) over different samples: at most 1.2/√k, over ten seeds."""
    blocks, gradients = real_gradients
    k = 1024
    norms = np.linalg.norm(gradients, axis=1)
    exact = gradients @ gradients.T / np.outer(norms, norms)
    different = ~np.eye(len(norms), dtype=bool)
    squares = []
    for seed in range(10):
        rows = Projector(blocks, k, seed, **RANDOM[name]).project(gradients)
        errors = rows @ rows.T / np.outer(norms, norms) - exact
        squares.append(np.mean(errors[different] ** 2))
    assert np.sqrt(np.mean(squares)) <= 1.2 / np.sqrt(k)


@pytest.mark.parametrize("name", RANDOM)
def test_distances_are_kept_to_the_bound_at_the_default_k(
    real_gradients: tuple[tuple[Block, ...], np.ndarray], name: str
) -> None:
    """Johnson and Lindenstrauss at k = 4096 and a million samples: ε = 0.18 for squared distances.

    4 ln n / (ε²/2 − ε³/3) numbers are enough for n points (Dasgupta and Gupta 2003).
    """
    epsilon, n_points = 0.18, 1_000_000
    assert 4 * np.log(n_points) / (epsilon**2 / 2 - epsilon**3 / 3) <= 4096
    blocks, gradients = real_gradients
    rows = Projector(blocks, 4096, **RANDOM[name]).project(gradients)
    pairs = np.triu_indices(len(rows), 1)

    def squared_distances(x: np.ndarray) -> np.ndarray:
        x = x.astype(np.float64)
        squares = (x**2).sum(1)
        return (squares[:, None] + squares - 2 * x @ x.T)[pairs]

    ratio = squared_distances(rows) / squared_distances(gradients)
    assert abs(ratio - 1).max() <= epsilon


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("n_terms", [1, 2, 60])
def test_factors_are_projected_like_the_matrix_that_they_make(
    n_terms: int, block: int, name: str
) -> None:
    n, (p, q) = 9, BLOCKS[block].shape
    left, right = vectors(n, n_terms * p), vectors(n, n_terms * q)
    left, right = left.reshape(n, n_terms, p), right.reshape(n, n_terms, q)
    projector = Projector(BLOCKS, K, seed=1, **RANDOM[name])
    factored, formed = projector.sketch(n), projector.sketch(n)
    factored.add_factors(block, left, right)
    formed.add(block, np.einsum("ntp,ntq->npq", left, right))
    scale = np.sqrt(n_terms * p * q)
    assert_allclose(factored.rows(2.0), 2 * formed.rows(), rtol=0, atol=2e-5 * scale)


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
    exact = {"identity": {"kind": "identity"}}
    for options in (RANDOM | exact).values():
        projector = Projector(BLOCKS, K, 1, **options)
        sparse, formed = projector.sketch(2), projector.sketch(2)
        sparse.add_segments(1, index, values)
        formed.add(1, dense)
        assert_allclose(sparse.rows(), formed.rows(), rtol=0, atol=1e-5)


LAYERS = (
    Block("0.weight", (20, 15), linear=True),
    Block("0.bias", (20,)),
    Block("1.weight", (2, 2), linear=True),
    Block("1.bias", (2,)),
    Block("norm.weight", (5,)),
    Block("bias", (7,)),
)


def factored(n: int, projector: Projector) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch's rows by a map, and its gradients."""
    sketch, exact = projector.sketch(n), Projector(LAYERS, 1, kind="identity").sketch(n)
    for i, block in enumerate(LAYERS):
        if block.linear:
            left, right = (vectors(n, size)[:, None] for size in block.shape)
            (sketch.add_factors if sketch.takes_factors(i, 1) else formed_in(sketch))(
                i, left, right
            )
            exact.add_factors(i, left, right)
        else:
            # As in a linear layer, the bias's gradient is the output's.
            values = vectors(n, block.size)
            sketch.add(i, values)
            exact.add(i, values)
    return sketch.rows(3.0), exact.rows(3.0)


def formed_in(sketch: Any) -> Callable[..., None]:
    return lambda i, left, right: sketch.add(i, np.einsum("ntp,ntq->npq", left, right))


def test_factors_are_the_gradient_and_are_projected_like_it() -> None:
    projector = Projector(LAYERS, K, kind="factors")
    # 20 + 15 of the first layer with its bias; the second's four numbers are no more than factors.
    assert (projector.width, projector.is_linear) == (35 + 4 + 2 + 5 + 7, False)
    rows, gradients = factored(6, projector)
    assert rows.shape == (6, projector.width)
    assert_allclose(projector.gradients(rows), gradients, rtol=1e-6)
    assert projector.linear() == Projector(LAYERS, K)
    expected = projector.linear().project(gradients)
    assert_allclose(projector.linear_rows(rows), expected, rtol=0, atol=1e-3)
    small = Projector(LAYERS, 400, kind="factors")
    assert small.linear().kind == "identity"
    assert_allclose(small.linear_rows(rows), gradients, rtol=1e-6)
    for name in ("sjlt", "achlioptas"):
        by_factors = factored(6, Projector(LAYERS, K, kind=name))[0]  # type: ignore[arg-type]
        assert_allclose(
            by_factors,
            Projector(LAYERS, K, kind=name).project(gradients),  # type: ignore[arg-type]
            rtol=0,
            atol=1e-3,
        )


def test_factors_that_are_more_than_one_product_are_refused() -> None:
    projector = Projector(LAYERS, K, kind="factors")
    left, right = (vectors(2, 2 * size).reshape(2, 2, size) for size in (20, 15))
    with pytest.raises(CaptureError, match=r"0\.weight has more: its layer ran on a sequence"):
        projector.sketch(2).add_factors(0, left, right)
    twice = projector.sketch(2)
    twice.add_factors(0, left[:, :1], right[:, :1])
    with pytest.raises(CaptureError, match="more than once"):
        twice.add_factors(0, left[:, :1], right[:, :1])
    with pytest.raises(CaptureError, match=r"0\.weight"):
        projector.sketch(2).add(0, np.zeros((2, 20, 15), np.float32))
    with pytest.raises(AttributionError, match=r"linear\(\)"):
        projector.project(np.zeros((1, projector.d)))
    with pytest.raises(AttributionError, match=r"no fewer than the 6 .*'identity'"):
        Projector((Block("a", (2, 2), linear=True), Block("b", (2,))), K, kind="factors")
    with pytest.raises(AttributionError, match="doesn't give gradients back"):
        Projector(LAYERS, K).gradients(np.zeros((1, K)))


def test_a_projector_comes_back_from_json() -> None:
    for kind in KINDS:
        projector = Projector(LAYERS, K, seed=2**40, repetitions=3, kind=kind)
        assert Projector.from_json(json.loads(json.dumps(projector.to_json()))) == projector


def test_stores_of_before_the_kinds_are_read() -> None:
    """The JSON that a store of the first schema holds."""
    blocks = [{"name": "weight", "shape": [2, 3], "linear": True}]
    for k, kind in ((4096, "identity"), (4, "sjlt")):
        value = {"kind": kind, "k": k, "seed": 0, "repetitions": 1, "blocks": blocks}
        assert Projector.from_json(value) == Projector((Block("weight", (2, 3), True),), k)


GOOD = Projector(LAYERS, K).to_json()


@pytest.mark.parametrize(
    "value",
    [
        GOOD | {"kind": "gaussian"},
        GOOD | {"kind": None},
        GOOD | {"k": "8"},
        GOOD | {"k": True},
        GOOD | {"k": 0},
        GOOD | {"k": 1 << 31},
        GOOD | {"seed": -1},
        GOOD | {"repetitions": 1e9},
        GOOD | {"repetitions": 65},
        GOOD | {"blocks": []},
        GOOD | {"blocks": {"name": "a"}},
        GOOD | {"blocks": ["a"]},
        GOOD | {"blocks": [{"name": "a", "shape": [2, -1], "linear": False}]},
        GOOD | {"blocks": [{"name": "a", "shape": [2, 1.5], "linear": False}]},
        GOOD | {"blocks": [{"name": "a", "shape": [True], "linear": False}]},
        GOOD | {"blocks": [{"name": "a", "shape": [1 << 60], "linear": False}]},
        GOOD | {"blocks": [{"name": "a", "shape": [1 << 30, 1 << 30], "linear": False}]},
        GOOD | {"blocks": [{"name": "a", "shape": [3], "linear": True}]},
        GOOD | {"blocks": [{"name": 3, "shape": [3], "linear": False}]},
        GOOD | {"blocks": [{"name": "a", "shape": [3]}]},
        GOOD | {"kind": "factors", "blocks": [{"name": "a", "shape": [3], "linear": False}]},
        {},
    ],
)
def test_a_damaged_projector_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(StoreError):
        Projector.from_json(value)


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
        ({"kind": "gauss"}, "'gauss'; use one of identity, factors, sjlt, achlioptas"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(AttributionError, match=message):
        Projector(BLOCKS, **({"k": K} | arguments))


def test_gradients_of_another_model_are_refused() -> None:
    with pytest.raises(AttributionError, match=r"\(2, 5\) don't fit a projection of 394 numbers"):
        Projector(BLOCKS, K).project(np.zeros((2, 5)))


@pytest.mark.parametrize("kind", ["identity", "sjlt", "achlioptas"])
def test_the_stored_vectors(kind: Any) -> None:
    """The same numbers on every machine: a store that was moved must project queries alike."""
    x = (np.arange(D) % 7 - 3).astype(np.float32)
    row = Projector(BLOCKS, 8, seed=12345, repetitions=2, kind=kind).project(x[None])[0]
    assert_allclose(row[:8], STORED[kind], rtol=1e-5, atol=1e-4)


def test_the_stored_factors() -> None:
    sketch = Projector(BLOCKS[:1], 8, kind="factors").sketch(1)
    sketch.add_factors(0, np.arange(20.0).reshape(1, 1, 20), np.arange(15.0).reshape(1, 1, 15))
    assert_array_equal(sketch.rows(2.0)[0], [*range(0, 40, 2), *range(15)])


STORED = {
    "identity": [-3, -2, -1, 0, 1, 2, 3, -3],
    "sjlt": [
        6.778175, -9.464467, 12.798989, 3.8786795, 23.36396, 12.535534, -0.29289275, 6.514718,
    ],
    "achlioptas": [9.79781, -6.12363, 3.67418, -0.61236, 3.06182, -15.30908, -0.61236, 10.41017],
}  # fmt: skip
