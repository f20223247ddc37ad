"""Newton's method for a strictly convex objective, down to the rounding of float64.

Promise: the point returned is the one with the smallest gradient norm seen since the steps became
full; `converged` is true only if that norm is at most the tolerance asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ARMIJO = 1e-4
_EPS = float(np.finfo(np.float64).eps)


class Convex(Protocol):
    """What `newton` minimises."""

    def value(self, theta: Array) -> float:
        """Return J(θ)."""

    def gradient(self, theta: Array) -> Array:
        """Return ∇J(θ)."""

    def solve(self, theta: Array, rhs: Array) -> Array:
        """Return H(θ)⁻¹ rhs."""


@dataclass(frozen=True, slots=True)
class NewtonResult:
    """Where `newton` stopped.

    Parameters
    ----------
    theta : ndarray, shape (d,)
        The point.
    gradient_norm : float
        ‖∇J(θ)‖ there.
    steps : int
        Steps taken.
    converged : bool
        Whether the norm is at most the tolerance; if not, rounding or `max_steps` ended it.
    """

    theta: Array
    gradient_norm: float
    steps: int
    converged: bool


def newton(
    objective: Convex, start: Array, *, gradient_tolerance: float, max_steps: int = 100
) -> NewtonResult:
    """Minimise by Newton steps with backtracking (Boyd and Vandenberghe 2004, algorithm 9.5).

    Parameters
    ----------
    objective : Convex
        Value, gradient and solves with the Hessian.
    start : ndarray, shape (d,)
        Where to begin: for a removal, the model as it is.
    gradient_tolerance : float
        The gradient norm to reach. Below the rounding of J's gradient the method stops where
        steps no longer make the norm smaller.
    max_steps : int
        Most steps to take.

    Returns
    -------
    NewtonResult
        The point and how far it got.
    """
    theta, value = start, objective.value(start)
    gradient = objective.gradient(theta)
    norm = float(np.linalg.norm(gradient))
    for step in range(max_steps):
        if norm <= gradient_tolerance:
            return NewtonResult(theta, norm, step, True)
        direction = -objective.solve(theta, gradient)
        decrease = -float(gradient @ direction)
        # Values are known to a few units in the last place; near the optimum J is flat below that.
        slack = 8 * _EPS * max(abs(value), _EPS)
        length = 1.0
        while True:
            trial = theta + length * direction
            trial_value = objective.value(trial)
            if trial_value <= value - _ARMIJO * length * decrease + slack:
                break
            length /= 2
            if length < _EPS:
                return NewtonResult(theta, norm, step, False)
        trial_gradient = objective.gradient(trial)
        trial_norm = float(np.linalg.norm(trial_gradient))
        if decrease <= slack and trial_norm >= norm:
            return NewtonResult(theta, norm, step, False)
        theta, value, gradient, norm = trial, trial_value, trial_gradient, trial_norm
    return NewtonResult(theta, norm, max_steps, norm <= gradient_tolerance)
