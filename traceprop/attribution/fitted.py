"""What was computed once for a model and its store, and is used again by later questions.

Promise: it lives as long as both the model and the store do, and is computed anew where the
model's weights, or the store's runs or its samples, have changed.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from traceprop.attribution.estimators import ESTIMATORS, Quality, Scorer
from traceprop.attribution.estimators.kept_fit import KeptFit, keep_fit, read_fit
from traceprop.attribution.estimators.problem import problem_of
from traceprop.attribution.models import module_of, state_of
from traceprop.curvature.digest import model_digest
from traceprop.curvature.ggn import Network
from traceprop.curvature.problem import Problem
from traceprop.errors import AttributionError

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Fitted(Generic[T]):
    """A run, its model as a function of the weights, and what was made of them.

    Parameters
    ----------
    digest : str
        Of the model's weights.
    shards : tuple of Path
        The files of the store's rows.
    problem : Problem
        The run.
    network : Network
        The model.
    what : T
        What was made.
    """

    digest: str
    shards: tuple[Path, ...]
    problem: Problem
    network: Network
    what: T


_FITTED: weakref.WeakKeyDictionary[Any, weakref.WeakKeyDictionary[Any, dict[str, Any]]] = (
    weakref.WeakKeyDictionary()
)


def fitted_to(
    model: Any,
    store: GradientStore,
    name: str,
    make: Callable[[Problem, Network, GradientStore], T],
) -> Fitted[T]:
    """Return what `make` makes of a run, from memory where nothing changed.

    Parameters
    ----------
    model : torch.nn.Module or scikit-learn estimator
        The model as training ended.
    store : GradientStore
        The store that recorded it.
    name : str
        What is made.
    make : callable
        Makes it.

    Raises
    ------
    AttributionError
        The store is none.
    StoreError
        It holds no run, or another model's.
    """
    if not hasattr(store, "check_model"):
        raise AttributionError(
            f"the store is a {type(store).__name__}; open it with GradientStore.open(path), and "
            f"call compute_influence_scores(model, store, test_input)"
        )
    state = state_of(model)
    shards = tuple(shard.path for shard in store.shards()) if store.record is not None else ()
    by_name = _FITTED.setdefault(model, weakref.WeakKeyDictionary()).setdefault(store, {})
    known: Fitted[T] | None = by_name.get(name)
    if known is not None and store.record is not None:
        store.check_model(state)
        same_samples = np.array_equal(known.problem.samples, store.sample_ids)  # none erased
        same_rows = same_samples and known.shards == shards
        if same_rows and known.digest == store.record.model_digest:
            return known
    module = module_of(model)
    problem = problem_of(module, store)
    network = Network(module, problem.trained)
    what = make(problem, network, store)
    made = Fitted(model_digest(module), shards, problem, network, what)
    by_name[name] = made
    return made


def scorer_for(model: Any, store: GradientStore, method: str) -> Fitted[Scorer]:
    """Return the estimator of that name, fitted to the run that the store holds.

    Raises
    ------
    AttributionError
        No estimator is called that; or as `fitted_to`.
    """
    if method not in ESTIMATORS:
        raise AttributionError(
            f"no estimator is called {method!r}; use one of {', '.join(sorted(ESTIMATORS))}"
        )
    return fitted_to(model, store, method, ESTIMATORS[method])


def fit(model: Any, store: GradientStore, method: str = "influence") -> Quality:
    """Fit an estimator and keep what it was fitted to in the store, for other processes.

    Without it a query fits by itself, once a process. What is kept takes a k × k matrix of float64
    (or n × n, for fewer samples than that), and for `trak` a row of float32 a sample. `dot`,
    `tracin`, `loo` and `influence` of a linear model keep nothing. Another run, compaction and
    erasure drop it.

    Parameters
    ----------
    model : torch.nn.Module or scikit-learn estimator
        The model as training ended.
    store : GradientStore
        The store that recorded it; it must be writable.
    method : str
        An estimator, as in `compute_influence_scores`.

    Returns
    -------
    Quality
        What the scores are worth.

    Raises
    ------
    AttributionError
        No estimator is called that, or it can't be fitted.
    StoreError
        The store holds no run, or another model's; it has changed since it was opened, or can't be
        written.

    Examples
    --------
    >>> tp.attribution.fit(model, store, method="ggn").unit  # doctest: +SKIP
    'relative'
    """
    scorer = scorer_for(model, store, method).what
    made: KeptFit | None = getattr(scorer, "fit", None)
    if made is not None and read_fit(store, method) is None:
        keep_fit(store, method, made)
    return scorer.quality
