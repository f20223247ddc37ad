"""Influence through the damped Gauss-Newton matrix of all parameters: accurate for networks.

The query's gradient is multiplied by (G + δI)⁻¹ with conjugate gradients (Martens 2010), then with
every sample's own gradient in one forward-mode pass. Nothing is projected and no matrix is formed.

Promise: exactly the influence of the quadratic model of J with G for its curvature, at the final
weights, up to the tolerance of CG; a query for which CG ran out of steps is an error.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from traceprop.attribution.estimators.base import Quality, Queries
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
    """

    def __init__(self, problem: Problem, network: Network) -> None:
        self._network = network
        self._theta = network.theta
        self._objective = problem.network_objective(network)
        self._own, self._shared = problem.removal_weights()
        top = largest_eigenvalue(
            lambda rows: self._objective.ggn_product(self._theta, rows), network.size
        )
        self.quality = Quality("relative", RELATIVE_DAMPING * top)

    def scores(self, queries: Queries) -> Array:
        """Return the scores `(q, n)`, see `base.Scorer`."""
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
        own = self._objective.sample_gradient_dots(self._theta, solved.solution)
        return np.asarray(self._shared * own.mean(axis=1, keepdims=True) - self._own * own)

    def _damped(self, rows: Array) -> Array:
        return self._objective.ggn_product(self._theta, rows) + self.quality.damping * rows
