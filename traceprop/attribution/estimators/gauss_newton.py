"""Influence through the damped Gauss-Newton matrix: accurate for networks.

    G = c Σᵢ Jᵢᵀ Sᵢ Jᵢ + λI,   Jᵢ the Jacobian of the outputs, Sᵢ the Hessian of the loss in them

at the final weights (Schraudolph 2002; Martens 2020, section 8), in the projected space of the
store: with Sᵢ = Bᵢ Bᵢᵀ, the rows Bᵢᵀ Jᵢ are made and projected as gradients are, an output at a
time, and only their second moment is kept. What a sample did during training is in the store's own
row: where rows are sums over epochs, the scores are inner products with the whole of its push,
which predicts retraining better than its gradient at the end does.

Promise: with rows of the final weights that aren't projected, exactly the influence of the
quadratic model of J with G for its curvature, up to the rounding of float32 rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from traceprop.attribution.capture.gradients import project_gradients
from traceprop.attribution.estimators.base import Linear, Quality, Queries
from traceprop.attribution.estimators.kept_fit import KeptFit
from traceprop.attribution.estimators.memory import check_square_fits
from traceprop.attribution.estimators.projected import (
    AnyRows,
    QueryGradients,
    mean_row,
    products,
)
from traceprop.attribution.estimators.uncertainty import ErrorTerms, centred, directions
from traceprop.attribution.projection import Projector
from traceprop.curvature.damping import factorise_damped
from traceprop.curvature.ggn import Network, float64
from traceprop.curvature.output_terms import curvature
from traceprop.curvature.problem import Problem
from traceprop.errors import AttributionError

Array = NDArray[np.float64]

# Samples whose projected rows are held at once: at k = 4096 and float32, 32 MB.
_CHUNK = 2048
# Unit vectors of parameters that are projected at once.
_UNITS = 16


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
    projector : Projector
        The map that made the rows.
    notes : tuple of str
        What to say of the run.
    kept : KeptFit, optional
        What `kept` gave of the same run.

    Raises
    ------
    AttributionError
        No sample's outputs depend on the weights, or the matrix doesn't fit into memory.
    """

    def __init__(
        self,
        problem: Problem,
        network: Network,
        rows: AnyRows,
        queries: QueryGradients,
        projector: Projector,
        notes: tuple[str, ...] = (),
        kept: KeptFit | None = None,
    ) -> None:
        if kept is None:
            check_square_fits(projector.linear().width, "ggn")
        self._rows, self._queries = rows, queries
        self._own, self._shared = problem.removal_weights()
        self.fit = kept or _fitted(problem, network, rows, projector.linear())
        self._factor, self._mean = self.fit.factor, self.fit.arrays["mean"]
        notes = (*_notes_on_penalty(problem, projector.linear()), *notes)
        self._ridge = self.fit.damping + (problem.penalty or 0.0)
        self.quality = Quality("relative", self.fit.damping, notes)

    def scores(self, queries: Queries) -> Array:
        """Return the scores `(q, n)`, see `base.Scorer`."""
        found = self.linear(queries)
        return products(self._rows, found.vectors) + found.offsets[:, None]

    def leverages(self, queries: Queries) -> Array:
        """Return ∇fᵀ G⁻¹ ∇f of each query at the final weights, shape `(q,)`."""
        gradients = self._queries.rows(queries)
        return np.asarray(np.einsum("qk,qk->q", gradients, self._factor.solve(gradients)))

    def parts(self, queries: Queries, rows: Sequence[AnyRows]) -> list[Array]:
        """Return what each checkpoint's rows would be scored, see `uncertainty.agreement`."""
        solved = self._factor.solve(self._queries.rows(queries))
        return [-products(each, solved) for each in rows]

    def variances(self, queries: Queries, chosen: NDArray[np.int64]) -> Array:
        """Return the projection's variance in the scores of rows, see `uncertainty`."""
        gradients = centred(self._rows[chosen], self._mean, self._own, self._shared)
        solved = self._factor.solve(self._queries.rows(queries))
        terms = ErrorTerms(solved, self._factor.solve(gradients), self._ridge, self._directions)
        return terms.variances(self._queries.k)

    @cached_property
    def _directions(self) -> tuple[float, float]:
        return directions(self._factor, self._ridge)

    def linear(self, queries: Queries) -> Linear:
        """Return the scores as inner products with rows, see `base.Linear`."""
        solved = self._factor.solve(self._queries.rows(queries))
        return Linear(-self._own * solved, self._shared * (solved @ self._mean))


def _fitted(problem: Problem, network: Network, rows: AnyRows, projector: Projector) -> KeptFit:
    factor, damping = factorise_damped(gauss_newton_matrix(problem, network, projector))
    if factor is None:
        raise AttributionError("no sample has any influence: the Gauss-Newton matrix is zero")
    return KeptFit(factor, damping, {"mean": mean_row(rows)})


def gauss_newton_matrix(problem: Problem, network: Network, projector: Projector) -> Array:
    """Return G in the projected space, shape `(width, width)`.

    Parameters
    ----------
    problem : Problem
        The run.
    network : Network
        The model as training ended.
    projector : Projector
        A linear map of the model's gradients.
    """
    total = np.zeros((projector.width, projector.width))
    theta = torch.from_numpy(network.theta)
    module = network.trainable({block.name for block in projector.blocks})
    for start in range(0, problem.n, _CHUNK):
        inputs = float64(problem.inputs[start : start + _CHUNK])
        with torch.no_grad():
            outputs = network.outputs(theta, inputs).numpy()
        for weights in _roots(problem, outputs):
            made = project_gradients(
                module, inputs.float(), weights.astype(np.float32), _weighted, projector
            )
            total += made.T @ made
    total *= problem.scale(problem.n)
    _add_penalty(total, problem, projector)
    return total


def _add_penalty(total: Array, problem: Problem, projector: Projector) -> None:
    """Add λ to the diagonal, but not along parameters that the penalty spares.

    A projection keeps inner products in expectation, so λI of the parameters is λI of the rows. The
    directions of spared parameters, as the projection has them, are taken out of it again: for the
    gradient itself, exactly their diagonal.
    """
    total[np.diag_indices_from(total)] += problem.penalty or 0.0
    places = _spared(problem, projector)
    if not problem.penalty or not len(places) or not _can_be_told_apart(places, projector):
        return
    if projector.kind == "identity":
        total[places, places] -= problem.penalty
        return
    rows = []
    for start in range(0, len(places), _UNITS):
        units = np.zeros((len(places[start : start + _UNITS]), projector.d), np.float32)
        units[np.arange(len(units)), places[start : start + _UNITS]] = 1.0
        rows.append(projector.project(units).astype(np.float64))
    directions, _ = np.linalg.qr(np.concatenate(rows).T)
    total -= problem.penalty * (directions @ directions.T)


def _spared(problem: Problem, projector: Projector) -> NDArray[np.int64]:
    """Return the places of the parameters that the penalty spares."""
    spared = [np.full(block.size, block.name in problem.unpenalised) for block in projector.blocks]
    return np.flatnonzero(np.concatenate(spared))


def _can_be_told_apart(places: NDArray[np.int64], projector: Projector) -> bool:
    """Tell whether a projection leaves enough room beside the directions of some parameters."""
    return projector.kind == "identity" or len(places) <= projector.width // 2


def _notes_on_penalty(problem: Problem, projector: Projector) -> tuple[str, ...]:
    """Return what to say where G has another penalty than the training had."""
    if problem.penalty is None:
        return (f"No penalty was counted: {problem.penalty_origin}.",)
    places = _spared(problem, projector)
    if not problem.penalty or _can_be_told_apart(places, projector):
        return ()
    return (
        f"The penalty was counted for all parameters: {len(places)} that it spares are too many to "
        f"be told apart in a projection to {projector.width} numbers.",
    )


def _roots(problem: Problem, outputs: Array) -> Iterator[Array]:
    """Yield B with Sᵢ = Σⱼ bᵢⱼ bᵢⱼᵀ for every sample, as o arrays `(n, o)` of the bᵢⱼ.

    For softmax S = diag(p) − p pᵀ = B Bᵀ with B = diag(√p) − p √pᵀ, as Σp = 1.
    """
    second = curvature(problem.spec, outputs)
    n_outputs = outputs.shape[1]
    for j in range(n_outputs):
        root = np.zeros_like(outputs)
        root[:, j] = np.sqrt(second.diagonal[:, j])
        if second.rank_one is not None:
            root -= second.rank_one * np.sqrt(second.diagonal[:, j : j + 1])
        yield root


def _weighted(outputs: Tensor, weights: Tensor) -> Tensor:
    return (outputs.reshape(weights.shape) * weights).sum(1)
