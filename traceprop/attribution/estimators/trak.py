"""TRAK, by its own formula, from one checkpoint (Park et al. 2023, eq. 16 with M = 1).

    τ(z)ᵢ = φ(z)ᵀ (ΦᵀΦ)⁻¹ φ(zᵢ) Qᵢ

with φ the projected gradient of the margin (of a training sample: of its own label's) and
Qᵢ = 1 − pᵢ, minus the derivative of the sample's loss in its margin. No damping: where ΦᵀΦ is
singular within rounding, 1e-6 of its largest eigenvalue is added, and the notes say so.

Promise: nothing is taken from the store's rows, which may be sums over epochs: the gradients of the
training samples are made again at the final weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from traceprop.attribution.estimators.base import Quality, Queries
from traceprop.attribution.estimators.kept_fit import KeptFit
from traceprop.attribution.estimators.memory import check_square_fits
from traceprop.attribution.estimators.projected import (
    QueryGradients,
    gram,
    products,
    second_moment,
)
from traceprop.curvature import losses
from traceprop.curvature.cholesky import factorise
from traceprop.curvature.ggn import Network, float64, largest_eigenvalue, targets_tensor
from traceprop.curvature.problem import Problem
from traceprop.errors import AttributionError

Array = NDArray[np.float64]

_SINGULAR = 1e-10
_JITTER = 1e-6
# Training samples whose gradients are held in full at once.
_CHUNK = 64


class TrakInfluence:
    """The fitted estimator.

    Parameters
    ----------
    problem : Problem
        The run.
    network : Network
        The model as training ended.
    queries : QueryGradients
        What turns inputs into projected margin gradients.
    notes : tuple of str
        What to say of the run.
    kept : KeptFit, optional
        What this estimator was fitted to before, on the same run.

    Raises
    ------
    AttributionError
        The loss has no labels (a regression), all gradients are zero, or the matrix doesn't fit
        into memory.
    """

    def __init__(
        self,
        problem: Problem,
        network: Network,
        queries: QueryGradients,
        notes: tuple[str, ...] = (),
        kept: KeptFit | None = None,
    ) -> None:
        self._queries = queries
        if kept is None:
            check_square_fits(min(problem.n, queries.width), "trak")
        self.fit = kept or _fitted(problem, network, queries)
        self._factor = self.fit.factor
        self._rows, self._slopes = self.fit.arrays["rows"], self.fit.arrays["slopes"]
        self._in_samples = problem.n < self._rows.shape[1]
        self.quality = Quality("relative", self.fit.damping, (*self.fit.notes, *notes))

    def variances(self, queries: Queries, chosen: NDArray[np.int64]) -> None:
        """Return None: undamped, a projection's error in the inverse has no first-order formula."""

    def scores(self, queries: Queries) -> Array:
        """Return the scores `(q, n)`, see `base.Scorer`."""
        gradients = self._queries.rows(queries)
        if self._in_samples:
            met = self._factor.solve(products(self._rows, gradients))
        else:
            met = products(self._rows, self._factor.solve(gradients))
        return np.asarray(met * self._slopes)


def _fitted(problem: Problem, network: Network, queries: QueryGradients) -> KeptFit:
    rows, slopes = _own_margins(problem, network, queries)
    n, width = rows.shape
    matrix = gram(rows) if n < width else second_moment(rows)
    arrays: dict[str, NDArray[Any]] = {"rows": rows, "slopes": slopes}
    factor = factorise(matrix, least=_SINGULAR)
    if factor is not None:
        return KeptFit(factor, 0.0, arrays)
    jitter = _JITTER * largest_eigenvalue(lambda vectors: vectors @ matrix, len(matrix))
    matrix[np.diag_indices_from(matrix)] += jitter
    factor = factorise(matrix)
    if factor is None:
        raise AttributionError("the features have no influence at all: all gradients are zero")
    note = f"The features are dependent; {_JITTER} of the largest eigenvalue was added."
    return KeptFit(factor, jitter, arrays, (note,))


def _own_margins(
    problem: Problem, network: Network, queries: QueryGradients
) -> tuple[NDArray[np.float32], Array]:
    """Return Φ, the projected gradients of the samples' own margins, and Q."""
    if problem.spec.kind == "mse":
        raise AttributionError("trak is defined for classifiers; use 'influence' or 'ggn'")
    theta = torch.from_numpy(network.theta)
    rows, slopes = [], []
    for start in range(0, problem.n, _CHUNK):
        x = float64(problem.inputs[start : start + _CHUNK])
        y = targets_tensor(problem.spec, problem.targets[start : start + _CHUNK])
        labels = y.reshape(-1).long()
        rows.append(queries.rows(Queries(x.numpy(), labels.numpy())).astype(np.float32))
        with torch.no_grad():
            margins = losses.margins(problem.spec, network.outputs(theta, x), labels)
        slopes.append(torch.sigmoid(-margins).numpy())
    return np.concatenate(rows), np.concatenate(slopes)
