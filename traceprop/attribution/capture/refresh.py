"""Gradients of every stored sample at the weights that training ended with, in one pass.

Promise: the model is the one that the store was recorded from and the data are those that it was
trained on, or nothing is written; no more than a chunk of rows is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from traceprop.attribution.capture.gradients import PerSample, project_gradients
from traceprop.attribution.capture.loss_graph import spec_of
from traceprop.attribution.projection import Floats
from traceprop.curvature.losses import LossSpec
from traceprop.errors import CaptureError
from traceprop.interop.torch import SampleDataset

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore

_CHUNK = 1024


class RefreshedRows:
    """A store's rows, computed again when they are asked for.

    Parameters
    ----------
    store : GradientStore
        Holds a run.
    model : torch.nn.Module
        As training ended.
    data : SampleDataset, or pair of array_like, or None
        The training inputs and labels; None for those that the store recorded.
    loss : LossSpec, torch loss object or callable, or None
        The loss by name, or (outputs, targets) -> one value a sample; None for the recorded one.

    Raises
    ------
    StoreError
        The model is another.
    CaptureError
        The data are others, or the loss isn't known.
    """

    checkpoint = None

    def __init__(
        self, store: GradientStore, model: nn.Module, data: Any = None, loss: Any = None
    ) -> None:
        store.check_model(model)
        self.projector = store.projector
        self.sample_ids: NDArray[np.int64] = np.array(store.sample_ids)
        self.width = self.projector.width
        self._model = model
        self._inputs, self._targets = _training_data(store, data)
        self._loss = _per_sample_loss(store, loss)

    def blocks(self) -> Iterator[Floats]:
        """Yield the rows in the order of `sample_ids`."""
        for start in range(0, len(self.sample_ids), _CHUNK):
            ids = self.sample_ids[start : start + _CHUNK]
            inputs, targets = self._inputs[ids], self._targets[ids]
            yield project_gradients(self._model, inputs, targets, self._loss, self.projector)


def _training_data(store: GradientStore, data: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return inputs and labels by sample, held against what the store recorded of them."""
    record = store.record
    assert record is not None
    if data is None:
        inputs, targets = record.inputs, record.targets
    elif isinstance(data, SampleDataset):
        if data.targets is None:
            raise CaptureError("data= has no labels; give tp.torch.dataset(X, y)")
        inputs, targets = data.inputs.numpy(), data.targets.numpy()
    elif isinstance(data, list | tuple) and len(data) == 2:
        inputs, targets = (np.asarray(torch.as_tensor(part).detach().cpu()) for part in data)
    else:
        raise CaptureError(
            f"data= is a {type(data).__name__}; give tp.torch.dataset(X, y), or (inputs, targets)"
        )
    for name, given, recorded in (
        ("inputs", inputs, record.inputs),
        ("labels", targets, record.targets),
    ):
        if not recorded[:1].size and not given[:1].size:
            raise CaptureError(f"the store recorded no {name}; give data=(inputs, targets)")
        if len(given) != len(record.inputs) or (
            recorded[:1].size and not np.array_equal(given, recorded)
        ):
            raise CaptureError(
                f"data= holds other {name} than the store recorded; give what the model was "
                f"trained on, row i being sample i, or leave data= out"
            )
    return np.asarray(inputs), np.asarray(targets)


def _per_sample_loss(store: GradientStore, loss: Any) -> LossSpec | PerSample:
    if loss is None:
        record = store.record
        if record is None or record.loss is None:
            raise CaptureError("the store doesn't know the loss; give loss=")
        return record.loss
    if isinstance(loss, LossSpec):
        return loss
    if isinstance(loss, nn.Module):
        spec = spec_of(loss)
        if spec is not None:
            return spec
        if getattr(loss, "reduction", None) != "none":
            raise CaptureError(
                f"loss= {loss!r} reduces a batch to one value; give it with reduction='none'"
            )
    if not callable(loss):
        raise CaptureError(f"loss= is a {type(loss).__name__}; give a loss, or leave it out")
    function: PerSample = loss
    return function
