from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.curvature.problems import KINDS, data, linear, mlp
from tests.naive import curvature as naive
from traceprop.curvature import ggn
from traceprop.curvature.cg import conjugate_gradient
from traceprop.curvature.digest import model_digest
from traceprop.curvature.losses import LossSpec, margins

CASES = [(kind, reduction) for kind in KINDS for reduction in ("mean", "sum")]
PENALTY, SCALE = 0.3, 0.25


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(ggn, "CHUNK", 4)  # nine samples: three passes, one of them short


def _setup(kind, reduction, make=mlp):
    model = make(kind)
    x, y = data(kind)
    spec = LossSpec(kind, reduction)
    network = ggn.Network(model)
    targets = ggn.targets_tensor(spec, y)
    ours = ggn.NetworkObjective(network, ggn.float64(x), targets, spec, PENALTY, SCALE)
    return model, x, y, ours


@pytest.mark.parametrize(("kind", "reduction"), CASES)
def test_value_gradient_and_hessian_products_equal_whole_derivatives(kind, reduction):
    model, x, y, ours = _setup(kind, reduction)
    theirs = naive.objective(model, x, y, kind, reduction, PENALTY, SCALE)
    theta = ours.network.theta
    flat = naive.flat(model)
    np.testing.assert_allclose(theta, flat.numpy(), rtol=0)
    np.testing.assert_allclose(ours.value(theta), theirs(flat).item(), rtol=1e-13)
    np.testing.assert_allclose(
        ours.gradient(theta), naive.gradient(theirs, flat).numpy(), rtol=1e-11, atol=1e-14
    )
    vectors = np.random.default_rng(0).standard_normal((2, theta.size))
    hessian = naive.hessian(theirs, flat).numpy()
    np.testing.assert_allclose(
        ours.hessian_product(theta, vectors), vectors @ hessian, rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize(("kind", "reduction"), CASES)
def test_gauss_newton_products_equal_the_whole_matrix(kind, reduction):
    model, x, y, ours = _setup(kind, reduction)
    theta = ours.network.theta
    whole = naive.ggn(model, naive.flat(model), x, y, kind, reduction, PENALTY, SCALE).numpy()
    vectors = np.random.default_rng(0).standard_normal((2, theta.size))
    np.testing.assert_allclose(
        ours.ggn_product(theta, vectors), vectors @ whole, rtol=1e-10, atol=1e-12
    )
    top = ggn.largest_eigenvalue(lambda rows: ours.ggn_product(theta, rows), theta.size)
    np.testing.assert_allclose(top, np.linalg.eigvalsh(whole)[-1], rtol=1e-8)
    solved = conjugate_gradient(lambda rows: ours.ggn_product(theta, rows), vectors)
    assert solved.converged
    np.testing.assert_allclose(solved.solution @ whole, vectors, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_linear_model_gauss_newton_is_the_hessian(kind):
    _, _, _, ours = _setup(kind, "mean", linear)
    theta = ours.network.theta
    vectors = np.random.default_rng(1).standard_normal((2, theta.size))
    np.testing.assert_allclose(
        ours.ggn_product(theta, vectors), ours.hessian_product(theta, vectors), rtol=1e-11
    )


@pytest.mark.parametrize(("kind", "reduction"), CASES)
def test_margin_gradients_equal_one_backward_per_sample(kind, reduction):
    model, x, _, ours = _setup(kind, reduction)
    classes = torch.tensor([0, 1] * 4 + [0])
    slopes = []
    for i in range(len(x)):
        margin = margins(ours.spec, model(x[i : i + 1]), classes[i : i + 1]).sum()
        grads = torch.autograd.grad(margin, list(model.parameters()))
        slopes.append(torch.cat([g.reshape(-1) for g in grads]).numpy())
    got = ours.network.margin_gradients(x, ours.spec, classes)
    np.testing.assert_allclose(got, np.array(slopes), rtol=1e-11, atol=1e-14)


def test_a_float32_model_in_training_mode_is_not_touched():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 3))
    model.train()
    before = model_digest(model)
    x, y = data("cross_entropy")
    spec = LossSpec("cross_entropy", "mean")
    ours = ggn.NetworkObjective(ggn.Network(model), x, y, spec, 0.0, 1.0)
    theta = ours.network.theta
    assert ours.value(theta) == ours.value(theta)  # no dropout
    ours.ggn_product(theta, ours.gradient(theta)[None])
    assert model_digest(model) == before
    assert model.training


def test_cg_stops_each_row_by_itself():
    matrix = np.diag([1.0, 10.0, 100.0])
    rhs = np.array([[1.0, 0.0, 0.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    result = conjugate_gradient(lambda rows: rows @ matrix, rhs, tolerance=1e-12)
    assert result.converged
    assert result.iterations == 3
    np.testing.assert_allclose(result.solution @ matrix, rhs, atol=1e-10)
    short = conjugate_gradient(lambda rows: rows @ matrix, rhs, max_iterations=1)
    assert not short.converged
    assert short.residuals[0] == 0


def test_cg_says_so_where_the_matrix_is_not_positive():
    result = conjugate_gradient(lambda rows: rows @ np.diag([1.0, -1.0]), np.array([[0.0, 1.0]]))
    assert not result.converged


def test_writing_weights_back_copies_the_model_and_drops_old_gradients():
    model = nn.Linear(2, 1)
    model(torch.ones(1, 2)).sum().backward()
    new = ggn.write_back(model, {"weight": np.array([[1.0, 0.1]])})
    assert new.weight.tolist() == [[1.0, np.float32(0.1)]]
    assert new.weight.grad is None
    assert torch.equal(new.bias, model.bias)
    assert model.weight.grad is not None
