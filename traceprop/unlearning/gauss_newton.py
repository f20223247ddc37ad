"""Removal from any network by one damped Gauss-Newton step over all trained parameters.

    θ' = θ − (G + δI)⁻¹ (∇J_retained(θ) − ∇J_all(θ))

with G the Gauss-Newton matrix of the retained data and δ 0.01 of its largest eigenvalue. The
difference of the two gradients is what the removal alone changes: a network that was stopped early
isn't trained on, which the full gradient of the retained data would do.

Promise: none about the distance to a retrained model. The class says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from traceprop.attribution.estimators.base import RELATIVE_DAMPING
from traceprop.curvature.cg import conjugate_gradient
from traceprop.curvature.ggn import Network, largest_eigenvalue, write_back
from traceprop.errors import UnlearnError
from traceprop.unlearning.outcome import Outcome

if TYPE_CHECKING:
    from traceprop.unlearning.case import Case

_TOLERANCE = 1e-8
_STEPS = 1000


def remove(case: Case) -> Outcome:
    """Take the step.

    Raises
    ------
    UnlearnError
        Conjugate gradients didn't converge, or the step isn't finite.
    """
    network = Network(case.model, case.problem.trained)
    theta = network.theta
    retained = case.problem.network_objective(network, case.retain)
    everything = case.problem.network_objective(network)
    change = retained.gradient(theta) - everything.gradient(theta)
    damping = RELATIVE_DAMPING * largest_eigenvalue(
        lambda rows: retained.ggn_product(theta, rows), network.size
    )
    solved = conjugate_gradient(
        lambda rows: retained.ggn_product(theta, rows) + damping * rows,
        change[None],
        tolerance=_TOLERANCE,
        max_iterations=_STEPS,
    )
    if not solved.converged:
        raise UnlearnError(
            f"conjugate gradients stopped at a relative residual of {solved.residuals[0]:.1e}; the "
            f"model's curvature can't be inverted: train again without the rows"
        )
    state = network.state(torch.from_numpy(theta - solved.solution[0]))
    buffers = [name for name, _ in case.model.named_buffers()]
    return Outcome(
        write_back(case.model, {name: value.numpy() for name, value in state.items()}),
        "approximate-unguaranteed",
        bound=None,
        figures={
            "damping": damping,
            "cg_iterations": solved.iterations,
            "cg_residual": float(solved.residuals[0]),
            "moved": float(np.linalg.norm(solved.solution[0])),
        },
        limits=(
            "No bound on the distance to a retrained model is known or claimed. The mark "
            "`unaudited` stays until the model is compared with retrained ones.",
            *(
                (f"Buffers ({', '.join(buffers)}) still hold statistics of the removed rows.",)
                if buffers
                else ()
            ),
        ),
    )
