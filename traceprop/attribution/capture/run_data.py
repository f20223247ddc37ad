"""What a training run has gathered so far: gradients, inputs and labels by sample, and its epochs.

Promises: a sample's row of gradients is made when the sample is first seen; inputs and labels are
those that the model and the loss saw, held by reference while they are the data set's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from traceprop.attribution.capture.checkpoints import Checkpoints
from traceprop.attribution.projection import Floats
from traceprop.attribution.store.run.record import BatchOrder
from traceprop.errors import CaptureError

if TYPE_CHECKING:
    from traceprop.attribution.capture.batch_samples import BatchSamples
    from traceprop.attribution.capture.loss_graph import SampleLoss
    from traceprop.curvature.losses import LossSpec
    from traceprop.interop.torch import SampleDataset

Ids = NDArray[np.int64]


class RunData:
    """Everything that a run's batches brought.

    Parameters
    ----------
    checkpoints : Checkpoints
        Where the rows of projected gradients go.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.epochs = EpochCounter()
        self.owner: SampleDataset | str | None = None
        self.loss: LossSpec | None = None
        self.steps = self.batch_size = 0
        self._first: BatchSamples | None = None
        self._inputs, self._targets = Observed(None), Observed(None)
        self._n_samples = 0
        self._visited = np.zeros(0, bool)
        self._order: list[NDArray[np.int32]] = []

    def add(
        self,
        batch: BatchSamples,
        gradients: Floats | None,
        epoch: int,
        loss: SampleLoss,
        inputs: Tensor | None,
    ) -> None:
        """Add a batch.

        Parameters
        ----------
        batch : BatchSamples
            Its n samples.
        gradients : ndarray, shape (n, width), or None
            Theirs; None in a pass that isn't recorded.
        epoch : int
            Which pass over the data, from 1.
        loss : SampleLoss
            What its loss was, and the labels that it was computed from.
        inputs : Tensor or None
            What the model was called with, where that is one tensor.

        Raises
        ------
        CaptureError
            Another data set, or another loss, than that of the batches before; or a sample came
            again whose rows can't be added.
        """
        n = len(batch.ids)
        if gradients is not None:
            self.checkpoints.check_visits(batch.ids, epoch)
        if self._first is None:
            self._begin(batch)
        elif batch.key != self._first.key:
            raise CaptureError(
                "the batches come from more than one data set, whose samples have the same "
                "numbers; make one tp.torch.dataset of all of them, or a context and store for each"
            )
        self._note_loss(loss.spec, n)
        self._visited = _grown(self._visited, int(batch.ids.max()) + 1, 0)
        again = self._visited[batch.ids]
        self._visited[batch.ids] = True
        inputs = inputs if inputs is not None and len(inputs) == n else None
        self._inputs.put(batch.ids, inputs, again)
        if loss.targets is not None:
            self._targets.put(batch.ids, _by_sample(loss.targets, n), again)
        if gradients is not None:
            self.checkpoints.add(batch.ids, gradients, epoch)
        self._order.append(batch.ids.astype(np.int32))
        self._n_samples = max(self._n_samples, int(batch.ids.max()) + 1)
        self.batch_size = max(self.batch_size, n)
        self.steps += 1

    def observed(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return inputs and labels of all samples, row i being sample i.

        Shape (n, 0) stands for values that no one array holds.
        """
        return self._inputs.result(self._n_samples), self._targets.result(self._n_samples)

    def order(self) -> BatchOrder:
        """Return which samples each batch had, in the order of training."""
        ends = np.cumsum([len(ids) for ids in self._order], dtype=np.int64)
        return BatchOrder(np.concatenate(self._order), ends)

    @property
    def fixed_data(self) -> bool:
        """Whether no sample was seen with another input, or another label, at another visit."""
        return not (self._inputs.varied or self._targets.varied)

    def _begin(self, batch: BatchSamples) -> None:
        self._first, self.owner = batch, batch.owner
        if self.owner is not None and not isinstance(self.owner, str):
            self._inputs = Observed(self.owner.inputs)
            self._targets = Observed(self.owner.targets)
            self._n_samples = len(self.owner)

    def _note_loss(self, spec: LossSpec | None, n: int) -> None:
        """Keep the loss by name while every batch has the same."""
        if self.steps == 0:
            self.loss = spec
        elif spec is None or self.loss is None:
            self.loss = None
        elif spec != self.loss and (n > 1 or spec.kind != self.loss.kind):
            # A sum over one sample is its mean: such a batch says nothing about the reduction.
            raise CaptureError(
                f"the loss changed from {self.loss.kind} ({self.loss.reduction}) to {spec.kind} "
                f"({spec.reduction}) inside one context; record each in a context and store of "
                f"its own"
            )


class Observed:
    """Values seen per sample: inputs, or labels.

    Parameters
    ----------
    reference : Tensor or None
        The data set's own values, shape (n, ...), which need no copy while they are what is seen.

    Attributes
    ----------
    varied : bool
        Whether a sample had other values at another visit, such as augmentation gives it. The
        last ones are kept.
    """

    def __init__(self, reference: Tensor | None) -> None:
        self.varied = False
        self._reference = None if reference is None else _storable(reference)
        self._own: NDArray[Any] | None = None
        self._matched = False
        self._lost = False

    def put(self, ids: Ids, values: Tensor | None, again: NDArray[np.bool_]) -> None:
        """Note what was seen for some samples, some of them again; None where that isn't known."""
        if self._lost:
            return
        if values is None:
            self._lost = True
            return
        values = _storable(values)
        if self._own is None and self._is_reference(ids, values):
            self._matched = True
            return
        own = self._start(values) if self._own is None else self._own
        self._lost = own is None or values.shape[1:] != own.shape[1:]
        if own is not None and not self._lost:
            self._own = _grown(own, int(ids.max()) + 1, 0)
            seen = values.numpy()
            self.varied |= not np.array_equal(self._own[ids[again]], seen[again])
            self._own[ids] = seen

    def result(self, n: int) -> NDArray[Any]:
        """Return the values of samples 0 … n − 1; of shape (n, 0) where they couldn't be kept."""
        if self._own is not None and not self._lost:
            return _grown(self._own, n, 0)[:n]
        if self._reference is not None and not self._lost:
            return self._reference.numpy()
        return np.empty((n, 0), np.float32)

    def _is_reference(self, ids: Ids, values: Tensor) -> bool:
        reference = self._reference
        if reference is None or reference.dtype != values.dtype:
            return False
        return reference.shape[1:] == values.shape[1:] and torch.equal(
            reference[torch.from_numpy(ids)], values
        )

    def _start(self, values: Tensor) -> NDArray[Any] | None:
        """Return an array to keep values in; None where it couldn't hold what was seen before."""
        reference = self._reference
        if reference is not None and reference.shape[1:] == values.shape[1:]:
            return reference.to(values.dtype, copy=True).numpy()
        n = 0 if reference is None else len(reference)
        return None if self._matched else values.new_zeros((n, *values.shape[1:])).numpy()


class EpochCounter:
    """Counts passes over the data from the batches' numbers, or from samples that come again."""

    def __init__(self) -> None:
        self.epochs = 0
        self._last: int | None = None
        self._epoch_of = np.empty(0, np.int64)

    def saw(self, ids: Ids, batch_idx: int | None) -> int:
        """Note a batch, and return its epoch, from 1.

        `batch_idx` is its number in the epoch, where that is known.
        """
        self._epoch_of = _grown(self._epoch_of, int(ids.max()) + 1, 0)
        again = bool((self._epoch_of[ids] == self.epochs).any())
        if batch_idx is not None and self._last is not None and batch_idx != self._last:
            again = batch_idx < self._last
        if self.epochs == 0 or again:
            self.epochs += 1
        self._epoch_of[ids] = self.epochs
        self._last = batch_idx
        return self.epochs


def _by_sample(targets: Tensor, n: int) -> Tensor | None:
    if targets.ndim and targets.shape[0] == n:
        return targets
    return targets.reshape(n, -1) if targets.numel() % n == 0 else None


def _storable(values: Tensor) -> Tensor:
    values = values.detach().cpu()
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _grown(array: NDArray[Any], n: int, fill: int) -> NDArray[Any]:
    """Return the array with at least n rows; doubled, so that growing costs little overall."""
    if n <= len(array):
        return array
    size = max(n, 2 * len(array))
    # Zeros take no memory until they are written to.
    larger = np.zeros((size, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    if fill:
        larger[len(array) :] = fill
    return larger
