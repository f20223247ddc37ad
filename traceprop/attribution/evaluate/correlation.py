"""How well scores agree with retraining: the linear datamodeling score, and leave-one-out.

    LDS = mean over inputs of Spearman( Σ_{i∈S} scoreᵢ , f(trained on S) )  over random subsets S

(Ilyas et al. 2022; Park et al. 2023, section 4). Promise: the subsets, and so the trainings, depend
on the seed alone, not on the scores that are judged; the interval is over the inputs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from traceprop.attribution.counterfactual import Refit
from traceprop.attribution.estimators import Queries
from traceprop.attribution.evaluate.retraining import CONVERGED, Recipe, Retraining, retrain
from traceprop.attribution.fitted import fitted_to, scorer_for
from traceprop.attribution.models import plain_inputs
from traceprop.attribution.question import ask_margin, positions_of, sample_numbers
from traceprop.curvature.problem import Problem
from traceprop.errors import AttributionError

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore
    from traceprop.lineage import ProvenanceTensor

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """How well scores agree with retraining.

    Parameters
    ----------
    value : float
        The mean correlation over the inputs.
    low, high : float
        Its 95 % interval, by resampling the inputs.
    per_input : ndarray of float64, shape (q,)
        The correlation of each.
    n_trainings : int
        How many trainings it rests on.
    how : str
        How they were done.
    """

    value: float
    low: float
    high: float
    per_input: Array
    n_trainings: int
    how: str

    def __repr__(self) -> str:
        return (
            f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}] over {len(self.per_input)} "
            f"inputs and {self.n_trainings} trainings ({self.how})"
        )


def lds(
    model: Any,
    store: GradientStore,
    test_inputs: ArrayLike | ProvenanceTensor,
    *,
    method: str = "influence",
    target: int | None = None,
    n_subsets: int = 100,
    share: float = 0.5,
    seeds: int = 1,
    recipe: Recipe | None = None,
    cache: str | os.PathLike[str] | None = None,
    workers: int = 1,
    seed: int = 0,
) -> Agreement:
    """Measure the linear datamodeling score of an estimator.

    Parameters
    ----------
    model : torch.nn.Module or scikit-learn estimator
        The model as training ended.
    store : GradientStore
        The store that recorded it.
    test_inputs : array-like, shape (q, ...)
        Inputs to ask about, prepared as the training inputs were; not from the training data.
    method : str
        The estimator, as in `compute_influence_scores`; or `"predict_without"`, which is asked
        for each subset's complement and adds nothing up.
    target : int, optional
        The class whose margin is f; the decided one if not given.
    n_subsets : int
        How many random subsets to train on.
    share : float
        What share of the samples a subset has.
    seeds : int
        Trainings per subset, whose margins are averaged.
    recipe : callable, optional
        `recipe(inputs, targets, seed)` trains a new model and returns it. Not needed for a linear
        model with a penalty, which is trained to its minimum.
    cache : path-like, optional
        Folder where trainings are kept: a second run, or one after an interruption, uses them.
    workers : int
        Processes that train. The recipe must then be a function of a module.
    seed : int
        Of the subsets.

    Raises
    ------
    AttributionError
        An unknown method, a share that leaves no subset, fewer than three subsets, a network
        without a recipe, or one that can't be told apart from others while `cache` is given.

    Examples
    --------
    >>> tp.attribution.evaluate.lds(model, store, X_test, n_subsets=500)  # doctest: +SKIP
    0.9752 [0.9741, 0.9764] over 500 inputs and 500 trainings (to the minimum, 1e-08 in the weights)
    """
    scored = _scored(model, store, test_inputs, method, target)
    how = scored.how(recipe)
    problem = how.problem
    size = round(share * problem.n)
    if not 0 < size < problem.n:
        raise AttributionError(
            f"share is {share}: of {problem.n} samples that is {size}; give one between 0 and 1"
        )
    if n_subsets < 3:
        raise AttributionError(f"{n_subsets} subsets make no correlation; give three or more")
    draw = np.random.default_rng(seed)
    subsets = [np.sort(draw.permutation(problem.n)[:size]) for _ in range(n_subsets)]
    truth = retrain(how, subsets, range(seeds), folder=_folder(cache), workers=workers)
    held = np.zeros((n_subsets, problem.n))
    for row, subset in zip(held, subsets, strict=True):
        row[subset] = 1.0
    return _agreement(scored.sums(held), truth, n_subsets * seeds, recipe, seed)


def leave_one_out(
    model: Any,
    store: GradientStore,
    test_inputs: ArrayLike | ProvenanceTensor,
    *,
    method: str = "influence",
    target: int | None = None,
    samples: Iterable[int] | None = None,
    seeds: int = 1,
    recipe: Recipe | None = None,
    cache: str | os.PathLike[str] | None = None,
    workers: int = 1,
) -> Agreement:
    """Correlate scores with f(trained with the sample) − f(trained without).

    Parameters
    ----------
    model, store, test_inputs, method, target, seeds, recipe, cache, workers
        As in `lds`. For a network one row's effect is below the noise between seeds: take many.
    samples : iterable of int, optional
        Which samples to leave out; 100 at equal distances if not given.

    Raises
    ------
    AttributionError
        As in `lds`, or fewer than three samples.
    """
    scored = _scored(model, store, test_inputs, method, target)
    how = scored.how(recipe)
    n = how.problem.n
    chosen = np.unique(
        np.linspace(0, n - 1, min(n, 100)).astype(np.int64)
        if samples is None
        else positions_of(how.problem, sample_numbers(samples))
    )
    if len(chosen) < 3:
        raise AttributionError(f"{len(chosen)} samples make no correlation; give three or more")
    everything = np.arange(n)
    subsets = [np.delete(everything, i) for i in chosen]
    # f with all samples is the same for each, and a constant changes no correlation.
    without = retrain(how, subsets, range(seeds), folder=_folder(cache), workers=workers)
    held = np.ones((len(chosen), n))
    held[np.arange(len(chosen)), chosen] = 0.0
    return _agreement(scored.sums(held), without, len(chosen) * seeds, recipe, 0)


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """An estimator's answers to the inputs: `sums` predicts f for rows of weights of samples."""

    problem: Problem
    theta: Array
    queries: Queries
    n_outputs: int
    sums: Callable[[Array], Array]

    def how(self, recipe: Recipe | None) -> Retraining:
        asked = self.queries
        return Retraining(
            self.problem, self.theta, asked.inputs, asked.classes, self.n_outputs, recipe
        )


def _scored(
    model: Any, store: GradientStore, test_inputs: Any, method: str, target: Any
) -> _Scored:
    inputs = plain_inputs(model, test_inputs)
    if method == "predict_without":
        refit = fitted_to(model, store, method, Refit)
        problem, network, solver = refit.problem, refit.network, refit.what
        queries = ask_margin(problem, network, inputs, target).queries

        def sums(held: Array) -> Array:
            return np.stack([solver.margins(np.flatnonzero(row <= 0.0), queries) for row in held])

    else:
        fitted = scorer_for(model, store, method)
        problem, network = fitted.problem, fitted.network
        queries = ask_margin(problem, network, inputs, target).queries
        scores = fitted.what.scores(queries)

        def sums(held: Array) -> Array:
            return held @ scores.T

    theta = network.theta if problem.head is None else problem.head.pack(network.weights())
    one = torch.from_numpy(queries.inputs[:1])
    n_outputs = network.outputs(torch.from_numpy(network.theta), one).shape[1]
    return _Scored(problem, theta, queries, n_outputs, sums)


def spearman(one: Array, other: Array) -> Array:
    """Return the rank correlation of the columns of two arrays `(s, q)`, shape `(q,)`."""
    first, second = rankdata(one, axis=0), rankdata(other, axis=0)
    first -= first.mean(axis=0)
    second -= second.mean(axis=0)
    spread = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    return np.asarray((first * second).sum(axis=0) / np.where(spread > 0, spread, 1.0))


def _agreement(
    predicted: Array, truth: Array, n_trainings: int, recipe: Recipe | None, seed: int
) -> Agreement:
    per_input = spearman(predicted, truth)
    draw = np.random.default_rng(seed)
    again = per_input[draw.integers(0, len(per_input), (2000, len(per_input)))].mean(axis=1)
    low, high = np.quantile(again, [0.025, 0.975])
    how = "by the recipe" if recipe else f"to the minimum, {CONVERGED} in the weights"
    return Agreement(float(per_input.mean()), float(low), float(high), per_input, n_trainings, how)


def _folder(cache: str | os.PathLike[str] | None) -> Path | None:
    return None if cache is None else Path(cache)
