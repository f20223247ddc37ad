"""Where training to convergence ends without some of its rows: the minimum of what is left.

    J(θ) = c Σ_{i kept} ℓᵢ(θ) + ½ Σⱼ λⱼ θⱼ²

The distance to the minimum is bounded as in `bounds`.

Promise: a `Minimum` is within the distance asked for, or as near as the rounding of ∇J in float64
lets anyone tell; otherwise an error says how far Newton's method came.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceprop.curvature.bounds import distance_bound, strength
from traceprop.curvature.newton import newton
from traceprop.curvature.objective import MAX_DENSE, HeadObjective
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
    """

    theta: Array
    objective: HeadObjective
    gradient_norm: float
    steps: int


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
    tolerance = distance * strength(objective, start)
    result = newton(objective, start, gradient_tolerance=tolerance)
    if not np.all(objective.penalty):
        # J curves by another measure there, and where a class has gone it has no minimum at all.
        tolerance = min(tolerance, distance * strength(objective, result.theta))
        result = newton(objective, result.theta, gradient_tolerance=tolerance)
        if objective.size <= MAX_DENSE and distance_bound(objective, result.theta) is None:
            raise np.linalg.LinAlgError(
                f"the data that are left hold nothing against weights without a penalty "
                f"({problem.penalty_origin}), so they would grow without end"
            )
    rounding = float(np.linalg.norm(objective.gradient_error(result.theta)))
    if not result.converged and result.gradient_norm > rounding:
        raise np.linalg.LinAlgError(
            f"Newton's method stopped at ‖∇J‖ = {result.gradient_norm:.1e} after {result.steps} "
            f"steps, short of {tolerance:.1e}"
        )
    return Minimum(result.theta, objective, result.gradient_norm, result.steps)
