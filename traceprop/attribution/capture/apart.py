"""Whether a layer's first dimension really is the samples', where another is as long.

A model may move the samples to another dimension. Where that has another length, it is noticed by
the shape; where it doesn't, rows would be told apart along the wrong dimension, and their sum would
still be right. So the backward pass is run once more with the gradients of all samples but one set
to zero at the model's output: in a layer that keeps samples apart, all other rows are then zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from traceprop.attribution.capture.recorder import Call, Recorder
from traceprop.errors import CaptureError


class OneSample:
    """Lets the gradient of one sample alone pass at the model's output, when it is on."""

    def __init__(self) -> None:
        self._is_on = False
        self._n = 0
        self._whole: list[Tensor] = []  # the gradients that came to the mask

    def watch(self, output: Tensor) -> None:
        """Put the mask on what the model returned; off, it changes nothing."""
        output.register_hook(self._mask)  # type: ignore[no-untyped-call]

    def check(self, loss: Tensor, n: int, recorder: Recorder, inputs: Sequence[Tensor]) -> bool:
        """Check the layers of a loss whose graph is kept.

        Parameters
        ----------
        loss : Tensor
            The scalar loss of n samples.
        n : int
            The batch size.
        recorder : Recorder
            What collects the layers' calls.
        inputs : sequence of Tensor
            Parameters that the loss is differentiated by.

        Returns
        -------
        bool
            Whether it is known now of every layer: not where a sample had no gradient.

        Raises
        ------
        CaptureError
            A layer has the samples elsewhere, or mixes them.
        """
        self._n, self._is_on = n, True
        try:
            with recorder.recording() as calls:
                torch.autograd.grad(loss, list(inputs), retain_graph=True, allow_unused=True)
            # A layer whose output the model returns was told before the mask: its rows are those
            # of the output, which are the samples'.
            before = {whole.data_ptr() for whole in self._whole}
            inner = [c for c in calls if c.gradient is None or c.gradient.data_ptr() not in before]
        finally:
            self._is_on = False
            self._whole.clear()
        known = [_is_apart(call, n) for call in inner]
        return all(known)

    def _mask(self, gradient: Tensor) -> Tensor | None:
        if not self._is_on or gradient.shape[:1] != (self._n,):
            return None
        self._whole.append(gradient)
        masked = torch.zeros_like(gradient)
        masked[0] = gradient[0]
        return masked


def may_be_turned(values: Tensor) -> bool:
    """Tell whether a layer's input has another dimension as long as the first."""
    return values.shape[0] in values.shape[1:]


def _is_apart(call: Call, n: int) -> bool:
    gradient = call.gradient
    if gradient is None or gradient.shape[:1] != (n,) or not may_be_turned(call.inputs):
        return True  # refused elsewhere, or told by its shape
    if bool(gradient[1:].any()):
        raise CaptureError(
            f"{call.layer.name} ran on a tensor of shape {tuple(call.inputs.shape)} whose first "
            f"dimension isn't the samples', or mixes them; let the first dimension of every "
            f"layer's input be the samples', in their order"
        )
    return bool(gradient[0].any())
