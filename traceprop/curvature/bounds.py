"""How far a point is from the minimum of a linear head's objective: bounds that can be computed.

With a penalty on every parameter J is λ-strongly convex, λ the smallest, and

    ‖θ − θ*‖ ≤ ‖∇J(θ)‖ / λ.

Where the bias has none, as in scikit-learn's models, no such λ exists, but a local one does. The
third derivative of these losses along u is at most R‖u‖ times the second, R = max ‖xᵢ‖ for logistic
loss, √2 max ‖xᵢ‖ for softmax and 0 for squared loss (self-concordance as Bach 2010, section 2, has
it). With μ the smallest eigenvalue of H(θ) and ν² = ∇Jᵀ H⁻¹ ∇J the Newton decrement, integrating
J'' along the way to the minimum gives

    ‖θ − θ*‖ ≤ −log(1 − R ν / √μ) / R        if R ν < √μ,        ν / √μ for R = 0.

Promise: every bound has the rounding of its own computation added, and holds for the exact ∇J.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from traceprop.curvature.objective import MAX_DENSE, HeadObjective

Array = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)


def distance_bound(objective: HeadObjective, theta: Array) -> float | None:
    """Return a bound on ‖θ − θ*‖, or None where none is known.

    Parameters
    ----------
    objective : HeadObjective
        J. Where a softmax model's biases have no penalty, θ* is the minimum whose biases have the
        same sum as those of θ; all others give the same probabilities.
    theta : ndarray, shape (o·p,)
        The point.

    Returns
    -------
    float or None
        None for a softmax model without any penalty, and where θ is too far from the minimum for
        the local bound, or where there may be none.
    """
    least = float(np.min(objective.penalty))
    if least > 0:
        gradient = objective.gradient(theta)
        error = objective.gradient_error(theta)
        return float((np.linalg.norm(gradient) + np.linalg.norm(error)) / least)
    return None if objective.size > MAX_DENSE else _local_bound(objective, theta)


def rests_on(objective: HeadObjective) -> str:
    """Say what `distance_bound` rests on: the penalty, or the curvature at the point."""
    least = float(np.min(objective.penalty))
    if least > 0:
        return f"the penalty: λ = {least:g} on every parameter"
    return "the curvature at the weights: a parameter, such as the intercept, has no penalty"


def strength(objective: HeadObjective, theta: Array) -> float:
    """Return by how much J curves up at least: λ where all is penalised, else μ at θ.

    0 where that can't be told from 0.
    """
    least = float(np.min(objective.penalty))
    if least > 0 or objective.size > MAX_DENSE:
        return least
    return _smallest_eigenvalue(objective.hessian(theta), objective.hessian_error(theta))


def _local_bound(objective: HeadObjective, theta: Array) -> float | None:
    hessian = objective.hessian(theta)
    mu = _smallest_eigenvalue(hessian, objective.hessian_error(theta))
    if mu <= 0:
        return None
    gradient = objective.gradient(theta)
    error = float(np.linalg.norm(objective.gradient_error(theta))) / np.sqrt(mu)
    nu = np.sqrt(max(float(gradient @ np.linalg.solve(hessian, gradient)), 0.0)) + error
    # What the solve itself may lose: its relative error is bounded by the condition of H.
    nu *= 1.0 + len(hessian) * _EPS * float(np.linalg.norm(hessian, 2)) / mu
    radius = _steepness(objective)
    step = radius * nu / np.sqrt(mu)
    if radius == 0.0:
        return float(nu / np.sqrt(mu))
    return None if step >= 1.0 else float(-np.log1p(-step) / radius)


def _steepness(objective: HeadObjective) -> float:
    """Return R, see the module's docstring."""
    if objective.spec.kind == "mse":
        return 0.0
    longest = float(np.sqrt(np.einsum("np,np->n", objective.features, objective.features).max()))
    return longest * (np.sqrt(2.0) if objective.spec.kind == "cross_entropy" else 1.0)


def _smallest_eigenvalue(hessian: Array, error: float) -> float:
    """Return the smallest eigenvalue, less what rounding may have added to it; at least 0."""
    values = eigh(hessian, eigvals_only=True)
    return max(float(values[0] - len(hessian) * _EPS * values[-1]) - error, 0.0)
