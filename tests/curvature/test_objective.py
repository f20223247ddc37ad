from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.curvature.problems import KINDS, data, linear
from tests.naive import curvature as naive
from traceprop.curvature import output_terms
from traceprop.curvature.bounds import distance_bound
from traceprop.curvature.heads import linear_head
from traceprop.curvature.losses import LossSpec, margins
from traceprop.curvature.newton import newton
from traceprop.curvature.objective import HeadObjective, data_scale
from traceprop.errors import DataError

CASES = [
    (kind, reduction, bias)
    for kind in KINDS
    for reduction in ("mean", "sum")
    for bias in (True, False)
]


def _setup(kind, reduction, bias, penalty=0.3, scale=0.25):
    model = linear(kind, bias)
    x, y = data(kind)
    head = linear_head(model)
    spec = LossSpec(kind, reduction)
    ours = HeadObjective(head.features(x), y.numpy(), head.n_outputs, spec, penalty, scale)
    theirs = naive.objective(model, x, y, kind, reduction, penalty, scale)
    return model, head, ours, theirs


def _reorder(head):
    """Positions in torch's flat vector (W then b) of each number of the head's θ."""
    w = np.arange(head.n_outputs * head.n_features).reshape(head.n_outputs, -1)
    if head.bias is None:
        return w.ravel()
    b = w.size + np.arange(head.n_outputs)
    return np.concatenate([w, b[:, None]], axis=1).ravel()


@pytest.mark.parametrize(("kind", "reduction", "bias"), CASES)
def test_value_gradient_and_hessian_equal_autograd_through_torchs_criterion(kind, reduction, bias):
    model, head, ours, theirs = _setup(kind, reduction, bias)
    theta = head.pack(model.state_dict())
    flat, order = naive.flat(model), _reorder(head)
    # Two orders of the same float64 sums: a few units in the last place.
    np.testing.assert_allclose(ours.value(theta), theirs(flat).item(), rtol=1e-13)
    np.testing.assert_allclose(
        ours.gradient(theta), naive.gradient(theirs, flat).numpy()[order], rtol=1e-12, atol=1e-14
    )
    hessian = naive.hessian(theirs, flat).numpy()[np.ix_(order, order)]
    np.testing.assert_allclose(ours.hessian(theta), hessian, rtol=1e-12, atol=1e-14)
    vectors = np.random.default_rng(0).standard_normal((3, theta.size))
    np.testing.assert_allclose(ours.hessian_product(theta, vectors), vectors @ hessian, rtol=1e-11)


@pytest.mark.parametrize(("kind", "reduction", "bias"), CASES)
def test_margin_gradients_equal_autograd(kind, reduction, bias):
    outputs = torch.randn(6, {"bce_with_logits": 1}.get(kind, 3), dtype=torch.float64)
    classes = torch.tensor([0, 1, 0, 1, 0, 0])
    leaf = outputs.clone().requires_grad_()
    spec = LossSpec(kind, reduction)
    (want,) = torch.autograd.grad(margins(spec, leaf, classes).sum(), leaf)
    got = output_terms.margin_gradients(spec, outputs.numpy(), classes.numpy())
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_newton_reaches_the_minimum_and_the_bound_holds_on_the_way(kind):
    model, head, ours, _ = _setup(kind, "mean", True)
    start = head.pack(model.state_dict()) * 20
    result = newton(ours, start, gradient_tolerance=1e-13)
    assert result.converged
    assert np.linalg.norm(ours.gradient(result.theta)) <= 1e-13
    for share in (1.0, 0.1, 1e-3, 1e-9, 0.0):
        theta = result.theta + share * (start - result.theta)
        distance = np.linalg.norm(theta - result.theta)
        assert distance <= distance_bound(ours, theta) + 1e-13 / ours.penalty


@pytest.mark.parametrize("kind", KINDS)
def test_the_rounding_bound_covers_the_error_of_the_float64_gradient(kind):
    """Against the same gradient in 80-bit arithmetic."""
    model, head, ours, _ = _setup(kind, "sum", True)
    theta = head.pack(model.state_dict()) * 3
    wide = np.longdouble
    x, y = ours.features.astype(wide), ours.targets
    z = x @ theta.astype(wide).reshape(head.n_outputs, -1).T
    if kind == "cross_entropy":
        r = np.exp(z - z.max(1, keepdims=True))
        r /= r.sum(1, keepdims=True)
        r[np.arange(len(y)), y] -= 1
    elif kind == "mse":
        r = 2 * (z - y)
    else:
        r = 1 / (1 + np.exp(-z)) - y.reshape(z.shape)
    exact = wide(ours.scale) * (r.T @ x).ravel() + wide(ours.penalty) * theta
    gradient, bound = ours.gradient_with_error(theta)
    np.testing.assert_array_equal(gradient, ours.gradient(theta))
    assert np.linalg.norm((exact - gradient).astype(float)) <= bound < 1e-11


def test_newton_reports_what_it_could_not_reach():
    _, head, ours, _ = _setup("cross_entropy", "mean", True)
    start = np.zeros(head.n_outputs * head.n_columns)
    assert not newton(ours, start, gradient_tolerance=0.0).converged
    assert newton(ours, start, gradient_tolerance=1e-9, max_steps=1).steps == 1


def test_without_a_penalty_a_bound_needs_data_that_determine_the_weights():
    *_, ours, _ = _setup("mse", "mean", True, penalty=0.0)
    start = np.zeros(ours.size)
    best = newton(ours, start, gradient_tolerance=1e-12).theta
    assert np.linalg.norm(best) <= distance_bound(ours, start)
    *_, softmax, _ = _setup("cross_entropy", "mean", True, penalty=0.0)
    assert distance_bound(softmax, np.zeros(softmax.size)) is None


def test_wide_heads_are_solved_by_products_alone(monkeypatch):
    model, head, ours, _ = _setup("cross_entropy", "mean", True)
    theta = head.pack(model.state_dict())
    dense = ours.solve(theta, theta)
    monkeypatch.setattr("traceprop.curvature.objective.MAX_DENSE", 1)
    np.testing.assert_allclose(ours.solve(theta, theta), dense, rtol=1e-6)


def test_the_scale_of_a_summed_loss_is_the_batch_share():
    assert data_scale(LossSpec("mse", "mean"), 10, None) == 0.1
    assert data_scale(LossSpec("mse", "sum"), 10, 4) == 0.4
    assert data_scale(LossSpec("mse", "sum"), 10, 64) == 1.0
    with pytest.raises(DataError, match="unknown size"):
        data_scale(LossSpec("mse", "sum"), 10, None)


class _Subclass(nn.Linear):
    def forward(self, x):
        return super().forward(x) ** 2


def test_only_linear_models_have_a_head():
    assert linear_head(nn.Linear(3, 1)).bias == "bias"
    assert linear_head(nn.Sequential(nn.Identity(), nn.Linear(3, 1, bias=False))).bias is None
    assert linear_head(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))) is None
    assert linear_head(nn.Sequential(nn.Linear(3, 3), nn.ReLU())) is None
    assert linear_head(_Subclass(3, 1)) is None
    assert linear_head(nn.Flatten()) is None


@pytest.mark.parametrize("bias", [True, False])
def test_a_heads_parameters_survive_packing(bias):
    model = linear("cross_entropy", bias)
    head = linear_head(model)
    again = head.unpack(head.pack(model.state_dict()))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(again[name], value.numpy())
    x, _ = data("cross_entropy")
    outputs = head.features(x) @ head.pack(model.state_dict()).reshape(3, -1).T
    np.testing.assert_allclose(outputs, model(x).detach().numpy(), rtol=1e-13)


def test_half_precision_models_are_read_exactly():
    model = nn.Linear(3, 2).to(torch.bfloat16)
    head = linear_head(model)
    theta = head.pack(model.state_dict()).reshape(2, 4)
    assert np.array_equal(theta[:, :3], model.weight.detach().float().numpy())
