"""Newton's method for a strictly convex objective, down to the rounding of float64.

A factorised Hessian is used again for as long as each step with it divides the gradient's norm by
5: a step then costs one pass over the data, and forming the Hessian as much as many of these. What
the steps since then showed of J's curvature corrects it, by the BFGS formula in its two-loop form
(Nocedal and Wright 2006, algorithm 7.4), so that such steps converge faster than linearly.

Promise: the point returned is the one with the smallest gradient norm seen since the steps became
full; `converged` is true only if that norm is at most the tolerance asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ARMIJO = 1e-4
_EPS = float(np.finfo(np.float64).eps)


_SLOW = 0.2


class Convex(Protocol):
    """What `newton` minimises."""

    @property
    def factorises(self) -> bool:
        """Whether a solver costs much to make and little to use."""

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Return J(θ) and ∇J(θ)."""

    def solver(self, theta: Array) -> Callable[[Array], Array]:
        """Return rhs ↦ H(θ)⁻¹ rhs."""


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
    objective: Convex,
    start: Array,
    *,
    gradient_tolerance: float,
    rounding: float = 0.0,
    max_steps: int = 100,
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
    rounding : float
        The norm up to which ∇J may be nothing but rounding; no new Hessian is formed below it.
    max_steps : int
        Most steps to take.

    Returns
    -------
    NewtonResult
        The point and how far it got.
    """
    theta, (value, gradient) = start, objective.value_and_gradient(start)
    norm = float(np.linalg.norm(gradient))
    solve, made_at = None, -1
    seen: list[tuple[Array, Array]] = []
    for step in range(max_steps):
        if norm <= gradient_tolerance:
            return NewtonResult(theta, norm, step, True)
        if solve is None:
            solve, made_at, seen = objective.solver(theta), step, []
        direction = -_corrected(solve, seen, gradient)
        decrease = -float(gradient @ direction)
        # Values are known to a few units in the last place; near the optimum J is flat below that.
        slack = 8 * _EPS * max(abs(value), _EPS)
        length = 1.0
        while True:
            trial = theta + length * direction
            trial_value, trial_gradient = objective.value_and_gradient(trial)
            if trial_value <= value - _ARMIJO * length * decrease + slack:
                break
            length /= 2
            if length < _EPS:
                return NewtonResult(theta, norm, step, False)
        trial_norm = float(np.linalg.norm(trial_gradient))
        is_slow = trial_norm > _SLOW * norm
        if decrease <= slack and trial_norm >= norm:
            if made_at == step or norm <= rounding:
                return NewtonResult(theta, norm, step, False)
            solve = None
            continue
        if objective.factorises and (trial - theta) @ (trial_gradient - gradient) > 0:
            seen.append((trial - theta, trial_gradient - gradient))
        theta, value, gradient, norm = trial, trial_value, trial_gradient, trial_norm
        if not objective.factorises or (is_slow and norm > rounding):
            solve = None
    return NewtonResult(theta, norm, max_steps, norm <= gradient_tolerance)


def _corrected(
    solve: Callable[[Array], Array], seen: list[tuple[Array, Array]], gradient: Array
) -> Array:
    """Return H⁻¹ times the gradient, H corrected by steps and the changes of ∇J along them."""
    rest, shares = gradient, []
    for way, change in reversed(seen):
        share = float(way @ rest) / float(way @ change)
        rest = rest - share * change
        shares.append(share)
    solved = solve(rest)
    for (way, change), share in zip(seen, reversed(shares), strict=True):
        solved = solved + (share - float(change @ solved) / float(way @ change)) * way
    return solved
