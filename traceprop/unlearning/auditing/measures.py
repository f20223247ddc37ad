"""Losses and margins of a model on rows of its training problem, before and after a removal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from traceprop.curvature import losses
from traceprop.curvature.ggn import CHUNK, Network, float64, targets_tensor

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Per-sample figures of one model.

    Parameters
    ----------
    losses : ndarray, shape (n,)
        The training loss of each row, without the penalty.
    margins : ndarray, shape (n,)
        The margin of each row's own label; for a regression the prediction (the first output).
    """

    losses: Array
    margins: Array

    def of_rows(self, rows: NDArray[np.int64]) -> Measured:
        """Return those of some rows."""
        return Measured(self.losses[rows], self.margins[rows])


def measure(
    model: nn.Module, spec: losses.LossSpec, inputs: NDArray[Any], targets: NDArray[Any]
) -> Measured:
    """Evaluate a model, in float64 and evaluation mode, on samples."""
    network = Network(model)
    theta = torch.from_numpy(network.theta)
    loss_parts, margin_parts = [], []
    with torch.no_grad():
        for start in range(0, len(inputs), CHUNK):
            outputs = network.outputs(theta, float64(inputs[start : start + CHUNK]))
            labels = targets_tensor(spec, targets[start : start + CHUNK])
            loss_parts.append(losses.sample_losses(spec, outputs, labels))
            margin_parts.append(_own_margins(spec, outputs, labels))
    return Measured(torch.cat(loss_parts).numpy(), torch.cat(margin_parts).numpy())


def _own_margins(
    spec: losses.LossSpec, outputs: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    if spec.kind == "mse":
        return outputs[:, 0]
    if outputs.shape[1] > 1 and spec.kind == "bce_with_logits":
        # Several yes/no outputs have no one class; the mean of their own margins stands for it.
        return (outputs * (2 * targets.reshape(outputs.shape) - 1)).mean(1)
    return losses.margins(spec, outputs, targets.reshape(-1).long())
