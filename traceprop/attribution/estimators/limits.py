"""What puts a run outside of what the estimators support, said in words beside the scores.

Promise: it changes no score, and costs a pass over a few hundred samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from traceprop.attribution.capture.gradients import project_gradients
from traceprop.attribution.projection import Projector
from traceprop.curvature.ggn import Network, float64, targets_tensor
from traceprop.curvature.problem import Problem

if TYPE_CHECKING:
    from traceprop.attribution.store.run.record import TrainingRecord

# Samples whose gradients are looked at. Of gradients that cancel, a mean of 512 is 0.04 of their
# size by chance.
_SAMPLES = 512
_LEAST = 0.1
_CHANCE = 3.0


def notes_on(
    problem: Problem, network: Network, record: TrainingRecord | None, projector: Projector
) -> tuple[str, ...]:
    """Return what a reader of scores must know of the run: layers, data, where training stopped."""
    layers = list(network.layers())
    notes = []
    if any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in layers):
        notes.append(
            "The model has BatchNorm: a sample's part in the statistics of its batches isn't in "
            "its score."
        )
    if any(isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0 for layer in layers):
        notes.append(
            "The model has dropout: gradients recorded in training are of thinned models, and "
            "noisier."
        )
    if record is not None and not record.fixed_data:
        notes.append(
            "Samples had other inputs or labels at other visits: the curvature is of those seen "
            "last."
        )
    left = _what_is_left(problem, network, projector)
    if left is not None:
        notes.append(
            f"Training stopped where the gradient is {left:.2f} of the size of a sample's: the "
            f"model isn't at a minimum, as the formulas assume."
        )
    return tuple(notes)


def _what_is_left(problem: Problem, network: Network, projector: Projector) -> float | None:
    """Return ‖∇J‖ over n c times the root mean square of ‖∇ℓᵢ‖, where it isn't small."""
    linear = projector.linear()
    count = min(problem.n, _SAMPLES)
    rows = np.sort(np.random.default_rng(0).permutation(problem.n)[:count])
    made = project_gradients(
        network.trainable({block.name for block in linear.blocks}),
        float64(np.asarray(problem.inputs)[rows]).float(),
        targets_tensor(problem.spec, np.asarray(problem.targets)[rows]),
        problem.spec,
        linear,
    ).astype(np.float64)
    pull = _penalty_gradient(problem, network, linear) / (problem.n * problem.scale(problem.n))
    size = float(np.sqrt((made**2).sum(axis=1).mean()))
    left = float(np.linalg.norm(made.mean(axis=0) + pull))
    by_chance = 0.0 if count == problem.n else _CHANCE / np.sqrt(count)
    return left / size if left > max(_LEAST, by_chance) * size else None


def _penalty_gradient(
    problem: Problem, network: Network, projector: Projector
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return λθ, without the parameters that the penalty spares, as the projection has it."""
    weights = network.weights()
    parts = [
        np.zeros(block.size)
        if block.name in problem.unpenalised
        else (problem.penalty or 0.0) * weights[block.name].ravel()
        for block in projector.blocks
    ]
    found = projector.project(np.concatenate(parts)[None].astype(np.float32))[0]
    return np.asarray(found, np.float64)
