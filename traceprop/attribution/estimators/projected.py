"""Estimators that work on the store's rows: projected per-sample gradients, k numbers a sample.

`dot` is the inner product of a query's gradient with each row: what one gradient step on the sample
does to f. `influence` of a network multiplies the query by the inverse of the empirical Fisher
matrix F = ΦᵀΦ/n + δI of the rows Φ (Martens 2020, section 11, on what the empirical Fisher is and
isn't), with δ = 0.01 of the largest eigenvalue.

Promise: the rows are read in blocks, in the order they lie on disk, and never copied whole; of the
two ways to solve, with a k × k or an n × n matrix, the smaller is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from traceprop.attribution.estimators.base import Linear, Quality, Queries
from traceprop.attribution.estimators.kept_fit import KeptFit
from traceprop.attribution.estimators.kept_moment import Moment
from traceprop.attribution.estimators.memory import check_square_fits
from traceprop.attribution.estimators.uncertainty import ErrorTerms, centred, directions
from traceprop.attribution.projection import Projector
from traceprop.attribution.store.rows.stored_rows import StoredRows
from traceprop.curvature.damping import factorise_damped
from traceprop.curvature.ggn import Network
from traceprop.curvature.losses import LossSpec
from traceprop.curvature.problem import Problem
from traceprop.errors import AttributionError, StoreError

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
AnyRows = Floats | StoredRows

# Rows per block: at k = 4096 and float32, 64 MB.
_BLOCK = 4096


class QueryGradients:
    """Turns queries into rows like those of the store.

    Parameters
    ----------
    network : Network
        The model as training ended.
    spec : LossSpec
        The loss, which gives the margin its meaning.
    projector : Projector
        The store's map; rows of factors are compared by its `linear()`.
    """

    def __init__(self, network: Network, spec: LossSpec, projector: Projector) -> None:
        places, start = {}, 0
        for name, shape in network.shapes.items():
            places[name] = np.arange(start, start + shape.numel())
            start += shape.numel()
        missing = [block.name for block in projector.blocks if block.name not in places]
        if missing:
            raise StoreError(f"the store's rows are of parameters that the model lacks: {missing}")
        self._network = network
        self._spec = spec
        self._projector = projector.linear()
        taken = np.concatenate([places[block.name] for block in projector.blocks])
        # All parameters in order need no copy, which took as long as projecting them.
        everything = np.array_equal(taken, np.arange(start))
        self._places = slice(None) if everything else taken

    @property
    def width(self) -> int:
        """How many numbers a row of a query has."""
        return self._projector.width

    @property
    def k(self) -> int:
        """How many numbers gradients are projected to."""
        return self._projector.k

    def rows(self, queries: Queries) -> Array:
        """Return the projected gradients of the queries' margins, shape `(q, width)`."""
        gradients = self._network.margin_gradients(
            torch.from_numpy(queries.inputs), self._spec, torch.from_numpy(queries.classes)
        )
        with np.errstate(over="ignore"):  # of float32: said below
            rows = self.project(gradients)
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            raise AttributionError(
                f"the gradient of f at test input {int(np.argmin(finite))} isn't finite: the model "
                f"overflows there; look at its outputs for this input"
            )
        return rows

    def project(self, vectors: Array) -> Array:
        """Return vectors `(q, d)` in the model's parameters as rows `(q, width)`."""
        projected = self._projector.project(vectors[:, self._places].astype(np.float32))
        return projected.astype(np.float64)


class DotInfluence:
    """The inner product −∇f · gᵢ, for comparison.

    Parameters
    ----------
    rows : StoredRows
        The store's rows, shape (n, width).
    queries : QueryGradients
        What makes queries alike.
    notes : tuple of str
        What to say of the run.
    """

    def __init__(
        self, rows: StoredRows, queries: QueryGradients, notes: tuple[str, ...] = ()
    ) -> None:
        self._rows = rows
        self._queries = queries
        self.quality = Quality("relative", 0.0, notes)

    def scores(self, queries: Queries) -> Array:
        """Return the scores `(q, n)`, see `base.Scorer`."""
        return -products(self._rows, self._queries.rows(queries))

    def parts(self, queries: Queries, rows: Sequence[AnyRows]) -> list[Array]:
        """Return what each checkpoint's rows would be scored, see `uncertainty.agreement`."""
        gradients = self._queries.rows(queries)
        return [-products(each, gradients) for each in rows]

    def variances(self, queries: Queries, chosen: NDArray[np.int64]) -> Array:
        """Return the projection's variance in the scores of rows, see `uncertainty`."""
        gradients = self._rows[chosen].astype(np.float64)
        return ErrorTerms(self._queries.rows(queries), gradients, 1.0).variances(self._queries.k)

    def linear(self, queries: Queries) -> Linear:
        """Return the scores as inner products with rows, see `base.Linear`."""
        gradients = self._queries.rows(queries)
        return Linear(-gradients, np.zeros(len(gradients)))


class FisherInfluence:
    """Influence through the empirical Fisher matrix of the store's rows.

    Parameters
    ----------
    rows : StoredRows
        The store's rows, shape (n, width).
    queries : QueryGradients
        What makes queries alike.
    problem : Problem
        The run, for the weight of one sample.
    notes : tuple of str
        What to say about the choice of this estimator.
    moment : Moment, optional
        Of the rows, where it is known.
    kept : KeptFit, optional
        What this estimator was fitted to before, on the same rows.

    Raises
    ------
    AttributionError
        The matrix doesn't fit into memory.
    StoreError
        All gradients are zero.
    """

    def __init__(
        self,
        rows: StoredRows,
        queries: QueryGradients,
        problem: Problem,
        notes: tuple[str, ...] = (),
        moment: Moment | None = None,
        kept: KeptFit | None = None,
    ) -> None:
        n, width = rows.shape
        self._rows = rows
        self._queries = queries
        self._own, self._shared = problem.removal_weights()
        self._in_samples = n < width
        if kept is None:
            check_square_fits(min(n, width), "influence")
        self.fit = kept or _fitted(rows, self._in_samples, moment)
        self._factor, self._mean = self.fit.factor, self.fit.arrays["mean"]
        self.quality = Quality("relative", self.fit.damping, notes)

    def scores(self, queries: Queries) -> Array:
        """Return the scores `(q, n)`, see `base.Scorer`."""
        gradients = self._queries.rows(queries)
        if self._in_samples:
            # Φ (ΦᵀΦ/n + δ)⁻¹ = (ΦΦᵀ/n + δ)⁻¹ Φ, and the mean row is a mean of rows.
            own = self._factor.solve(products(self._rows, gradients))
            mean = own.mean(axis=1)
        else:
            solved = self._factor.solve(gradients)
            own = products(self._rows, solved)
            mean = solved @ self._mean
        return np.asarray(self._shared * mean[:, None] - self._own * own)

    def parts(self, queries: Queries, rows: Sequence[AnyRows]) -> list[Array]:
        """Return what each checkpoint's rows would be scored, see `uncertainty.agreement`."""
        solved = self._solve(self._queries.rows(queries))
        return [-products(each, solved) for each in rows]

    def variances(self, queries: Queries, chosen: NDArray[np.int64]) -> Array:
        """Return the projection's variance in the scores of rows, see `uncertainty`."""
        gradients = centred(self._rows[chosen], self._mean, self._own, self._shared)
        solved = self._solve(self._queries.rows(queries))
        terms = ErrorTerms(solved, self._solve(gradients), self.quality.damping, self._directions)
        return terms.variances(self._queries.k)

    @cached_property
    def _directions(self) -> tuple[float, float]:
        return directions(self._factor, self.quality.damping)

    def _solve(self, vectors: Array) -> Array:
        """Return (F + δ)⁻¹ times each vector `(q, width)`."""
        if not self._in_samples:
            return self._factor.solve(vectors)
        met = self._factor.solve(products(self._rows, vectors)) / len(self._rows)
        within = np.zeros_like(vectors)
        start = 0
        for block in _blocks(self._rows):
            within += met[:, start : start + len(block)] @ block
            start += len(block)
        return (vectors - within) / self.quality.damping

    def linear(self, queries: Queries) -> Linear | None:
        """Return the scores as inner products with rows, see `base.Linear`; None for few rows."""
        if self._in_samples:
            return None
        solved = self._factor.solve(self._queries.rows(queries))
        return Linear(-self._own * solved, self._shared * (solved @ self._mean))


def _fitted(rows: AnyRows, in_samples: bool, moment: Moment | None) -> KeptFit:
    if in_samples:
        mean, matrix = mean_row(rows), gram(rows) / len(rows)
    else:
        moment = moment or moment_of(rows)
        mean, matrix = moment.mean, moment.second.copy()
    factor, damping = factorise_damped(matrix)
    if factor is None:
        raise StoreError("all gradients in the store are zero, so no sample has any influence")
    return KeptFit(factor, damping, {"mean": mean})


def _blocks(rows: AnyRows) -> Iterator[Floats]:
    return (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))


def products(rows: AnyRows, vectors: Array) -> Array:
    """Return the inner product of every vector `(q, width)` with every row, shape `(q, n)`."""
    return np.concatenate([vectors @ block.T for block in _blocks(rows)], axis=1)


def gram(rows: AnyRows) -> Array:
    """Return ΦΦᵀ, shape `(n, n)`."""
    return np.concatenate([products(rows, block.astype(np.float64)) for block in _blocks(rows)])


def mean_row(rows: AnyRows) -> Array:
    """Return the mean row, shape `(width,)`."""
    total = np.zeros(rows.shape[1])
    for block in _blocks(rows):
        total += block.sum(axis=0, dtype=np.float64)
    return total / len(rows)


def moment_of(rows: AnyRows) -> Moment:
    """Return mean and second moment of rows."""
    return Moment(mean_row(rows), second_moment(rows) / len(rows))


def second_moment(rows: AnyRows) -> Array:
    """Return ΦᵀΦ, shape `(width, width)`: blocks multiplied in float32, summed in float64."""
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for block in _blocks(rows):
        total += block.T @ block
    return total
