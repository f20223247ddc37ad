"""True leave-one-out retraining, for convex models: what the other estimators approximate.

Promise: a score is f at the minimum on all samples minus f at the minimum without the sample, both
found by Newton's method to a distance of 1e-9 in the weights. It costs a training per sample, once.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from traceprop.attribution.estimators.base import Quality, Queries
from traceprop.attribution.estimators.problem import Problem
from traceprop.curvature import losses
from traceprop.curvature.ggn import float64
from traceprop.curvature.newton import newton
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
        The objective isn't strictly convex as recorded, so its minimum isn't one point.
    """

    quality = Quality("margin")

    def __init__(self, problem: Problem, theta: Array) -> None:
        if problem.penalty is None or problem.penalty <= 0:
            raise AttributionError(
                f"loo retrains to the minimum, which needs a penalty ({problem.penalty_origin}); "
                f"use method='influence'"
            )
        tolerance = _DISTANCE * problem.penalty
        self._problem = problem
        whole = newton(problem.head_objective(), theta, gradient_tolerance=tolerance).theta
        self._whole = whole
        everything = np.arange(problem.n)
        self._without = [
            newton(
                problem.head_objective(np.delete(everything, i)),
                whole,
                gradient_tolerance=tolerance,
            ).theta
            for i in range(problem.n)
        ]

    def scores(self, queries: Queries) -> Array:
        """Return the scores `(q, n)`, see `base.Scorer`."""
        whole = self._margins(self._whole, queries)
        return np.stack([whole - self._margins(t, queries) for t in self._without], axis=1)

    def _margins(self, theta: Array, queries: Queries) -> Array:
        head = self._problem.head
        assert head is not None
        outputs = head.features(queries.inputs) @ theta.reshape(head.n_outputs, -1).T
        classes = torch.from_numpy(queries.classes)
        margins: Array = losses.margins(self._problem.spec, float64(outputs), classes).numpy()
        return margins
