"""Exact removal from a scikit-learn estimator: its own `fit` again, without the samples.

An estimator's settings, its random_state among them, are the recipe of its training, if nothing
else went into it: no sample weights, no earlier fit, no generator that has moved on.

Promise: that is not taken on trust. The same settings are first fitted on all of the recorded data,
and unless this gives the weights of the given estimator to the bit, the case is refused.
"""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.curvature.problem import Problem, Rows
from traceprop.curvature.sklearn_models import weights_of
from traceprop.errors import UnlearnError
from traceprop.unlearning.methods.outcome import Outcome
from traceprop.unlearning.request.given import GivenModel

if TYPE_CHECKING:
    from traceprop.unlearning.request.case import Case


def refusal(case: Case) -> str | None:
    """Return why fitting again isn't known to be the same training, or None if it is."""
    if case.given.read is None:
        return "the run's recipe wasn't given (recipe=), and the model is no scikit-learn estimator"
    if not np.array_equal(case.problem.samples, np.arange(case.problem.n)):
        return "the run trained on a part of its data, or in another order"
    try:
        again = _fitted(case.given, case.problem, np.arange(case.problem.n))
    except ValueError as error:
        return f"its own fit refuses the recorded data ({error})"
    own, found = weights_of(case.given.read.estimator), weights_of(again)
    if all(np.array_equal(own[name], found[name]) for name in own):
        return None
    return (
        "its own fit on the recorded data doesn't give its weights to the bit (random_state=None, "
        "sample weights, an earlier fit, other versions or inputs in another precision)"
    )


def remove(case: Case) -> Outcome:
    """Fit again.

    Raises
    ------
    UnlearnError
        The fit refuses the data without the samples, or its weights aren't finite.
    """
    read = case.given.read
    assert read is not None
    try:
        last = _fitted(case.given, case.goal, case.kept)
    except ValueError as error:
        raise UnlearnError(
            f"{type(read.estimator).__name__} can't be fitted without the rows: {error}"
        ) from error
    if not all(np.isfinite(each).all() for each in weights_of(last).values()):
        raise UnlearnError("the fit diverged without the rows: weights aren't finite")
    seed = getattr(last, "random_state", None)
    return Outcome(
        GivenModel.of(_in_place_of(case.start.model, last)),
        "exact",
        bound=None,
        figures={},
        limits=(
            "That the estimator's settings are its recipe was tried on the data with the rows, "
            "under the software and threads of this process.",
        ),
        compared_with=(
            "what the estimator's own fit, with its settings, gives on the data that stay"
        ),
        recipe={
            "name": f"{type(last).__module__}.{type(last).__qualname__}.fit",
            "sha256": None,
            "seed": int(seed) if isinstance(seed, int | np.integer) else None,
            "threads": None,
            "deterministic": True,
        },
    )


def _fitted(given: GivenModel, problem: Problem, rows: Rows) -> Any:
    """Return the estimator, or the last step of a pipeline, fitted on rows of a problem."""
    from sklearn.base import clone
    from sklearn.exceptions import ConvergenceWarning

    read = given.read
    assert read is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the training itself had it, or not
        return clone(read.estimator).fit(
            np.array(problem.inputs[rows]), _labels(problem.targets[rows], read.classes)
        )


def _labels(targets: NDArray[Any], classes: NDArray[Any] | None) -> NDArray[Any]:
    return targets if classes is None else classes[targets.astype(np.int64)]


def _in_place_of(model: Any, last: Any) -> Any:
    """Return a copy of an estimator or pipeline that has another last step."""
    if not hasattr(model, "steps"):
        names = getattr(model, "feature_names_in_", None)
        if names is not None:  # it was fitted on a table, and answers for one
            last.feature_names_in_ = names
        return last
    new = copy.deepcopy(model)
    new.steps[-1] = (new.steps[-1][0], last)
    return new
