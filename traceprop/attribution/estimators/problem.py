"""The training problem behind a store, put together from its record: what all estimators solve.

Promise: row j of the problem is row j of `store.gradients` (sample `samples[j]`), the model is
the recorded one (by digest), and what the record doesn't know is an error that names the argument
of `TrainingContext` which supplies it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from traceprop.curvature.heads import LinearHead, float64_array, linear_head
from traceprop.curvature.problem import Problem, Rows
from traceprop.errors import DataError, StoreError
from traceprop.lineage import ProvenanceTensor, values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from traceprop.attribution.store.gradient_store import GradientStore


def problem_of(
    model: nn.Module,
    store: GradientStore,
    data: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> Problem:
    """Put together the problem that a store recorded and a model solves.

    Parameters
    ----------
    model : torch.nn.Module
        The model as training ended.
    store : GradientStore
        A store that holds a run.
    data : tuple of ndarray, optional
        Inputs and targets, row i being sample i, to use in place of the recorded ones.

    Raises
    ------
    StoreError
        The store holds no run, another model's run, or a run whose loss or data are unknown.
    """
    record = store.record
    if record is None:
        raise StoreError(
            f"{store.path} holds no run: give the folder of a store that holds one, or train "
            f"inside `with TrainingContext(model, store)` first"
        )
    store.check_model(model)
    if record.loss is None:
        raise StoreError(
            f"{store.path} doesn't know the loss of its run, which was none of cross-entropy, "
            f"logistic and squared loss as torch computes them: give "
            f"TrainingContext(criterion=...) and record again"
        )
    samples = np.asarray(store.sample_ids)
    inputs, targets = (record.inputs, record.targets) if data is None else data
    missing = [n for n, a in (("inputs", inputs), ("targets", targets)) if not is_kept(a)]
    if missing:
        raise StoreError(
            f"{store.path} doesn't hold the training {' and '.join(missing)}, which the model took "
            f"as several tensors or in changing shapes: give data=(inputs, targets) to "
            f"approximate_unlearn; scores need a model of one input tensor, recorded again"
        )
    return Problem(
        samples,
        _chosen(inputs, samples),
        _chosen(targets, samples),
        record.loss,
        record.penalty,
        record.penalty_origin,
        record.unpenalised,
        record.batch_size,
        *_trained_part(model, record.initial_weights),
        is_whole=not has_lost_samples(store),
    )


def has_lost_samples(store: GradientStore) -> bool:
    """Whether samples that a store's run was trained on were erased since.

    The order of the batches tells, where it is known; else any erasure in the store's folder does.
    """
    record = store.record
    if record is not None and record.order is not None:
        return bool((record.order.samples < 0).any())
    return bool(store.info()["erasures"])


def _trained_part(
    model: nn.Module, initial: Mapping[str, NDArray[Any]]
) -> tuple[LinearHead | None, tuple[str, ...]]:
    """Return the head, unless part of it was frozen, and the names of the trained parameters.

    A parameter was frozen if it ended with the very bits that it began with, while others moved.
    (Whether it requires a gradient says little: a model restored from a store has forgotten.)
    """
    parameters = dict(model.named_parameters())
    moved = tuple(
        name
        for name, p in parameters.items()
        if name not in initial or not np.array_equal(float64_array(p), float64_array(initial[name]))
    )
    if not moved or len(moved) == len(parameters):
        return linear_head(model), tuple(parameters)
    return None, moved


def plain_values(given: ArrayLike | torch.Tensor | ProvenanceTensor) -> NDArray[Any]:
    """Return the numbers of an array, tensor or tracked tensor, without recording an escape.

    Raises
    ------
    DataError
        They aren't numbers.
    """
    raw: Any = given
    if isinstance(given, ProvenanceTensor):
        raw = values(given)
    elif isinstance(given, torch.Tensor):
        raw = given.detach().cpu().numpy()
    try:
        array = np.asarray(raw)
    except ValueError as error:
        raise DataError(f"the data isn't one array of numbers: {error}") from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"the data isn't numeric: it has the dtype {array.dtype}")
    return array


def is_kept(array: NDArray[Any]) -> bool:
    """Tell whether a record's inputs or targets are there; shape `(n, 0)` stands for those not."""
    return array.shape[1:] != (0,)


def _chosen(array: NDArray[Any], samples: Rows) -> NDArray[Any]:
    """Return the samples' rows; without a copy where they are all rows in order."""
    if len(samples) == len(array) and np.array_equal(samples, np.arange(len(array))):
        return array
    return np.asarray(array[samples])
