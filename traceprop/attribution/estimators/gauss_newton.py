"""Influence through the damped Gauss-Newton matrix of all parameters: accurate for networks.

The query's gradient is multiplied by (G + δI)⁻¹ with conjugate gradients (Martens 2010), G at the
final weights and never formed, and the result is projected as the store's rows were. What a sample
did during training is in its row: where rows are sums over epochs, the scores are inner products
with the whole of its push, which predicts retraining better than its gradient at the end does.

Promise: with rows of the final weights that aren't projected, exactly the influence of the
quadratic model of J with G for its curvature, up to the tolerance of CG; a query for which CG ran
out of steps is an error.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from traceprop.attribution.estimators.base import Linear, Quality, Queries
from traceprop.attribution.estimators.projected import (
    AnyRows,
    QueryGradients,
    mean_row,
    products,
)
from traceprop.curvature.cg import conjugate_gradient
from traceprop.curvature.damping import RELATIVE_DAMPING
from traceprop.curvature.ggn import Network, largest_eigenvalue
from traceprop.curvature.problem import Problem
from traceprop.errors import AttributionError

Array = NDArray[np.float64]

# Far below what damping itself decides; with damping at 0.01 of the top, CG needs some 50 steps.
_TOLERANCE = 1e-6
_STEPS = 400


class GaussNewtonInfluence:
    """The fitted estimator.

    Parameters
    ----------
    problem : Problem
        The run.
    network : Network
        The model as training ended.
    rows : StoredRows or ndarray, shape (n, width)
        The store's rows.
    queries : QueryGradients
        What makes queries alike.
    """

    def __init__(
        self, problem: Problem, network: Network, rows: AnyRows, queries: QueryGradients
    ) -> None:
        self._network, self._theta = network, network.theta
        self._objective = problem.network_objective(network)
        self._rows, self._queries = rows, queries
        self._mean = mean_row(rows)
        self._own, self._shared = problem.removal_weights()
        top = largest_eigenvalue(
            lambda vectors: self._objective.ggn_product(self._theta, vectors), network.size
        )
        self.quality = Quality("relative", RELATIVE_DAMPING * top)

    def scores(self, queries: Queries) -> Array:
        """Return the scores `(q, n)`, see `base.Scorer`."""
        found = self.linear(queries)
        return products(self._rows, found.vectors) + found.offsets[:, None]

    def linear(self, queries: Queries) -> Linear:
        """Return the scores as inner products with rows, see `base.Linear`."""
        gradients = self._network.margin_gradients(
            torch.from_numpy(queries.inputs),
            self._objective.spec,
            torch.from_numpy(queries.classes),
        )
        solved = conjugate_gradient(
            self._damped, gradients, tolerance=_TOLERANCE, max_iterations=_STEPS
        )
        if not solved.converged:
            raise AttributionError(
                f"conjugate gradients stopped at a residual of {solved.residuals.max():.1e} after "
                f"{solved.iterations} steps; use method='influence'"
            )
        solution = self._queries.project(solved.solution)
        return Linear(-self._own * solution, self._shared * (solution @ self._mean))

    def _damped(self, rows: Array) -> Array:
        return self._objective.ggn_product(self._theta, rows) + self.quality.damping * rows
