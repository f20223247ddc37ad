"""Newton's method on a Hessian that is used again: what corrects it, and how fast it is then."""

from __future__ import annotations

import numpy as np
import pytest

from tests.naive.newton import bfgs_inverse
from traceprop.curvature.newton import _corrected, newton


class Logistic:
    """Logistic regression that counts its passes over the data and its Hessians."""

    factorises = True

    def __init__(self, n: int = 400, d: int = 12, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.x = rng.standard_normal((n, d)) * np.logspace(0, 1, d)
        self.y = (self.x @ rng.standard_normal(d) > rng.standard_normal(n)).astype(float)
        self.passes = self.hessians = 0

    def value_and_gradient(self, theta):
        self.passes += 1
        z = self.x @ theta
        p = 1 / (1 + np.exp(-z))
        value = float((np.logaddexp(0, z) - self.y * z).sum() + 0.5 * theta @ theta)
        return value, self.x.T @ (p - self.y) + theta

    def solver(self, theta):
        self.hessians += 1
        p = 1 / (1 + np.exp(-self.x @ theta))
        hessian = (self.x.T * (p * (1 - p))) @ self.x + np.eye(len(theta))
        return lambda rhs: np.linalg.solve(hessian, rhs)


@pytest.mark.parametrize("n_seen", [0, 1, 3])
def test_the_correction_is_that_of_the_formula_on_the_whole_matrix(n_seen):
    rng = np.random.default_rng(n_seen)
    root = rng.standard_normal((6, 6))
    curvature = root @ root.T + np.eye(6)
    inverse = np.diag(rng.uniform(0.5, 2.0, 6))
    ways = rng.standard_normal((n_seen, 6))
    seen = [(way, curvature @ way) for way in ways]
    gradient = rng.standard_normal(6)
    want = bfgs_inverse(inverse, seen) @ gradient
    np.testing.assert_allclose(_corrected(lambda v: inverse @ v, seen, gradient), want, rtol=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_it_ends_at_the_minimum_with_one_hessian_or_two(seed):
    ours = Logistic(seed=seed)
    exact = newton(ours, np.zeros(12), gradient_tolerance=1e-9).theta
    near = exact * (1 + 0.02 * np.random.default_rng(seed).standard_normal(12))
    ours.passes = ours.hessians = 0
    found = newton(ours, near, gradient_tolerance=1e-9)
    assert found.converged
    np.testing.assert_allclose(found.theta, exact, atol=1e-9)
    assert ours.hessians <= 2
    assert ours.passes <= 9


def test_steps_on_an_old_hessian_converge_faster_than_linearly(monkeypatch):
    """A fixed Hessian divides the gradient's norm by the same number at each step."""
    ours = Logistic()
    exact = newton(ours, np.zeros(12), gradient_tolerance=1e-9).theta
    ours.passes = 0
    newton(ours, 0.98 * exact, gradient_tolerance=1e-9)
    corrected, ours.passes = ours.passes, 0
    monkeypatch.setattr(
        "traceprop.curvature.newton._corrected", lambda solve, _, gradient: solve(gradient)
    )
    newton(ours, 0.98 * exact, gradient_tolerance=1e-9)
    assert corrected < ours.passes
