"""How sure scores are: the error that a projection makes in each, and whether checkpoints agree.

A projection P to k numbers keeps inner products in expectation, with variance
(‖u‖²‖v‖² + (u·v)²)/k (sparse Johnson-Lindenstrauss: Kane and Nelson 2014; TensorSketch has the same
up to lower terms on gradients). A score qᵀ(F + δ)⁻¹g whose F is of projected rows too has, to first
order in E = PᵀP − I, the error δ uᵀEv with u = (F + δ)⁻¹q and v = (F + δ)⁻¹g, and so the variance

    δ² (‖u‖²‖v‖² + (u·v)²)/k · (1 − d₂/k)/(1 − d₁/k)²

with norms and products as the projected vectors have them. The last factor is 1 for large k: d₁ and
d₂ are the traces of F(F + δ)⁻¹ and of its square, the directions that the damping leaves to F, and
a projection acts as if δ were δ/(1 − d₁/k) (sketched ridge regression: Lejeune et al. 2022); what
that shifts a score by is added. An inner product alone is F = 0, δ = 1.
Promise: what isn't projected has no such error; where no formula holds, the answer is None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from traceprop.attribution.estimators.base import Queries
from traceprop.curvature.cholesky import Factor

if TYPE_CHECKING:
    from traceprop.attribution.projection import Projector
    from traceprop.attribution.store.gradient_store import GradientStore

Array = NDArray[np.float64]
Chosen = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ErrorTerms:
    """What the error of scores qᵀ(F + δ)⁻¹g is made of.

    Parameters
    ----------
    queries : ndarray, shape (q, width)
        The projected (F + δ)⁻¹q.
    rows : ndarray, shape (m, width)
        The projected (F + δ)⁻¹g of the samples asked about, g as scores weigh it.
    damping : float
        δ; 1 where there is no F.
    directions : tuple of float
        d₁ and d₂; 0 where there is no F.
    """

    queries: Array
    rows: Array
    damping: float
    directions: tuple[float, float] = (0.0, 0.0)

    def variances(self, k: int) -> Array:
        """Return the expected square of the error of each score, shape `(q, m)`."""
        d1, d2 = self.directions
        squares = (self.queries**2).sum(1)[:, None] * (self.rows**2).sum(1)
        products = self.queries @ self.rows.T
        left, left2 = max(1.0 - d1 / k, 1.0 / k), max(1.0 - d2 / k, 1.0 / k)
        variance = self.damping**2 * (squares + products**2) / k * left2 / left**2
        shift = self.damping * (1.0 / left - 1.0) * left2 * products
        return np.asarray(variance + shift**2)


def directions(factor: Factor, damping: float) -> tuple[float, float]:
    """Return the traces of F(F + δ)⁻¹ and of its square, given the factor of F + δ."""
    size = len(factor.upper)
    inverse = factor.solve(np.eye(size))
    trace = damping * float(np.trace(inverse))
    return size - trace, size - 2 * trace + damping**2 * float((inverse**2).sum())


def centred(rows: NDArray[Any], mean: Array, own: float, shared: float) -> Array:
    """Return a gᵢ − b ḡ, what leaving each sample out does to the gradient."""
    return own * rows.astype(np.float64) - shared * mean


def standard_errors(
    scorer: Any, queries: Queries, chosen: Chosen, projector: Projector
) -> Array | None:
    """Return the standard error that the projection makes in the scores of some rows, `(q, m)`.

    Parameters
    ----------
    scorer : Scorer
        The fitted estimator. One that works on the store's rows has a `variances(queries, chosen)`.
    queries : Queries
    chosen : ndarray of int64, shape (m,)
        Rows of the store.
    projector : Projector
        The linear map of the store's rows.

    Returns
    -------
    ndarray or None
        Zeros where nothing was projected; None where the estimator has no formula for it.
    """
    variances: Callable[[Queries, Chosen], Array | None] | None
    variances = getattr(scorer, "variances", None)
    if variances is None or projector.kind == "identity":
        return np.zeros((len(queries.inputs), len(chosen)))
    found = variances(queries, chosen)
    return None if found is None else np.sqrt(found)


def agreement(scorer: Any, queries: Queries, store: GradientStore) -> Array | None:
    """Return how far the checkpoints of a run agree about each query, shape `(q,)`.

    The mean over pairs of checkpoints of the rank correlation (Spearman) of their scores, over the
    samples that both have: 1 where all rank alike, 0 where they have nothing in common. None where
    the store has one checkpoint, or the estimator doesn't take its rows.
    """
    found = getattr(scorer, "parts", None)
    if found is None:
        return None
    checkpoints = store.checkpoints()
    if len(checkpoints) < 2:
        return None
    rows = [each.rows for each in checkpoints]
    parts: list[Array] = found(queries, rows)
    each = []
    for i, (own, scores) in enumerate(zip(rows, parts, strict=True)):
        for other, other_scores in zip(rows[:i], parts[:i], strict=True):
            _, mine, theirs = np.intersect1d(own.sample_ids, other.sample_ids, return_indices=True)
            if len(mine) > 1:
                each.append(_rank_correlation(scores[:, mine], other_scores[:, theirs]))
    return np.mean(each, axis=0) if each else None


def _rank_correlation(one: Array, other: Array) -> Array:
    """Return Spearman's correlation of each row with its like; 0 where a row is constant."""
    a, b = (rankdata(each, axis=1) for each in (one, other))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / np.where(norms == 0, np.inf, norms))
