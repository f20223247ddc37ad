"""What leaving samples out does to a network's weights: one damped Gauss-Newton step.

    θ' = θ − (G + δI)⁻¹ (∇J_kept(θ) − ∇J_all(θ))

with G the Gauss-Newton matrix of the kept data and δ 0.01 of its largest eigenvalue. The difference
of the two gradients is what leaving out alone changes: a network that was stopped early isn't
trained on, which the full gradient of the kept data would do. Where samples that were trained on
are gone, ∇J_all isn't known any more, and is taken as 0, as at a minimum: a difference of what is
left would leave in the model what those samples did to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceprop.curvature.cg import conjugate_gradient
from traceprop.curvature.damping import RELATIVE_DAMPING
from traceprop.curvature.ggn import Network, largest_eigenvalue
from traceprop.curvature.problem import Problem, Rows

Array = NDArray[np.float64]

_TOLERANCE = 1e-8
_STEPS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class NewtonStep:
    """A step and how it was found.

    Parameters
    ----------
    theta : ndarray, shape (d,)
        Where it leads.
    damping : float
        δ.
    iterations : int
        Of conjugate gradients.
    residual : float
        What they left, relative to the right-hand side.
    """

    theta: Array
    damping: float
    iterations: int
    residual: float


def step_without(
    problem: Problem,
    network: Network,
    kept: Rows,
    goal: Problem | None = None,
    *,
    erased_too: bool = True,
) -> NewtonStep:
    """Take the step for the samples that aren't kept.

    Parameters
    ----------
    problem : Problem
        The run.
    network : Network
        The model as training ended.
    kept : ndarray of int64
        Rows of the problem that stay.
    goal : Problem, optional
        The problem that `kept` counts in, where the rest is prepared in another way than it was.
    erased_too : bool
        Whether samples that were erased since training are left out, too.

    Raises
    ------
    numpy.linalg.LinAlgError
        Conjugate gradients didn't converge.
    """
    theta = network.theta
    retained = (goal or problem).network_objective(network, kept)
    change = retained.gradient(theta)
    if problem.is_whole or not erased_too:
        change = change - problem.network_objective(network).gradient(theta)
    damping = RELATIVE_DAMPING * largest_eigenvalue(
        lambda rows: retained.ggn_product(theta, rows), network.size
    )
    solved = conjugate_gradient(
        lambda rows: retained.ggn_product(theta, rows) + damping * rows,
        change[None],
        tolerance=_TOLERANCE,
        max_iterations=_STEPS,
    )
    residual = float(solved.residuals[0])
    if not solved.converged:
        raise np.linalg.LinAlgError(
            f"conjugate gradients stopped at a relative residual of {residual:.1e}"
        )
    return NewtonStep(theta - solved.solution[0], damping, solved.iterations, residual)
