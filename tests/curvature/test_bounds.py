"""Bounds on the distance to the minimum where the bias has no penalty, against a second solver."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from traceprop.curvature.bounds import Curvature, distance_bound, strength
from traceprop.curvature.losses import LossSpec
from traceprop.curvature.newton import newton
from traceprop.curvature.objective import HeadObjective

KINDS = ("cross_entropy", "bce_with_logits", "mse")


def _objective(kind: str, seed: int, penalty: float, reach: float = 1.0) -> HeadObjective:
    """A head of three columns and a bias that isn't penalised, over 40 random samples."""
    rng = np.random.default_rng(seed)
    features = np.c_[reach * rng.standard_normal((40, 3)), np.ones(40)]
    n_outputs = {"cross_entropy": 3, "bce_with_logits": 1, "mse": 2}[kind]
    targets = {
        "cross_entropy": rng.integers(0, 3, 40),
        "bce_with_logits": rng.integers(0, 2, 40).astype(float),
        "mse": rng.standard_normal((40, 2)),
    }[kind]
    each = np.full((n_outputs, 4), penalty)
    each[:, -1] = 0.0
    return HeadObjective(features, targets, n_outputs, LossSpec(kind, "sum"), each.ravel(), 1.0)


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(0, 50), st.sampled_from([1e-2, 1.0, 30.0]), st.sampled_from([0.3, 1.0, 4.0]))
@settings(max_examples=25)
def test_the_local_bound_holds_wherever_it_is_given(kind, seed, penalty, reach):
    ours = _objective(kind, seed, penalty, reach)
    start = np.zeros(ours.size)
    best = newton(ours, start, gradient_tolerance=1e-11).theta
    away = np.random.default_rng(seed).standard_normal(ours.size)
    if ours.shift() is not None:  # among the minima, that with the same sum of the biases
        away -= (away @ ours.shift()) * ours.shift() / (ours.shift() @ ours.shift())
    given_at = []
    for share in (0.0, 1e-9, 1e-5, 1e-3, 1e-2, 0.1, 1.0):
        bound = distance_bound(ours, best + share * away)
        if bound is None:
            continue
        given_at.append(share)
        assert share * np.linalg.norm(away) <= bound + 1e-9
    assert given_at[:2] == [0.0, 1e-9]
    assert distance_bound(ours, best) < 1e-7


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(0, 50), st.sampled_from([1e-2, 1.0, 30.0]), st.sampled_from([0.01, 0.3, 2.0]))
@settings(max_examples=25)
def test_a_hessian_from_elsewhere_bounds_the_one_here(kind, seed, penalty, away):
    ours = _objective(kind, seed, penalty)
    rng = np.random.default_rng(seed)
    best = newton(ours, np.zeros(ours.size), gradient_tolerance=1e-11).theta
    here = best + 1e-4 * rng.standard_normal(ours.size)
    near = Curvature.at(ours, best + away * rng.standard_normal(ours.size))
    assert near is not None
    least = np.linalg.eigvalsh(ours.hessian(here))[0]
    assert strength(ours, here, near) <= least * (1 + 1e-9)
    assert np.exp(-near.shrinking(ours, here)) * np.linalg.eigvalsh(near.hessian)[0] <= least * (
        1 + 1e-9
    )
    own, other = distance_bound(ours, here), distance_bound(ours, here, near)
    assert own is not None
    assert other is None or own <= other * (1 + 1e-9)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_hessian_of_some_rows_bounds_that_of_all(kind, reduction):
    ours = _objective(kind, 2, 0.3)
    scale = {"sum": (1.0, 1.0), "mean": (1 / 40, 1 / 30)}[reduction]
    all_rows = replace(ours, spec=LossSpec(kind, reduction), scale=scale[0])
    some = replace(all_rows, features=ours.features[:30], targets=ours.targets[:30], scale=scale[1])
    theta = 0.1 * np.random.default_rng(0).standard_normal(ours.size)
    near = Curvature.at(some, theta).of_more_rows(all_rows)
    difference = all_rows.hessian(theta) - near.share * near.hessian
    assert np.linalg.eigvalsh(difference)[0] >= -1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_tight_near_the_minimum(kind):
    ours = _objective(kind, 0, 1.0)
    best = newton(ours, np.zeros(ours.size), gradient_tolerance=1e-12).theta
    weakest = np.linalg.eigh(ours.hessian(best))[1][:, 0]
    assert distance_bound(ours, best + 1e-6 * weakest) < 1.1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_newton_ends_where_another_solver_does(kind):
    ours = _objective(kind, 3, 0.5)
    best = newton(ours, np.zeros(ours.size), gradient_tolerance=1e-11).theta
    other = minimize(ours.value, np.zeros(ours.size), jac=ours.gradient, method="BFGS", tol=1e-9)
    np.testing.assert_allclose(best, other.x, atol=1e-5)


def test_the_shift_of_all_class_scores_changes_nothing():
    ours = _objective("cross_entropy", 1, 0.5)
    theta = np.random.default_rng(0).standard_normal(ours.size)
    moved = theta + 0.7 * ours.shift()
    np.testing.assert_allclose(ours.value(moved), ours.value(theta))
    np.testing.assert_allclose(ours.gradient(moved), ours.gradient(theta), atol=1e-12)
    assert np.linalg.eigvalsh(ours.hessian(theta))[0] > 1e-3
    vectors = np.random.default_rng(1).standard_normal((2, ours.size))
    np.testing.assert_allclose(
        ours.hessian_product(theta, vectors), vectors @ ours.hessian(theta), rtol=1e-10
    )


def test_far_from_the_minimum_there_is_no_bound():
    ours = _objective("bce_with_logits", 0, 1e-2)
    assert distance_bound(ours, np.full(ours.size, 30.0)) is None
    assert strength(ours, np.zeros(ours.size)) > 0.0


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(0, 50), st.sampled_from([1e-3, 1.0, 1e3]), st.sampled_from([1e-2, 1.0, 10.0]))
@settings(max_examples=25)
def test_the_rounding_of_the_hessian_is_within_its_bound(kind, seed, reach, size):
    """Against the same sums in extended precision."""
    ours = _objective(kind, seed, 1e-6, reach)
    theta = size * np.random.default_rng(seed).standard_normal(ours.size)
    x, o = ours.features.astype(np.longdouble), ours.n_outputs
    z = x @ theta.reshape(o, -1).T.astype(np.longdouble)
    if kind == "cross_entropy":
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        second = np.einsum("na,ab->nab", p, np.eye(o)) - np.einsum("na,nb->nab", p, p)
    elif kind == "mse":
        second = np.broadcast_to(2.0 * np.eye(o), (len(x), o, o)).astype(np.longdouble)
    else:
        second = (np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))) ** 2)[:, :, None]
    want = np.einsum("nab,np,nq->apbq", second, x, x).reshape(ours.size, ours.size)
    want[np.diag_indices_from(want)] += ours.penalty
    shift = ours.shift()
    if shift is not None:
        want += np.outer(shift, shift)
    off = np.linalg.norm((ours.hessian(theta) - want).astype(float), 2)
    assert off <= ours.hessian_error(theta)
