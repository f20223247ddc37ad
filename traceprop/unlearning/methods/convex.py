"""Exact removal for strictly convex objectives: Newton on the retained data, with a bound.

    J(θ) = c Σ_{i retained} ℓᵢ(θ) + ½ Σⱼ λⱼ θⱼ²

The bound on ‖θ − θ*‖ is that of `curvature.bounds`: from the penalty where it is on all parameters,
from the curvature at θ where the bias has none. θ* is where retraining on the retained data to
convergence ends, whatever it starts from. Newton starts at the given model, so a few steps do.

Promise: the bound is computed for the weights as the returned module stores them, after rounding to
its dtype, and includes the rounding of the gradient itself. It is the smaller of the direct bound
at the stored weights and the bound at the float64 solution plus the distance that rounding moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceprop.curvature.bounds import distance_bound, rests_on
from traceprop.curvature.objective import HeadObjective
from traceprop.curvature.without import Minimum, many_minima, minimum_of
from traceprop.errors import UnlearnError
from traceprop.unlearning.methods.outcome import Outcome

if TYPE_CHECKING:
    from traceprop.unlearning.request.case import Case

Array = NDArray[np.float64]


def refusal(case: Case) -> str | None:
    """Return why a case is not exact-convex, or None if it is."""
    why = many_minima(case.linear)
    record = case.store.record
    if why is None and record is not None and not record.fixed_data:
        return (
            "samples had other inputs or labels at other visits (augmentation, noise), so what the "
            "training minimised isn't known"
        )
    return why


def remove(case: Case, tol: float) -> Outcome:
    """Solve on the retained data until the bound is at most tol, or to the rounding of float64.

    Parameters
    ----------
    case : Case
        A case that `refusal` has no objection to.
    tol : float
        Distance to the retrained weights to reach, before they are rounded to the model's dtype.

    Raises
    ------
    UnlearnError
        The penalty is so weak that the Hessian is singular within rounding, or Newton's method
        stopped early.
    """
    head = case.linear.head
    assert head is not None
    start = head.pack(case.module.state_dict())
    whole = case.linear.head_objective()
    try:
        found = minimum_of(
            _of_those_that_stay(case, whole),
            start,
            distance=tol,
            penalty_origin=case.linear_goal.penalty_origin,
        )
    except np.linalg.LinAlgError as error:
        raise _too_weak(case, str(error)) from error
    new = case.start.holding(head.unpack(found.theta))
    stored = head.pack(new.module.state_dict())
    moved = float(np.linalg.norm(stored - found.theta))
    at_solution = found.bound
    if at_solution is None:
        raise _too_weak(case, f"no bound is known for the {found.objective.size} weights")
    as_stored = distance_bound(found.objective, stored, found.near) if moved else at_solution
    own = _from_own_minimum(case, whole, found, start)
    return Outcome(
        new,
        "exact-convex",
        bound=min(at_solution + moved, np.inf if as_stored is None else as_stored),
        figures={
            "newton_steps": found.steps,
            "gradient_norm_float64": found.gradient_norm,
            "bound_float64": at_solution,
            "moved_by_storing": moved,
            "moved": float(np.linalg.norm(stored - start)),
            **({} if own is None else {"start_to_own_minimum_bound": own}),
        },
        limits=(_limit(own),),
        bound_from=rests_on(found.objective),
        compared_with=(
            "the minimum of the recorded objective on the data that stay, which is where "
            "retraining to convergence ends"
        ),
    )


def _of_those_that_stay(case: Case, whole: HeadObjective) -> HeadObjective:
    """Return the objective to minimise, of the features at hand where they are the same."""
    if case.goal is case.problem:
        return whole.of_rows(case.kept, case.linear.scale(len(case.kept)))
    return case.linear_goal.head_objective(case.kept)


def _from_own_minimum(
    case: Case, whole: HeadObjective, found: Minimum, start: Array
) -> float | None:
    """Bound how far the given model was from the minimum of its own objective."""
    if case.goal is not case.problem or found.near is None:
        return distance_bound(whole, start)
    near = distance_bound(whole, start, found.near.of_more_rows(whole))
    return distance_bound(whole, start) if near is None else near


def _limit(own: float | None) -> str:
    if own is None:
        where = "too far from its own minimum for a bound"
    else:
        where = "within start_to_own_minimum_bound of its own minimum"
    return (
        "The bound is on the distance to the minimum of the stated objective on the retained "
        "data, which is where retraining to convergence ends. A training that stops early ends "
        f"elsewhere: the model given was {where}."
    )


def _too_weak(case: Case, why: str) -> UnlearnError:
    return UnlearnError(
        f"the penalty {case.problem.penalty:g} may be too weak for this data ({why}); use "
        f"method='gauss-newton'"
    )
