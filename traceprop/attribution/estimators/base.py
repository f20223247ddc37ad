"""The one interface of all estimators: fitted once to a run, then asked in batches.

A score is f(trained with the sample) − f(trained without), f the margin of a class: positive
pushed towards it, and removal changes f by −score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Unit = Literal["margin", "relative"]


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Inputs to explain, each with a class.

    Parameters
    ----------
    inputs : ndarray of float64, shape (q, ...)
        The inputs, as the model takes them.
    classes : ndarray of int64, shape (q,) or (q, 2)
        The class (for a regression the output) whose margin is f; of two, that over the other.
    """

    inputs: Array
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Quality:
    """What the scores of a fitted estimator are worth.

    Parameters
    ----------
    unit : {"margin", "relative"}
        `"margin"` where a score estimates the change of f itself; `"relative"` where only order
        and ratio mean something.
    damping : float
        What was added to the diagonal of the curvature; 0 where nothing was.
    notes : tuple of str
        What a reader of the scores must know, such as a stated fallback.
    """

    unit: Unit
    damping: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """Scores that are inner products with the store's rows: what a search can answer.

    Parameters
    ----------
    vectors : ndarray of float64, shape (q, width)
        Row j of the store scores `vectors[i] · row + offsets[i]` for query i.
    offsets : ndarray of float64, shape (q,)
    """

    vectors: Array
    offsets: Array


class Scorer(Protocol):
    """An estimator fitted to one run."""

    @property
    def quality(self) -> Quality:
        """What the scores are worth."""

    def scores(self, queries: Queries) -> Array:
        """Return the scores, shape `(q, n)`; column j is row j of the store."""


@runtime_checkable
class Searchable(Scorer, Protocol):
    """An estimator whose scores are inner products with the store's rows."""

    def linear(self, queries: Queries) -> Linear | None:
        """Return the vectors to multiply rows with; None where this run has none."""
