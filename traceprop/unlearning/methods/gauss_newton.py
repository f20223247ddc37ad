"""Removal from any network by one damped Gauss-Newton step over all trained parameters.

The step is that of `curvature.newton_step`.

Promise: none about the distance to a retrained model. The class says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from traceprop.curvature.ggn import Network
from traceprop.curvature.newton_step import step_without
from traceprop.errors import UnlearnError
from traceprop.unlearning.methods.outcome import Outcome

if TYPE_CHECKING:
    from traceprop.unlearning.request.case import Case


def remove(case: Case) -> Outcome:
    """Take the step.

    Raises
    ------
    UnlearnError
        Conjugate gradients didn't converge, or the step isn't finite.
    """
    network = Network(case.module, case.problem.trained)
    try:
        step = step_without(case.problem, network, case.kept, case.goal)
    except np.linalg.LinAlgError as error:
        raise UnlearnError(
            f"{error}; the model's curvature can't be inverted: train again without the rows"
        ) from error
    state = network.state(torch.from_numpy(step.theta))
    buffers = [name for name, _ in case.module.named_buffers()]
    return Outcome(
        case.start.holding({name: value.numpy() for name, value in state.items()}),
        "approximate-unguaranteed",
        bound=None,
        figures={
            "damping": step.damping,
            "cg_iterations": step.iterations,
            "cg_residual": step.residual,
            "moved": float(np.linalg.norm(step.theta - network.theta)),
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
