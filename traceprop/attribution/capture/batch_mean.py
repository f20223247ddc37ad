"""One gradient a batch, the mean over its samples, as the row of each of them.

The cheapest variant, and the one that predicts least. It needs no rule for any layer: the batch's
gradient is what autograd itself gives. Promise: it is taken as it arrives at the parameters, before
accumulation over batches and before clipping.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from traceprop.attribution.capture.recorder import Hook
from traceprop.attribution.projection import Floats, Projector


class BatchGradients:
    """Hooks on parameters; what a backward pass brings while `recording` is collected.

    Parameters
    ----------
    parameters : sequence of Parameter
        Those that are captured, one a block.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = list(parameters)
        self._gradients: dict[int, Tensor] | None = None
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def install(self) -> None:
        """Put a hook on each parameter."""
        for i, parameter in enumerate(self._parameters):
            hook = Hook(partial(self._arrived, i))
            self._handles.append(parameter.register_hook(hook))  # type: ignore[no-untyped-call]

    def remove(self) -> None:
        """Take all hooks off again."""
        while self._handles:
            self._handles.pop().remove()

    @contextmanager
    def recording(self) -> Iterator[dict[int, Tensor]]:
        """Collect the gradients that arrive in the body, by block."""
        gradients: dict[int, Tensor] = {}
        self._gradients = gradients
        try:
            yield gradients
        finally:
            self._gradients = None

    def _arrived(self, i: int, gradient: Tensor) -> None:
        if self._gradients is not None:
            gradient = gradient.detach()
            self._gradients[i] = gradient.to_dense() if gradient.is_sparse else gradient


def project_mean(gradients: dict[int, Tensor], projector: Projector, factor: float) -> Floats:
    """Return the projection (1, width) of `factor` times a batch's gradient."""
    sketch = projector.sketch(1)
    for i, gradient in gradients.items():
        sketch.add(i, gradient.float().numpy(force=True)[None])
    return sketch.rows(factor)
