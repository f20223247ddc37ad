"""Per-sample gradients from one ordinary backward pass over a batch.

A layer's rule makes the per-sample gradients from the factors that its hooks kept. Promises: the
same numbers as differentiating sample by sample; shared parameters are summed, frozen ones left
out; and `check_sum` finds what hooks can't see, since the samples' gradients must add up to what
autograd itself gave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from traceprop.attribution.capture.recorder import Call, Recorder, Variant, blocks_of, layers_of
from traceprop.attribution.capture.shares import Share
from traceprop.attribution.projection import Floats, Projector, Sketch
from traceprop.curvature.losses import LossSpec, sample_losses
from traceprop.errors import CaptureError

PerSample = Callable[[Tensor, Tensor], Tensor]
"""(outputs, targets) -> one value a sample."""

_CHUNK = 128
# What rounding does to a sum, relative to the sizes of the summands, by what they were computed in.
_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-4}
_COARSE_ROUNDING = 3e-2  # half precision, and float32 on an accelerator, which may compute in TF32


def project_calls(calls: Iterable[Call], sketch: Sketch, n: int) -> None:
    """Add the per-sample gradients of recorded calls to a batch's rows.

    Parameters
    ----------
    calls : iterable of Call
        What a backward pass brought.
    sketch : Sketch
        The rows of n samples.
    n : int
        The batch size.

    Raises
    ------
    CaptureError
        A layer ran on something else than n samples in the first dimension.
    """
    for call, share in _shares(calls, n):
        share.add_to(sketch, call.layer.blocks[share.parameter])


def check_sum(calls: Sequence[Call], n: int, gradients: Sequence[Tensor | None]) -> None:
    """Check that the samples' gradients add up to what autograd gave.

    Finds a parameter that is used without its layer being called, and layers that change what
    their rule assumes.

    Parameters
    ----------
    calls : sequence of Call
        What a backward pass brought.
    n : int
        The batch size.
    gradients : sequence of Tensor or None, one a block
        The gradient of the same loss; None where it isn't known or zero.

    Raises
    ------
    CaptureError
        They don't, by more than rounding explains; the message names the parameter's layer.
    """
    totals: dict[int, Tensor] = {}
    bounds: dict[int, float] = {}
    names: dict[int, str] = {}
    tolerance = max((_rounding(call.gradient) for call in calls), default=0.0)
    for call, share in _shares(calls, n):
        i = call.layer.blocks[share.parameter]
        gradient = gradients[i]
        if gradient is None:
            continue
        total, bound = share.total(gradient.shape)
        totals[i] = totals[i] + total if i in totals else total
        bounds[i] = bounds.get(i, 0.0) + bound
        names[i] = f"{call.layer.name}.{share.parameter}"
    for i, gradient in enumerate(gradients):
        if gradient is None:
            continue
        gradient = gradient.to_dense() if gradient.is_sparse else gradient
        off = gradient - totals[i] if i in totals else gradient
        tolerance = max(tolerance, _rounding(gradient))
        if float(off.norm()) > tolerance * max(float(gradient.norm()), bounds.get(i, 0.0)):
            raise CaptureError(
                f"the samples' gradients of {names.get(i, f'parameter {i}')} don't add up to the "
                f"batch's: it is used somewhere else than in its layer's forward. Call the layer "
                f"itself, freeze it with requires_grad_(False), or use variant='last-layer'"
            )


def _rounding(gradient: Tensor | None) -> float:
    if gradient is None or gradient.device.type != "cpu":
        return _COARSE_ROUNDING
    return _ROUNDING.get(gradient.dtype, _COARSE_ROUNDING)


def _shares(calls: Iterable[Call], n: int) -> Iterator[tuple[Call, Share]]:
    with torch.no_grad():
        for call in calls:
            inputs, gradient = call.inputs, call.gradient
            assert gradient is not None
            if gradient.shape[:1] != (n,) or inputs.shape[:1] != (n,):
                raise CaptureError(
                    f"{call.layer.name} ran on a tensor of shape {tuple(inputs.shape)} in a batch "
                    f"of {n} samples; let the first dimension of every layer's input be the "
                    f"samples', in their order"
                )
            if gradient.dtype in (torch.float16, torch.bfloat16):
                gradient = gradient.float()
            if inputs.is_floating_point():
                inputs = inputs.to(gradient.dtype)
            for share in call.layer.rule(call.part, inputs, gradient, call.layer.blocks):
                yield call, share


def flat_gradients(
    model: nn.Module,
    inputs: Any,
    targets: Any,
    loss: LossSpec | PerSample,
    *,
    variant: Variant = "all-layers",
) -> NDArray[Any]:
    """Return the gradient of a function of each sample by the model's parameters.

    Parameters
    ----------
    model : torch.nn.Module
        The model; it is run in evaluation mode, and its `.grad`s stay as they are.
    inputs : Tensor or array_like, shape (n, ...)
        What the model is called with.
    targets : Tensor or array_like, shape (n, ...)
        Handed to `loss`.
    loss : LossSpec or callable
        A loss by name, or a function of (outputs, targets) that returns one value a sample, in
        which no sample's value depends on another sample.
    variant : {"all-layers", "last-layer"}
        Which parameters.

    Returns
    -------
    ndarray, shape (n, d)
        In the model's precision; parameters in the order of `blocks_of(model, variant)`.

    Raises
    ------
    CaptureError
        A layer has no rule, or `loss` doesn't return one value a sample.

    Examples
    --------
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> flat_gradients(model, [[1.0, 2.0]], [0.0], lambda outputs, targets: outputs[:, 0])
    array([[1., 2.]], dtype=float32)
    """
    blocks = blocks_of(model, variant)
    exact = Projector(blocks, k=sum(block.size for block in blocks))
    dtype = np.float64 if _dtype(model) == torch.float64 else np.float32
    return _gradients(model, inputs, targets, loss, exact, dtype)


def project_gradients(
    model: nn.Module, inputs: Any, targets: Any, loss: LossSpec | PerSample, projector: Projector
) -> Floats:
    """Return what `projector.project(flat_gradients(...))` does, without forming the gradients.

    Parameters
    ----------
    model, inputs, targets, loss
        As for `flat_gradients`.
    projector : Projector
        A store's map; its blocks say which parameters.

    Returns
    -------
    ndarray of float32, shape (n, width)
    """
    return _gradients(model, inputs, targets, loss, projector, np.float32)


def _gradients(
    model: nn.Module,
    inputs: Any,
    targets: Any,
    loss: LossSpec | PerSample,
    projector: Projector,
    dtype: type[np.floating[Any]],
) -> NDArray[Any]:
    per_sample = partial(sample_losses, loss) if isinstance(loss, LossSpec) else loss
    layers = layers_of(model, projector.blocks)
    parameters = dict(model.named_parameters())
    wanted = [parameters[block.name] for block in projector.blocks]
    inputs, targets = _as_plain(inputs), _as_plain(targets)
    if inputs.is_floating_point():
        inputs = inputs.to(_dtype(model))
    device = wanted[0].device
    recorder = Recorder(layers)
    parts = []
    with _evaluating(model), torch.enable_grad(), recorder.recording() as calls:
        recorder.install()
        try:
            for start in range(0, len(inputs), _CHUNK):
                batch = inputs[start : start + _CHUNK].to(device)
                values = per_sample(model(batch), targets[start : start + _CHUNK].to(device))
                if values.shape != (len(batch),):
                    raise CaptureError(
                        f"the function returned shape {tuple(values.shape)} for {len(batch)} "
                        f"samples; let it return one value a sample"
                    )
                totals = torch.autograd.grad(values.sum(), wanted, allow_unused=True)
                check_sum(calls, len(batch), totals)
                sketch = projector.sketch(len(batch), dtype)
                project_calls(calls, sketch, len(batch))
                parts.append(sketch.rows())
                calls.clear()
        finally:
            recorder.remove()
    return np.concatenate(parts) if parts else np.zeros((0, projector.width), dtype)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _as_plain(value: Any) -> Tensor:
    return torch.as_tensor(value).detach().as_subclass(Tensor)


def _dtype(model: nn.Module) -> torch.dtype:
    return next(p.dtype for p in model.parameters() if p.requires_grad)
