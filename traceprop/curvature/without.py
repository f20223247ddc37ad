"""Where training to convergence ends without some of its rows: the minimum of what is left.

    J(θ) = c Σ_{i kept} ℓᵢ(θ) + ½ Σⱼ λⱼ θⱼ²

The distance to the minimum is bounded as in `bounds`.

Promise: a `Minimum` is within the distance asked for, or as near as the rounding of ∇J in float64
lets anyone tell; otherwise an error says how far Newton's method came.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceprop.curvature.bounds import Curvature, distance_bound, strength
from traceprop.curvature.newton import newton
from traceprop.curvature.objective import HeadObjective
from traceprop.curvature.problem import Problem, Rows

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Minimum:
    """The minimum of an objective, as Newton's method found it.

    Parameters
    ----------
    theta : ndarray, shape (o·p,)
        The point.
    objective : HeadObjective
        J of the rows that were kept.
    gradient_norm : float
        ‖∇J(θ)‖, as computed.
    steps : int
        Newton steps taken.
    bound : float or None
        On the distance to the minimum, see `distance_bound`.
    near : Curvature or None
        The Hessian that was factorised last, for bounds near the point; None where there is none.
    """

    theta: Array
    objective: HeadObjective
    gradient_norm: float
    steps: int
    bound: float | None
    near: Curvature | None


def many_minima(problem: Problem) -> str | None:
    """Return why a problem's minimum isn't known to be one point, or None if it is."""
    if problem.head is None:
        return (
            "the model isn't linear as written (one linear layer of torch's own, all of it "
            "trained), so there may be many minima"
        )
    if problem.penalty is None:
        return (
            f"the penalty of the training is unknown ({problem.penalty_origin}), so the minimum "
            f"isn't defined"
        )
    if problem.penalty <= 0:
        return (
            f"the objective has no penalty ({problem.penalty_origin}), so it isn't strictly "
            f"convex and no bound holds"
        )
    return None


def minimum_without(problem: Problem, gone: Rows, start: Array, *, distance: float) -> Minimum:
    """Find the minimum of a problem's objective on all rows but some.

    Parameters
    ----------
    problem : Problem
        One that `many_minima` has no objection to.
    gone : ndarray of int64
        Rows of the problem to leave out; none gives the minimum on all.
    start : ndarray, shape (o·p,)
        Where Newton's method begins: the model as it is.
    distance : float
        How near to the minimum to come, in the weights.

    Raises
    ------
    numpy.linalg.LinAlgError
        The Hessian is singular within rounding, or Newton's method stopped early.
    """
    objective = problem.head_objective(np.delete(np.arange(problem.n), gone))
    return minimum_of(objective, start, distance=distance, penalty_origin=problem.penalty_origin)


def minimum_of(
    objective: HeadObjective, start: Array, *, distance: float, penalty_origin: str
) -> Minimum:
    """Find the minimum of an objective, as `minimum_without` does; errors name the penalty."""
    known = _Known(objective)
    tolerance = distance * float(np.min(objective.penalty))
    if tolerance == 0.0 and objective.factorises:
        known.solver(start)
        tolerance = distance * strength(objective, start, known.last)
    rounding = objective.gradient_with_error(start)[1]
    result = newton(known, start, gradient_tolerance=tolerance, rounding=rounding)
    if not np.all(objective.penalty) and objective.factorises:
        # J curves by another measure there, and where a class has gone it has no minimum at all.
        tolerance = min(tolerance, distance * strength(objective, result.theta, known.last))
        if result.gradient_norm > tolerance:
            result = newton(known, result.theta, gradient_tolerance=tolerance, rounding=rounding)
    bound = distance_bound(objective, result.theta, known.last)
    if bound is None and known.last is not None:  # it was made too far away
        known.last = None
        bound = distance_bound(objective, result.theta)
    if bound is None and not np.all(objective.penalty) and objective.factorises:
        raise np.linalg.LinAlgError(
            f"the data that are left hold nothing against weights without a penalty "
            f"({penalty_origin}), so they would grow without end"
        )
    if not result.converged and result.gradient_norm > max(
        rounding, objective.gradient_with_error(result.theta)[1]
    ):
        raise np.linalg.LinAlgError(
            f"Newton's method stopped at ‖∇J‖ = {result.gradient_norm:.1e} after {result.steps} "
            f"steps, short of {tolerance:.1e}"
        )
    return Minimum(result.theta, objective, result.gradient_norm, result.steps, bound, known.last)


class _Known:
    """An objective for `newton` that holds on to the Hessian which was factorised last."""

    def __init__(self, objective: HeadObjective) -> None:
        self._objective = objective
        self.factorises = objective.factorises
        self.last: Curvature | None = None

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        return self._objective.value_and_gradient(theta)

    def solver(self, theta: Array) -> Callable[[Array], Array]:
        if not self.factorises:
            return self._objective.solver(theta)
        if self.last is None or self.last.theta is not theta:
            self.last = Curvature.at(self._objective, theta)
        if self.last is None:
            raise np.linalg.LinAlgError("the Hessian isn't positive definite")
        return self.last.factor.solve
