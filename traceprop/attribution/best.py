"""The samples that a question ranks first, found by the store's index of codes where it has one.

Promise: scores are those of the estimator, in double precision; where samples were found by the
index, the answer's quality says so, and the scores of all others are computed only if asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.estimators import Quality, Queries, Scorer
from traceprop.attribution.estimators.base import Searchable
from traceprop.attribution.question import Question

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore

ORDERS = ("largest", "abs", "against")


@dataclass(frozen=True, slots=True, eq=False)
class Best:
    """The samples that were asked for.

    Parameters
    ----------
    rows : ndarray of int64, shape (m,)
        Their rows in the store, best first.
    scores : ndarray of float64, shape (m,)
        Theirs.
    quality : Quality
        What the scores are worth, and how the samples were found.
    all_scores : ndarray of float64, shape (n,), or None
        Of all samples, where they were computed.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    quality: Quality
    all_scores: NDArray[np.float64] | None


def find_best(store: GradientStore, scorer: Scorer, asked: Question, k: int, order: str) -> Best:
    """Return the best k samples of one query in an order of `ORDERS`."""
    # The index ranks by the margin; a loss has another order.
    found = None if asked.loss else _by_index(store, scorer, asked.queries, k, order)
    if found is not None:
        return found
    scores = asked.scores(scorer.scores(asked.queries), scorer.quality.unit)[0]
    chosen = _ranked(scores, order, k)
    return Best(chosen, scores[chosen], scorer.quality, scores)


def _by_index(
    store: GradientStore, scorer: Scorer, queries: Queries, k: int, order: str
) -> Best | None:
    """Ask the store's index; None where there is none, or it can't answer this."""
    from traceprop.attribution.search.top import index_for, top_k

    if index_for(store, k) is None or not isinstance(scorer, Searchable):
        return None
    linear = scorer.linear(queries)
    if linear is None:
        return None
    # The order of the rows doesn't change, and float32 holds what has a size of 1.
    scale = np.abs(linear.vectors).max() or 1.0
    ranking = top_k(store, linear.vectors / scale, k, order, offsets=linear.offsets / scale)
    rows = ranking.rows[0]
    scores = store.rows[rows].astype(np.float64) @ linear.vectors[0] + linear.offsets[0]
    again = _ranked(scores, order)
    quality = replace(scorer.quality, notes=(*scorer.quality.notes, ranking.note))
    return Best(rows[again], scores[again], quality, None)


def _ranked(scores: NDArray[np.float64], order: str, k: int | None = None) -> NDArray[np.int64]:
    """Return where the first k are in an order; of equal ones those that come first."""
    key = {"largest": -scores, "abs": -np.abs(scores), "against": scores}[order]
    if k is None or k >= len(key):
        return np.argsort(key, kind="stable")
    last = np.partition(key, k - 1)[k - 1]
    within = np.flatnonzero(key <= last)
    return within[np.argsort(key[within], kind="stable")[:k]]
