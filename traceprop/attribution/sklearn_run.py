"""A fitted scikit-learn model put on record as if its training had been watched.

scikit-learn's own solvers run no loop to watch, but what they minimise is known, and the gradients
of the samples at the weights they ended with can be computed afterwards. Promise: the estimator
isn't changed, and the store that comes back answers for it as for a torch model.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from traceprop.attribution.capture.gradients import project_gradients
from traceprop.attribution.capture.recorder import blocks_of
from traceprop.attribution.estimators.problem import plain_values
from traceprop.attribution.models import plain_inputs
from traceprop.attribution.projection import Projector
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.attribution.store.run.record import TrainingRecord
from traceprop.curvature.architecture import describe
from traceprop.curvature.digest import model_digest
from traceprop.curvature.sklearn_models import minimised_by, read_estimator
from traceprop.errors import DataError
from traceprop.lineage import ProvenanceTensor

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def from_sklearn(
    estimator: Any,
    X: ArrayLike | ProvenanceTensor,
    y: ArrayLike | ProvenanceTensor,
    store: GradientStore | str | os.PathLike[str],
) -> GradientStore:
    """Record a fitted scikit-learn model in a store.

    Parameters
    ----------
    estimator : estimator
        A fitted `LogisticRegression`, `LinearRegression`, `Ridge`,
        `SGDClassifier(loss="log_loss")` or `MLPClassifier`, or a `Pipeline` that ends in one.
    X : array-like or ProvenanceTensor, shape (n, d)
        What `fit` was given. Row i is sample i; of a pipeline, X is what goes into its first step.
    y : array-like or ProvenanceTensor, shape (n,)
        The labels or values that `fit` was given.
    store : GradientStore or path-like
        Where to record it: a store without a run, or the folder of a new one.

    Returns
    -------
    GradientStore
        The store. `compute_influence_scores(estimator, store, x)` and
        `approximate_unlearn(estimator, forget_set)` take the estimator as it is.

    Raises
    ------
    ModelError
        The estimator isn't fitted, or minimises something that has no such form here.
    DataError
        X and y are out of step, not finite, or not what the estimator takes.
    StoreError
        The store holds a run already, or can't be written.

    Notes
    -----
    Sample weights that `fit` was given aren't kept by the estimator; don't use them. Whether the
    estimator is at its minimum is checked when scores are computed, and their `quality` says so:
    scikit-learn's default tolerances are loose.

    Examples
    --------
    >>> clf = LogisticRegression(C=10, tol=1e-8).fit(X, y)  # doctest: +SKIP
    >>> store = tp.attribution.from_sklearn(clf, X, y, store="./grad/")  # doctest: +SKIP
    >>> compute_influence_scores(clf, store, X[0], top_k=5)  # doctest: +SKIP
    """
    model = read_estimator(estimator)
    inputs = plain_inputs(estimator, X).astype(np.float64)
    targets = model.targets(plain_labels(y))
    if len(inputs) != len(targets):
        raise DataError(f"X has {len(inputs)} rows and y {len(targets)}; give one label a row")
    if not (np.isfinite(inputs).all() and np.isfinite(targets).all()):
        raise DataError("X or y holds a NaN or an infinity; fill them before the fit")
    minimised = minimised_by(model, len(inputs))
    if not isinstance(store, GradientStore):
        store = GradientStore(path=store)
    projector = Projector(blocks_of(model.module), store.k, store.seed)
    gradients = project_gradients(model.module, inputs, targets, minimised.loss, projector)
    columns = X.columns if isinstance(X, ProvenanceTensor) and model.preparation is None else None
    record = TrainingRecord(
        inputs=inputs,
        targets=targets,
        loss=minimised.loss,
        penalty=minimised.penalty,
        penalty_origin=minimised.penalty_origin,
        optimizer={"name": type(model.estimator).__name__, **_settings(model.estimator)},
        initial_weights={},
        final_weights={name: p.numpy().copy() for name, p in model.module.state_dict().items()},
        model_digest=model_digest(model.module),
        architecture=describe(model.module),
        epochs=None,
        batch_size=minimised.batch_size,
        input_columns=columns,
        seed=None,
        unpenalised=minimised.unpenalised,
    )
    tracked = tuple(t for t in (X, y) if isinstance(t, ProvenanceTensor))
    store.commit(gradients, np.arange(len(inputs)), projector, record, tracked or None)
    return store


def plain_labels(y: ArrayLike | ProvenanceTensor) -> Any:
    """Return labels as a plain array, which may hold text."""
    return np.asarray(y) if not isinstance(y, ProvenanceTensor) else plain_values(y)


def _settings(estimator: Any) -> dict[str, Any]:
    """Return the estimator's settings that have a JSON form."""
    plain = (bool, int, float, str, type(None))
    settings = estimator.get_params(deep=False)
    return {
        key: value
        for key, value in settings.items()
        if isinstance(value, plain) and not (isinstance(value, float) and not np.isfinite(value))
    }
