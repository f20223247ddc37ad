"""Removal from any network by one damped Gauss-Newton step, and a few steps on what is left.

The step, over all trained parameters, is that of `curvature.newton_step`: what leaving the samples
out changes. A training by small batches ends where the noise of its last ones left it, though,
often further from a minimum than leaving the samples out moves it, and the step alone can lead away
from a retrained model. So after such a training ten steps of L-BFGS on the data that stay take most
of the noise out. Their number is fixed: many more would train on, past where a training that stops
early ends. A training on all samples at once has no such noise, and only the step is taken.

Promise: none about the distance to a retrained model. The class says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize

from traceprop.curvature.ggn import Network
from traceprop.curvature.newton_step import step_without
from traceprop.errors import UnlearnError
from traceprop.unlearning.methods.outcome import Outcome

if TYPE_CHECKING:
    from traceprop.unlearning.request.case import Case


_SETTLING = 10


def remove(case: Case) -> Outcome:
    """Take the step, and settle.

    Raises
    ------
    UnlearnError
        Conjugate gradients didn't converge, or the weights aren't finite.
    """
    network = Network(case.module, case.problem.trained)
    try:
        step = step_without(case.problem, network, case.kept, case.goal)
    except np.linalg.LinAlgError as error:
        raise UnlearnError(
            f"{error}; the model's curvature can't be inverted: train again without the rows"
        ) from error
    theta, settling = step.theta, 0
    if (case.problem.batch_size or case.problem.n) < case.problem.n:
        rest = case.goal.network_objective(network, case.kept)
        settled = minimize(
            lambda point: (rest.value(point), rest.gradient(point)),
            step.theta,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _SETTLING},
        )
        theta, settling = np.asarray(settled.x, np.float64), int(settled.nit)
    if not np.isfinite(theta).all():
        raise UnlearnError("the weights aren't finite after the step: train again without the rows")
    state = network.state(torch.from_numpy(theta))
    buffers = [name for name, _ in case.module.named_buffers()]
    return Outcome(
        case.start.holding({name: value.numpy() for name, value in state.items()}),
        "approximate-unguaranteed",
        bound=None,
        figures={
            "damping": step.damping,
            "cg_iterations": step.iterations,
            "cg_residual": step.residual,
            "lbfgs_steps": settling,
            "moved_by_step": float(np.linalg.norm(step.theta - network.theta)),
            "moved": float(np.linalg.norm(theta - network.theta)),
        },
        limits=(
            "No bound on the distance to a retrained model is known or claimed. The mark "
            "`unaudited` stays until the model is compared with retrained ones.",
            *(
                ()
                if case.problem.is_whole
                else (
                    "Samples were erased from the store before. They are left out of this model, "
                    "too: the step follows the gradient of all data that are left, as if training "
                    "had ended at its minimum.",
                )
            ),
            *(
                (f"Buffers ({', '.join(buffers)}) still hold statistics of the removed rows.",)
                if buffers
                else ()
            ),
        ),
    )
