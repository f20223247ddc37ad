"""True leave-one-out retraining, for convex models: what the other estimators approximate.

Promise: a score is f at the minimum on all samples minus f at the minimum without the sample, both
found by Newton's method to a distance of 1e-9 in the weights. It costs a training per sample, once.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from traceprop.attribution.estimators.base import Quality, Queries
from traceprop.curvature import losses
from traceprop.curvature.ggn import float64
from traceprop.curvature.problem import Problem, Rows
from traceprop.curvature.without import many_minima, minimum_without
from traceprop.errors import AttributionError

Array = NDArray[np.float64]

_DISTANCE = 1e-9


class LeaveOneOut:
    """The retrained models.

    Parameters
    ----------
    problem : Problem
        The run.
    theta : ndarray, shape (o·p,)
        Where the solver starts: the head's parameters as training ended.

    Raises
    ------
    AttributionError
        The objective isn't strictly convex as recorded, so its minimum isn't one point; or
        Newton's method didn't reach it.
    """

    quality = Quality("margin")

    def __init__(self, problem: Problem, theta: Array) -> None:
        why = many_minima(problem)
        if why is not None:
            raise AttributionError(
                f"loo retrains to the minimum, and {why}; use method='influence', or 'ggn' for a "
                f"network"
            )
        self._problem = problem
        self._whole = self._minimum(np.array([], dtype=np.int64), theta)
        self._without = [self._minimum(np.array([i]), self._whole) for i in range(problem.n)]

    def scores(self, queries: Queries) -> Array:
        """Return the scores `(q, n)`, see `base.Scorer`."""
        whole = self._margins(self._whole, queries)
        return np.stack([whole - self._margins(t, queries) for t in self._without], axis=1)

    def _minimum(self, gone: Rows, start: Array) -> Array:
        try:
            return minimum_without(self._problem, gone, start, distance=_DISTANCE).theta
        except np.linalg.LinAlgError as error:
            raise AttributionError(
                f"loo can't retrain: {error}; the penalty may be too weak for this data: use "
                f"method='influence'"
            ) from error

    def _margins(self, theta: Array, queries: Queries) -> Array:
        head = self._problem.head
        assert head is not None
        outputs = head.outputs(theta, queries.inputs)
        classes = torch.from_numpy(queries.classes)
        margins: Array = losses.margins(self._problem.spec, float64(outputs), classes).numpy()
        return margins
