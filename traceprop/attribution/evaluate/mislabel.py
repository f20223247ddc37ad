"""Finding flipped labels: those that the model would contradict, had it not trained on them.

The margin of a sample's own label, taken from the model that wasn't trained on it, is low where the
other samples speak against the label. It is estimated, by the formula of `left_out_margins`, from
one training; retraining without each sample is what it stands for. Self-influence, the score of a
sample on its own label, is the part of the margin that the sample holds up alone (Koh and Liang
2017, section 5.4); it is small where a flipped sample changes little, and so finds fewer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import rankdata

from traceprop.attribution.estimators import Queries
from traceprop.attribution.estimators.gauss_newton import GaussNewtonInfluence
from traceprop.attribution.estimators.head import HeadInfluence
from traceprop.attribution.fitted import Fitted, scorer_for
from traceprop.attribution.question import sample_numbers
from traceprop.curvature import losses
from traceprop.errors import AttributionError

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore

_CHUNK = 256

LEFT_OUT = "left_out_margin"
"""Names the low margin of the left-out label as what samples are ranked by."""


def left_out_margins(model: Any, store: GradientStore) -> NDArray[np.float64]:
    """Return the margin of each sample's label as a model not trained on the sample would give it.

    Parameters
    ----------
    model : torch.nn.Module or scikit-learn estimator
        The model as training ended.
    store : GradientStore
        The store that recorded it.

    Returns
    -------
    ndarray of float64, shape (n,)
        By row of the store: log odds of the label that the sample came with. Below 0 the other
        samples contradict the label.

    Raises
    ------
    AttributionError
        A regression, which has no labels.

    Notes
    -----
    A linear, logistic or softmax model: the margin less the score that `influence` gives the sample
    for its own label. A network: with m the margin of its label, p = 1/(1 + eᵐ) and h = ∇mᵀ G⁻¹ ∇m
    through the damped Gauss-Newton matrix G,

        m₋ᵢ = m − c p h / (1 − c p (1 − p) h),

    which is the leave-one-out formula of a generalised linear model (Rad and Maleki 2020) in the
    gradient of the margin, as cross-entropy is log(1 + e⁻ᵐ). G holds c p (1 − p) ∇m ∇mᵀ and more,
    so the divisor is positive.

    Examples
    --------
    >>> margins = left_out_margins(model, store)  # doctest: +SKIP
    >>> suspects = np.argsort(margins)[:20]  # look at these labels first  # doctest: +SKIP
    """
    fitted = scorer_for(model, store, "influence")
    labels = _labels(fitted)
    if isinstance(fitted.what, HeadInfluence):
        return _margins(fitted, labels) - self_influence(model, store)
    fitted = scorer_for(model, store, "ggn")
    assert isinstance(fitted.what, GaussNewtonInfluence)
    problem = fitted.problem
    leverage = np.concatenate(
        [fitted.what.leverages(Queries(x, labels[rows])) for rows, x in _parts(fitted)]
    )
    margin = _margins(fitted, labels)
    weight, wrong = problem.scale(problem.n), expit(-margin)
    own = weight * wrong * leverage / (1.0 - weight * wrong * (1.0 - wrong) * leverage)
    return np.asarray(margin - own)


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
    labels = _labels(fitted)
    found = np.empty(fitted.problem.n)
    for rows, inputs in _parts(fitted):
        scores = fitted.what.scores(Queries(inputs, labels[rows]))
        found[rows] = scores[np.arange(len(rows)), rows]
    return found


def mislabel_auc(
    model: Any, store: GradientStore, flipped: Iterable[int], *, method: str = LEFT_OUT
) -> float:
    """Return how well a score tells flipped labels from others.

    Parameters
    ----------
    model, store
        As in `left_out_margins`.
    flipped : iterable of int
        The samples whose labels were flipped before the training.
    method : str
        What to rank by: "left_out_margin", the lowest first, or an estimator's name for its
        `self_influence`, the largest first.

    Returns
    -------
    float
        The area under the ROC curve: the share of pairs (flipped, not flipped) in which the
        flipped sample is ranked first. 0.5 is chance.

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
    if method == LEFT_OUT:
        suspicion = -left_out_margins(model, store)
    else:
        suspicion = self_influence(model, store, method=method)
    ranks = rankdata(suspicion)
    above = ranks[is_flipped].sum() - n_flipped * (n_flipped + 1) / 2
    return float(above / (n_flipped * (n - n_flipped)))


def _labels(fitted: Fitted[Any]) -> NDArray[np.int64]:
    """Return the label that each sample came with."""
    problem = fitted.problem
    if problem.spec.kind == "mse":
        raise AttributionError("a regression has no labels that could be flipped")
    return np.asarray(problem.targets).reshape(problem.n).astype(np.int64)


def _parts(fitted: Fitted[Any]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Yield rows of the run with their inputs, some at a time."""
    problem = fitted.problem
    for start in range(0, problem.n, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, problem.n))
        yield rows, np.asarray(problem.inputs[rows], dtype=np.float64)


def _margins(fitted: Fitted[Any], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the margin that the model as it is gives each sample's label."""
    network, spec = fitted.network, fitted.problem.spec
    theta, found = torch.from_numpy(network.theta), np.empty(len(labels))
    for rows, inputs in _parts(fitted):
        with torch.no_grad():
            outputs = network.outputs(theta, torch.from_numpy(inputs))
            found[rows] = losses.margins(spec, outputs, torch.from_numpy(labels[rows])).numpy()
    return found
