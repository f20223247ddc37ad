"""Gradient ascent on the forget set: a baseline for comparison, not a removal.

    θ ← θ + η ∇ (mean loss on the forget set),   `steps` times

Nothing pulls it towards the retrained model. Going past that model's loss on the rows makes them
easier to find than before, not harder; it is here so that this can be measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from traceprop.curvature.ggn import Network
from traceprop.errors import UnlearnError
from traceprop.unlearning.methods.outcome import Outcome

if TYPE_CHECKING:
    from traceprop.unlearning.request.case import Case


def remove(case: Case, eta: float | None, steps: int | None) -> Outcome:
    """Ascend.

    Raises
    ------
    UnlearnError
        `eta` or `steps` is missing or not positive, samples were erased before, or the weights
        overflowed.
    """
    if eta is None or steps is None or not eta > 0 or steps < 1:
        raise UnlearnError(
            f"method 'ascent' needs eta= > 0 and steps= ≥ 1, and got eta={eta}, steps={steps}"
        )
    if not case.problem.is_whole:
        raise UnlearnError(
            "samples were erased from the store before, and the given model still has them; "
            "ascent knows the forget set alone, so take another method"
        )
    network = Network(case.module, case.problem.trained)
    start = network.theta
    objective = case.problem.network_objective(network, case.forget)
    weight = 1.0 / (len(case.forget) * objective.scale)
    theta = start
    for _ in range(steps):
        penalty_part = objective.penalty * theta
        theta = theta + eta * weight * (objective.gradient(theta) - penalty_part)
    if not np.isfinite(theta).all():
        raise UnlearnError(f"ascent with eta={eta}, steps={steps} overflowed; take a smaller eta")
    state = network.state(torch.from_numpy(theta))
    return Outcome(
        case.start.holding({name: value.numpy() for name, value in state.items()}),
        "baseline",
        bound=None,
        figures={"eta": eta, "steps": steps, "moved": float(np.linalg.norm(theta - start))},
        limits=(
            "Gradient ascent is a baseline. It can push the loss on the rows past that of a model "
            "that never saw them, which makes them easier to find.",
        ),
    )
