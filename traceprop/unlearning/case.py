"""What is to be removed from what: the model, its training problem, and the rows on either side.

Promise: a `Case` is complete and consistent. Everything that makes a removal impossible whatever
the method is refused here, by name, before any number is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traceprop.attribution.estimators.problem import plain_values, problem_of
from traceprop.curvature.problem import Problem, Rows
from traceprop.errors import DataError, UnlearnError

if TYPE_CHECKING:
    from torch import nn

    from traceprop.attribution.store.forget import ForgetSet
    from traceprop.attribution.store.gradient_store import GradientStore


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One removal, ready to be done.

    Parameters
    ----------
    model : torch.nn.Module
        The model as training ended; never changed.
    problem : Problem
        Its training problem, a row per sample.
    store : GradientStore
        The store that recorded the training.
    forget, retain : ndarray of int64
        Rows of the problem that go and that stay.
    """

    model: nn.Module
    problem: Problem
    store: GradientStore
    forget: Rows
    retain: Rows


def case_of(
    model: nn.Module, forget_set: ForgetSet, data: tuple[ArrayLike, ArrayLike] | None
) -> Case:
    """Check a removal and put it together.

    Parameters
    ----------
    model : torch.nn.Module
        The model as training ended.
    forget_set : ForgetSet
        The samples to remove.
    data : tuple of array-like, optional
        Training inputs and targets, row i being sample i, in place of the recorded ones.

    Raises
    ------
    UnlearnError
        The forget set is empty, names samples that weren't trained on, is all of the training
        data, or holds all samples of a class.
    StoreError
        The store is of another model, or doesn't know the loss.
    DataError
        `data` doesn't match the recorded run.
    """
    store = forget_set.store
    if len(forget_set) == 0:
        raise UnlearnError(
            "the forget set is empty, so there is nothing to remove; name rows with "
            "store.samples_from_source(source, rows=[...])"
        )
    problem = problem_of(model, store, None if data is None else _checked(store, data))
    wanted = np.unique(np.asarray(forget_set.samples, dtype=np.int64))
    unknown = np.setdiff1d(wanted, problem.samples)
    if len(unknown):
        raise UnlearnError(
            f"sample {unknown[0]} was never trained on ({len(unknown)} such samples of "
            f"{len(wanted)}); take the forget set from this store's samples_from_source"
        )
    goes = np.isin(problem.samples, wanted)
    forget, retain = np.flatnonzero(goes), np.flatnonzero(~goes)
    if len(retain) == 0:
        raise UnlearnError(
            f"the forget set holds all {problem.n} training samples, so nothing is left to train "
            f"on; delete the model instead"
        )
    _check_classes(problem, forget, retain)
    return Case(model, problem, store, forget, retain)


def _checked(
    store: GradientStore, data: tuple[ArrayLike, ArrayLike]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return data given in place of the record's; it must be as long and as wide."""
    inputs, targets = (plain_values(part) for part in data)
    record = store.record
    if record is None:
        return inputs, targets
    if inputs.shape != record.inputs.shape or len(targets) != len(record.targets):
        raise DataError(
            f"data= has inputs of shape {inputs.shape} and {len(targets)} targets, the recorded "
            f"training {record.inputs.shape} and {len(record.targets)}; give all samples, in the "
            f"order in which they were trained on"
        )
    if not (np.isfinite(inputs).all() and np.isfinite(targets).all()):
        raise DataError("data= holds NaN or infinite values; fill them as for the training")
    return inputs, targets


def _check_classes(problem: Problem, forget: Rows, retain: Rows) -> None:
    if problem.spec.kind == "mse":
        return
    gone = np.setdiff1d(problem.targets[forget], problem.targets[retain])
    if len(gone):
        raise UnlearnError(
            f"the forget set holds all samples of class {gone[0]:g}, so the remaining data can't "
            f"teach it; train a new model without this class"
        )
