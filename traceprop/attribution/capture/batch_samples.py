"""Whose gradients these are: the samples of a batch, carried to the model or named by the caller.

Promise: never a guess. Ids that were lost, contradict each other or are missing are an error that
says how to give them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from traceprop.attribution.capture.run_data import Ids
from traceprop.errors import CaptureError
from traceprop.interop.torch import SampleDataset, SampleTensor
from traceprop.interop.torch.sample_tensor import take_samples

_TOO_MANY = 1 << 31  # more rows than that aren't trained on: such a number is a key, not a row
_WAY_OUT = "give ctx.backward(loss, samples=...) the row of the training data of each sample"


@dataclass(frozen=True, slots=True, eq=False)
class BatchSamples:
    """The samples of a batch, and the data set that they count in.

    Parameters
    ----------
    ids : ndarray of int64, shape (n,)
        One a sample, in the batch's order.
    owner : SampleDataset, str or None
        The data set; its key where the object isn't in this process, None where it isn't known.
    """

    ids: Ids
    owner: SampleDataset | str | None

    @property
    def key(self) -> str | None:
        """The data set's key."""
        return self.owner.key if isinstance(self.owner, SampleDataset) else self.owner

    def is_same(self, other: BatchSamples) -> bool:
        """Tell whether both are the same samples of the same data set."""
        return self.key == other.key and np.array_equal(self.ids, other.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Forward:
    """One run of a model.

    Parameters
    ----------
    batches : tuple of BatchSamples or None
        What came to the door with ids, an entry a tensor; None for one that had lost them.
    inputs : Tensor or None
        The model's input, where it is one tensor.
    """

    batches: tuple[BatchSamples | None, ...]
    inputs: Tensor | None


def at_the_door(args: Any, kwargs: Any) -> tuple[Any, Any, Forward]:
    """Take the ids off a model's arguments; what is returned has plain tensors."""
    (args, kwargs), found = take_samples((args, kwargs))
    single = len(args) == 1 and not kwargs and isinstance(args[0], Tensor)
    return args, kwargs, Forward(tuple(map(_of_tensor, found)), args[0] if single else None)


def given_samples(samples: Any) -> BatchSamples | None:
    """Return the samples that a caller named; None for None.

    Raises
    ------
    CaptureError
        They aren't whole numbers from 0 up in one dimension.
    """
    if samples is None:
        return None
    if isinstance(samples, SampleTensor):
        batch = _of_tensor(samples)
        if batch is None:
            raise CaptureError(f"the tensor in samples= lost its ids in a write; {_WAY_OUT}")
        return batch
    array = samples.numpy(force=True) if isinstance(samples, Tensor) else np.asarray(samples)
    is_list = array.ndim == 1 and array.dtype.kind in "iu" and len(array) > 0
    if not is_list or array.min() < 0 or array.max() >= _TOO_MANY:
        raise CaptureError(
            f"samples= of shape {array.shape} and type {array.dtype} isn't a list of rows of the "
            f"training data; give one whole number from 0 up for each sample of the batch"
        )
    return BatchSamples(array.astype(np.int64), None)


def carried_samples(forwards: Iterable[Forward]) -> BatchSamples | None:
    """Return the samples that came to the model with the batch; None where that is unknown.

    Raises
    ------
    CaptureError
        The forward passes were of different samples.
    """
    batches = [batch for forward in forwards for batch in (forward.batches or (None,))]
    known = [batch for batch in batches if batch is not None]
    if any(not batch.is_same(known[0]) for batch in known[1:]):
        raise CaptureError(
            "one loss was computed from several batches of different samples, so that no gradient "
            "belongs to one sample; call ctx.backward for each batch by itself"
        )
    return known[0] if known and len(known) == len(batches) else None


def samples_of(forwards: Iterable[object], given: BatchSamples | None) -> BatchSamples:
    """Return the samples behind a backward pass.

    Parameters
    ----------
    forwards : iterable of object
        The runs of the model that it went through; something else than a `Forward` for layers
        that ran outside of one.
    given : BatchSamples or None
        What the caller named.

    Raises
    ------
    CaptureError
        Neither names them, or they differ.
    """
    runs = list(forwards)
    inside = [run for run in runs if isinstance(run, Forward)]
    carried = carried_samples(inside) if len(inside) == len(runs) else None
    if carried is not None and given is not None and not np.array_equal(carried.ids, given.ids):
        raise CaptureError(
            "samples= names other samples than the batch itself carries; leave samples= out"
        )
    if carried is not None:
        return carried
    if given is not None:
        return given
    if len(inside) < len(runs):
        reason = "a part of the model was called by itself"
    elif any(run.batches for run in inside):
        reason = "its rows were rewritten in place"
    else:
        reason = "it didn't come from tp.torch.dataset, or an operation mixed its rows"
    raise CaptureError(f"the samples of this batch are unknown: {reason}; {_WAY_OUT}")


def tensors_in(output: Any) -> Iterator[Tensor]:
    """Yield the tensors that a model returned, which may be nested in lists, tuples and dicts."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, list | tuple):
        for part in output:
            yield from tensors_in(part)
    elif isinstance(output, dict):
        for part in output.values():
            yield from tensors_in(part)


def _of_tensor(tensor: SampleTensor) -> BatchSamples | None:
    ids = tensor.sample_ids
    return None if ids is None else BatchSamples(ids.reshape(-1), tensor.owner)
