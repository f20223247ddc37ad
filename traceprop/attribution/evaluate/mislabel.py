"""Finding flipped labels: a sample that only itself speaks for is likely to be wrong.

The self-influence of a sample is its score on its own input and label: what training on it does to
the margin of the label it came with. Where the label is wrong, the other samples say otherwise, and
the sample alone holds the margin up (Koh and Liang 2017, section 5.4).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from traceprop.attribution.estimators import Queries
from traceprop.attribution.fitted import scorer_for
from traceprop.attribution.question import sample_numbers
from traceprop.errors import AttributionError

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore

_CHUNK = 256


def self_influence(
    model: Any, store: GradientStore, *, method: str = "influence"
) -> NDArray[np.float64]:
    """Return each sample's score on its own input and label, shape `(n,)`, by row of the store.

    Parameters
    ----------
    model : torch.nn.Module or scikit-learn estimator
        The model as training ended.
    store : GradientStore
        The store that recorded it.
    method : str
        The estimator, as in `compute_influence_scores`.

    Raises
    ------
    AttributionError
        An unknown method, or a regression, which has no labels.
    """
    fitted = scorer_for(model, store, method)
    problem = fitted.problem
    if problem.spec.kind == "mse":
        raise AttributionError("a regression has no labels that could be flipped")
    labels = np.asarray(problem.targets).reshape(problem.n).astype(np.int64)
    found = np.empty(problem.n)
    for start in range(0, problem.n, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, problem.n))
        inputs = np.asarray(problem.inputs[rows], dtype=np.float64)
        scores = fitted.what.scores(Queries(inputs, labels[rows]))
        found[rows] = scores[np.arange(len(rows)), rows]
    return found


def mislabel_auc(
    model: Any, store: GradientStore, flipped: Iterable[int], *, method: str = "influence"
) -> float:
    """Return how well self-influence tells flipped labels from others.

    Parameters
    ----------
    model, store, method
        As in `self_influence`.
    flipped : iterable of int
        The samples whose labels were flipped before the training.

    Returns
    -------
    float
        The area under the ROC curve: the share of pairs (flipped, not flipped) in which the
        flipped sample has the larger self-influence. 0.5 is chance.

    Raises
    ------
    AttributionError
        No sample, or every one, was flipped, or one isn't there; or as in `self_influence`.

    Examples
    --------
    >>> tp.attribution.evaluate.mislabel_auc(model, store, flipped)  # doctest: +SKIP
    0.93
    """
    numbers = sample_numbers(flipped)
    is_flipped = np.isin(store.sample_ids, numbers)
    n_flipped, n = int(is_flipped.sum()), len(is_flipped)
    if n_flipped < len(numbers):
        unknown = np.setdiff1d(numbers, store.sample_ids)[0]
        raise AttributionError(f"sample {unknown} was never trained on")
    if not 0 < n_flipped < n:
        raise AttributionError(
            f"{n_flipped} of {n} samples were flipped; a curve needs some that were and some not"
        )
    ranks = rankdata(self_influence(model, store, method=method))
    above = ranks[is_flipped].sum() - n_flipped * (n_flipped + 1) / 2
    return float(above / (n_flipped * (n - n_flipped)))
