"""What is to be removed from what: the model, its training problem, and the rows on either side.

The problem that is solved afterwards is another one where the preparation forgets too: its rows are
prepared as if the removed ones had never been in the sources.

Promise: a `Case` is complete and consistent. Everything that makes a removal impossible whatever
the method is refused here, by name, before any number is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traceprop.attribution.estimators.problem import is_kept, plain_values, problem_of
from traceprop.attribution.models import plain_inputs
from traceprop.attribution.sklearn_run import plain_labels
from traceprop.curvature.problem import Problem, Rows
from traceprop.curvature.sklearn_models import is_estimator
from traceprop.errors import DataError, UnlearnError
from traceprop.unlearning.records.removal_record import removal_of
from traceprop.unlearning.request.given import GivenModel
from traceprop.unlearning.request.prepared import Prepared, Raw, prepared_without

if TYPE_CHECKING:
    from torch import nn

    from traceprop.attribution.store.erasure.forget import ForgetSet
    from traceprop.attribution.store.gradient_store import GradientStore


DataOrigin = Literal["store", "given"]
STORE: DataOrigin = "store"


@dataclass(frozen=True, eq=False)
class Case:
    """One removal, ready to be done.

    Parameters
    ----------
    given : GivenModel
        The model as training ended; never changed.
    start : GivenModel
        The same weights behind the new preparation, where that is part of the model.
    problem : Problem
        Its training problem, a row per sample.
    store : GradientStore
        The store that recorded the training.
    forget, retain : ndarray of int64
        Rows of the problem that go and that stay.
    prepared : Prepared
        What is trained on without the samples.
    data_origin : {"store", "given"}
        Whether the training data are the store's own, or given and not held against anything.
    """

    given: GivenModel
    start: GivenModel
    problem: Problem
    store: GradientStore
    forget: Rows
    retain: Rows
    prepared: Prepared
    data_origin: DataOrigin

    @property
    def module(self) -> nn.Module:
        """The model as a module."""
        return self.given.module

    @cached_property
    def linear(self) -> Problem:
        """The recorded problem as that of a linear model, where it is one behind frozen layers."""
        return self.problem.behind_frozen_layers(self.module)

    @cached_property
    def linear_goal(self) -> Problem:
        """The same of `goal`."""
        same = self.goal is self.problem
        return self.linear if same else self.goal.behind_frozen_layers(self.module)

    @property
    def goal(self) -> Problem:
        """The problem whose rows `kept` are trained on without the samples."""
        return self.prepared.problem

    @property
    def kept(self) -> Rows:
        """Rows of `goal` that stay: all of those that a new preparation gave."""
        return self.retain if self.prepared.problem is self.problem else np.arange(self.goal.n)


def case_of(
    model: Any,
    forget_set: ForgetSet,
    data: tuple[ArrayLike, ArrayLike] | None,
    replay: bool | None = False,
) -> Case:
    """Check a removal and put it together.

    Parameters
    ----------
    model : torch.nn.Module or scikit-learn estimator
        The model as training ended.
    forget_set : ForgetSet
        The samples to remove.
    data : tuple of array-like, optional
        Training inputs and targets, row i being sample i, where the store couldn't keep them.
    replay : bool, optional
        Whether the preparation is done again without the rows; None where that can be.

    Raises
    ------
    UnlearnError
        The forget set is empty, names samples that weren't trained on, is all of the training
        data, or holds all samples of a class; the model is the result of a removal; the
        preparation can't be done again, and was to be.
    StoreError
        The store is of another model, or doesn't know the loss.
    DataError
        `data` doesn't match the recorded run.
    """
    check_kinds(model, forget_set)
    store = forget_set.store
    if len(forget_set) == 0:
        raise UnlearnError(
            "the forget set is empty, so there is nothing to remove; name rows with "
            "store.samples_from_source(source, rows=[...])"
        )
    _check_first_removal(model)
    given = GivenModel.of(model)
    chosen, origin = (None, STORE) if data is None else _checked(store, data, given)
    problem = problem_of(given.module, store, chosen)
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
    _check_classes(problem, problem.targets[forget], problem.targets[retain])
    raw = None if data is None else Raw(data[0], data[1])
    prepared = prepared_without(given, forget_set, problem, forget, raw, replay)
    _check_classes(problem, problem.targets[forget], prepared.problem.targets)
    start = given if prepared.steps is None else given.behind(prepared.steps)
    return Case(given, start, problem, store, forget, retain, prepared, origin)


def check_kinds(model: object, forget_set: object) -> None:
    """Refuse arguments of another kind by name; users swap or shorten them."""
    if not (hasattr(model, "state_dict") or is_estimator(model)):
        raise UnlearnError(
            f"the model is a {type(model).__name__}; call approximate_unlearn(model, forget_set) "
            f"with the torch module or the scikit-learn estimator that was trained"
        )
    if not (hasattr(forget_set, "store") and hasattr(forget_set, "samples")):
        raise UnlearnError(
            f"the forget set is a {type(forget_set).__name__}; make one with "
            f"store.samples_from_source(source, rows=[...])"
        )


def _check_first_removal(model: Any) -> None:
    """Refuse to remove from the result of a removal, whose weights no store recorded."""
    done = removal_of(model)
    if done is not None:
        raise UnlearnError(
            f"this model is itself the result of a removal ({done.n_forget} samples), and no store "
            f"recorded its training; remove all rows at once from the original model: join the "
            f"forget sets with first | second. Samples that were erased from the store meanwhile "
            f"are left out without being named"
        )


def _checked(
    store: GradientStore, data: tuple[ArrayLike, ArrayLike], model: GivenModel
) -> tuple[tuple[NDArray[Any], NDArray[Any]], DataOrigin]:
    """Return the data to use, and where it comes from; what the store holds must be the same.

    Otherwise a removal from other data than the model's would be called exact.
    """
    parts: object = data
    if not isinstance(parts, tuple | list) or len(parts) != 2:
        raise DataError(
            f"data= takes a pair, (inputs, targets), and got {type(parts).__name__}; give all "
            f"samples, in the order in which they were trained on"
        )
    labels = plain_values(data[1]) if model.read is None else model.targets(plain_labels(data[1]))
    given = {"inputs": plain_inputs(model.model, data[0]), "targets": labels}
    record = store.record
    if record is None:  # the problem of such a store is refused by name
        return (given["inputs"], given["targets"]), "given"
    origin: DataOrigin = "store"
    for name, array in given.items():
        recorded: NDArray[Any] = getattr(record, name)
        if array.ndim == 0 or len(array) != len(recorded):
            raise DataError(
                f"data= has {name} of shape {array.shape} for {len(recorded)} recorded samples; "
                f"give all samples, in the order in which they were trained on"
            )
        if not np.isfinite(array).all():
            raise DataError(f"data= has NaN or infinite {name}; fill them as for the training")
        if not is_kept(recorded):
            origin = "given"
        elif array.size == recorded.size and np.array_equal(
            array.reshape(recorded.shape).astype(recorded.dtype), recorded
        ):
            given[name] = recorded
        else:
            raise DataError(
                f"the {name} of data= are not those that {store.path} recorded; leave data= out to "
                f"use the recorded ones"
            )
    return (given["inputs"], given["targets"]), origin


def _check_classes(problem: Problem, gone: NDArray[Any], kept: NDArray[Any]) -> None:
    if problem.spec.kind == "mse":
        return
    lost = np.setdiff1d(gone, kept)
    if len(lost):
        raise UnlearnError(
            f"the forget set holds all samples of class {lost[0]:g}, so the remaining data can't "
            f"teach it; train a new model without this class"
        )
