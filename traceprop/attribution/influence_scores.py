"""What an influence query answers: the samples that were asked for, and the scores of all others.

Needs no torch: a store sums scores without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from traceprop.attribution.estimators.base import Quality


class InfluenceScores(list[tuple[int, float]]):
    """Scores of one test input: a list of the `top_k` `(sample, score)` in the order asked for.

    The scores of all samples are there too, since a sum over the first few is no total:
    `store.by_source(scores)` sums them all. A slice of the list is a plain list of its pairs.

    Attributes
    ----------
    target : int or list of int
        The class (for a regression the output) whose margin is f, or whose loss; of two, the one
        whose logit is less that of the other.
    margin : float
        f of the model as it is.
    quality : Quality
        Unit, damping and notes of the estimator.
    all_samples : ndarray of int64, shape (n,)
        Every sample that was trained on.
    all_scores : ndarray of float64, shape (n,)
        Theirs, in the unit of `quality`. Where the samples were found by the store's index, they
        are computed when first asked for.
    standard_errors : ndarray of float64, shape (top_k,), or None
        Of the list's scores, by the projection. Computed when first asked for.
    agreement : float or None
        Of the store's checkpoints. Computed when first asked for.
    """

    def __init__(
        self,
        pairs: list[tuple[int, float]],
        target: int | list[int],
        margin: float,
        quality: Quality,
        all_samples: NDArray[np.int64],
        all_scores: NDArray[np.float64] | Callable[[], NDArray[np.float64]],
        standard_errors: Callable[[], NDArray[np.float64] | None] = lambda: None,
        agreement: Callable[[], float | None] = lambda: None,
    ) -> None:
        super().__init__(pairs)
        self.target = target
        self.margin = margin
        self.quality = quality
        self.all_samples = all_samples
        self._all_scores = all_scores
        self._standard_errors, self._agreement = standard_errors, agreement

    @property
    def all_scores(self) -> NDArray[np.float64]:
        """The scores of `all_samples`."""
        if callable(self._all_scores):
            self._all_scores = self._all_scores()
        return self._all_scores

    @cached_property
    def standard_errors(self) -> NDArray[np.float64] | None:
        """The standard error of each score of the list that the random projection makes.

        Zeros where nothing was projected; None where the estimator (`trak`) has no formula for it.
        It says nothing of other errors: of the estimator, of training from another seed.
        """
        return self._standard_errors()

    @cached_property
    def agreement(self) -> float | None:
        """How far the store's checkpoints agree about this input, from −1 to 1.

        The mean rank correlation of their scores of all samples; None where the store has rows of
        one checkpoint only, or the estimator doesn't use them.
        """
        return self._agreement()

    def __getstate__(self) -> object:
        """Return the values in place of what would compute them: for copies and pickles."""
        values = {"standard_errors": self.standard_errors, "agreement": self.agreement}
        gone = {"_standard_errors": None, "_agreement": None}
        return self.__dict__ | {"_all_scores": self.all_scores} | values | gone

    def __repr__(self) -> str:
        return (
            f"InfluenceScores({len(self)} of {len(self.all_samples)} samples, unit "
            f"{self.quality.unit}, margin {self.margin:+.4g} of class {self.target}: "
            f"{super().__repr__()})"
        )


@dataclass(frozen=True, slots=True, eq=False)
class InfluenceMatrix:
    """Scores of several test inputs.

    Parameters
    ----------
    scores : ndarray of float64, shape (q, n)
        Row per test input, column per sample.
    samples : ndarray of int64, shape (n,)
        The sample of each column.
    targets : ndarray of int64, shape (q,) or (q, 2)
        The class of each test input whose margin is f, or one over another.
    margins : ndarray of float64, shape (q,)
        f of the model as it is.
    quality : Quality
        Unit, damping and notes of the estimator.
    """

    scores: NDArray[np.float64]
    samples: NDArray[np.int64]
    targets: NDArray[np.int64]
    margins: NDArray[np.float64]
    quality: Quality
