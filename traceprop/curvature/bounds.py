"""How far a point is from the minimum of a linear head's objective: bounds that can be computed.

With a penalty on every parameter J is λ-strongly convex, λ the smallest, and

    ‖θ − θ*‖ ≤ ‖∇J(θ)‖ / λ.

Where the bias has none, as in scikit-learn's models, no such λ exists, but a local one does. The
third derivative of these losses along u is at most R‖u‖ times the second, R = max ‖xᵢ‖ for logistic
loss, √2 max ‖xᵢ‖ for softmax and 0 for squared loss (self-concordance as Bach 2010, section 2, has
it). With μ the smallest eigenvalue of H(θ) and ν² = ∇Jᵀ H⁻¹ ∇J the Newton decrement, integrating
J'' along the way to the minimum gives

    ‖θ − θ*‖ ≤ −log(1 − R ν / √μ) / R        if R ν < √μ,        ν / √μ for R = 0.

H itself need not be formed at θ. From θ₀, where it was, it shrinks by at most exp(−s), s the most
that an output difference of any sample moves between the two (the same property, applied sample by
sample along the way), so that μ exp(−s) and ν exp(s/2) stand for μ and ν. With more rows J only
curves up more.

Promise: every bound has the rounding of its own computation added, and holds for the exact ∇J.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from traceprop.curvature.cholesky import Factor, factorise
from traceprop.curvature.objective import HeadObjective

Array = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Curvature:
    """H at one point, for bounds there and near it.

    Parameters
    ----------
    objective : HeadObjective
        J, of at most `MAX_DENSE` parameters.
    theta : ndarray, shape (o·p,)
        The point.
    hessian : ndarray, shape (o·p, o·p)
        H there.
    factor : Factor
        Its Cholesky factor.
    share : float
        J curves up at least by this much of it.
    """

    objective: HeadObjective
    theta: Array
    hessian: Array
    factor: Factor
    share: float = 1.0

    @staticmethod
    def at(objective: HeadObjective, theta: Array) -> Curvature | None:
        """Return it at a point; None where H isn't positive definite within rounding."""
        hessian = objective.hessian(theta)
        factor = factorise(hessian)
        return None if factor is None else Curvature(objective, theta, hessian, factor)

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The smallest eigenvalue, less what rounding may have added to it, and the largest."""
        # NumPy's, as H was: the threads of SciPy's own BLAS would wait while NumPy's still spin.
        values = np.linalg.eigvalsh(self.hessian)
        error = len(self.hessian) * _EPS * values[-1] + self.objective.hessian_error(self.theta)
        return max(float(values[0] - error), 0.0), float(values[-1])

    def of_more_rows(self, whole: HeadObjective) -> Curvature:
        """Return it as a lower bound for J of these rows and others, under the same penalty."""
        share = min(1.0, whole.scale / self.objective.scale)
        more = replace(self, share=self.share * share)
        vars(more)["ends"] = self.ends  # the same matrix: they aren't looked for again
        return more

    def shrinking(self, objective: HeadObjective, theta: Array) -> float:
        """Return s, by whose exponential H is smaller at another point at most."""
        way = theta - self.theta
        if objective.spec.kind == "mse" or not way.any():
            return 0.0
        moved = objective.outputs(way)
        if objective.spec.kind == "cross_entropy":
            most = float((moved.max(axis=1) - moved.min(axis=1)).max())
        else:
            most = float(np.abs(moved).max())
        rounding: float = (objective.features.shape[1] + 2) * _EPS * float(objective.lengths.max())
        return most + 2 * rounding * float(np.linalg.norm(way))


def distance_bound(
    objective: HeadObjective, theta: Array, near: Curvature | None = None
) -> float | None:
    """Return a bound on ‖θ − θ*‖, or None where none is known.

    Parameters
    ----------
    objective : HeadObjective
        J. Where a softmax model's biases have no penalty, θ* is the minimum whose biases have the
        same sum as those of θ; all others give the same probabilities.
    theta : ndarray, shape (o·p,)
        The point.
    near : Curvature, optional
        That of J at a near point; without it, it is computed at θ.

    Returns
    -------
    float or None
        None for a softmax model without any penalty, and where θ is too far from the minimum for
        the local bound, or where there may be none.
    """
    least = float(np.min(objective.penalty))
    if least > 0:
        gradient, error = objective.gradient_with_error(theta)
        return (float(np.linalg.norm(gradient)) + error) / least
    if not objective.factorises:
        return None
    at = Curvature.at(objective, theta) if near is None else near
    return None if at is None else _local_bound(objective, theta, at)


def rests_on(objective: HeadObjective) -> str:
    """Say what `distance_bound` rests on: the penalty, or the curvature at the point."""
    least = float(np.min(objective.penalty))
    if least > 0:
        return f"the penalty: λ = {least:g} on every parameter"
    return "the curvature at the weights: a parameter, such as the intercept, has no penalty"


def strength(objective: HeadObjective, theta: Array, near: Curvature | None = None) -> float:
    """Return by how much J curves up at least: λ where all is penalised, else μ at θ.

    0 where that can't be told from 0. `near` is as for `distance_bound`.
    """
    least = float(np.min(objective.penalty))
    if least > 0 or not objective.factorises:
        return least
    at = Curvature.at(objective, theta) if near is None else near
    return 0.0 if at is None else _least(objective, theta, at)[0]


def _least(objective: HeadObjective, theta: Array, at: Curvature) -> tuple[float, float]:
    """Return μ at θ, at least, and by how much H is smaller there than the H that is known."""
    shrunk = at.share * float(np.exp(-at.shrinking(objective, theta)))
    return at.ends[0] * shrunk, shrunk


def _local_bound(objective: HeadObjective, theta: Array, at: Curvature) -> float | None:
    mu, shrunk = _least(objective, theta, at)
    if mu <= 0:
        return None
    gradient, gradient_error = objective.gradient_with_error(theta)
    decrement = max(float(gradient @ at.factor.solve(gradient)), 0.0)
    nu = float(np.sqrt(decrement / shrunk)) + gradient_error / np.sqrt(mu)
    # What the solve itself may lose: its relative error is bounded by the condition of H.
    smallest, largest = at.ends
    nu *= 1.0 + len(at.hessian) * _EPS * largest / smallest
    radius = _steepness(objective)
    step = radius * nu / np.sqrt(mu)
    if radius == 0.0:
        return float(nu / np.sqrt(mu))
    return None if step >= 1.0 else float(-np.log1p(-step) / radius)


def _steepness(objective: HeadObjective) -> float:
    """Return R, see the module's docstring."""
    if objective.spec.kind == "mse":
        return 0.0
    longest = float(objective.lengths.max())
    return longest * (np.sqrt(2.0) if objective.spec.kind == "cross_entropy" else 1.0)
