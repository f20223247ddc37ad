"""TracIn: what the steps on a sample did to f, added up over the run's checkpoints.

    score(z, i) = −Σ_t η_t ∇f(z; θ_t) · g_t,i

(Pruthi et al. 2020, section 3.1, with the gradient of f in place of the test loss's): g_t,i is the
sample's row of pass t, the sum of its loss's gradients in that pass, and θ_t the weights as the
pass began. A step of gradient descent on sample i moves f by −η ∇f · gᵢ to first order: that is
what the sum adds up. Where each pass is one step, it is the first-order effect of all steps.

Promise: nothing is fitted, and nothing is guessed: weights or learning rates that the store doesn't
keep are an error that names the argument which keeps them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from traceprop.attribution.estimators.base import Quality, Queries
from traceprop.attribution.estimators.projected import QueryGradients, products
from traceprop.attribution.projection import Projector
from traceprop.attribution.store.rows.stored_rows import StoredRows
from traceprop.attribution.store.run.checkpoint_weights import Checkpoint
from traceprop.attribution.store.run.checkpoints import CheckpointRows
from traceprop.curvature.ggn import Network
from traceprop.curvature.problem import Problem
from traceprop.errors import StoreError

Array = NDArray[np.float64]

_ADAPTIVE = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop", "Rprop")


@dataclass(frozen=True, slots=True, eq=False)
class _Term:
    """One checkpoint: its learning rate, rows, their places among the samples, and query maker."""

    rate: float
    rows: CheckpointRows
    places: NDArray[np.int64]
    queries: QueryGradients


class TracinInfluence:
    """The estimator of a run.

    Parameters
    ----------
    problem : Problem
        The run.
    module : torch.nn.Module
        A model of the run's architecture.
    checkpoints : sequence of CheckpointRows
        Rows, weights and learning rates.
    projector : Projector
        The map that made the rows.
    optimizer : mapping of str to JSON value
        Its name and settings.
    notes : tuple of str
        What else to say.

    Raises
    ------
    StoreError
        The store keeps no weights or no learning rate of a checkpoint.
    """

    def __init__(
        self,
        problem: Problem,
        module: nn.Module,
        checkpoints: tuple[CheckpointRows, ...],
        projector: Projector,
        optimizer: Mapping[str, Any],
        notes: tuple[str, ...] = (),
    ) -> None:
        self._n = problem.n
        self._terms = []
        for rows in checkpoints:
            checkpoint = rows.checkpoint
            if checkpoint is None:
                raise StoreError(_missing(rows))
            if checkpoint.learning_rate is None:
                raise StoreError(
                    f"the learning rate of pass {rows.number} isn't known, or isn't one for all "
                    f"parameters; give TrainingContext(optimizer=...) one of one group, or use "
                    f"method='influence'"
                )
            network = Network(_at(module, checkpoint), problem.trained)
            queries = QueryGradients(network, problem.spec, projector)
            places = _places(problem.samples, rows.rows.sample_ids)
            self._terms.append(_Term(checkpoint.learning_rate, rows, places, queries))
        self.quality = Quality("relative", 0.0, (*_beside_the_rate(optimizer), *notes))

    def scores(self, queries: Queries) -> Array:
        """Return the scores `(q, n)`, see `base.Scorer`."""
        total = np.zeros((len(queries.inputs), self._n))
        for term, of_term in zip(self._terms, self.by_checkpoint(queries), strict=True):
            total[:, term.places] += of_term
        return total

    def parts(self, queries: Queries, rows: Sequence[StoredRows]) -> list[Array]:
        """Return each checkpoint's part of the scores, see `uncertainty.agreement`."""
        return list(self.by_checkpoint(queries))

    def variances(self, queries: Queries, chosen: NDArray[np.int64]) -> Array:
        """Return the projection's variance in the scores of rows, see `uncertainty`.

        All checkpoints go through one projection, so that their errors go together:
        Σ_tt' η_t η_t' [(q_t·q_t')(g_t·g_t') + (q_t·g_t')(q_t'·g_t)] / k.
        """
        asked = [term.rate * term.queries.rows(queries) for term in self._terms]
        total = np.zeros((len(queries.inputs), len(chosen)))
        gradients = [self._chosen(term, chosen) for term in self._terms]
        for q, g in zip(asked, gradients, strict=True):
            for other_q, other_g in zip(asked, gradients, strict=True):
                total += (q * other_q).sum(1)[:, None] * (g * other_g).sum(1)
                total += (q @ other_g.T) * (other_q @ g.T)
        return np.maximum(total, 0.0) / self._terms[0].queries.k

    def _chosen(self, term: _Term, chosen: NDArray[np.int64]) -> Array:
        """Return a checkpoint's rows of some samples; zeros where it has none."""
        rows = np.zeros((len(chosen), term.queries.width))
        _, here, there = np.intersect1d(chosen, term.places, return_indices=True)
        rows[here] = term.rows.rows[there]
        return rows

    def by_checkpoint(self, queries: Queries) -> Iterator[Array]:
        """Yield each checkpoint's part of the scores, of the samples that have rows there."""
        for term in self._terms:
            yield -term.rate * products(term.rows.rows, term.queries.rows(queries))


def _beside_the_rate(optimizer: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what to say of an optimizer whose steps aren't its learning rate times a gradient."""
    name, alone = optimizer["name"], "the scores take the learning rate alone."
    if name in _ADAPTIVE:
        return (f"{name} scales the step of each parameter; {alone}",)
    if optimizer.get("momentum"):
        return (f"{name}'s momentum carries each step on into later ones; {alone}",)
    return ()


def _missing(rows: CheckpointRows) -> str:
    if rows.number is None:
        return (
            "tracin adds up over checkpoints, and this store has one row a sample for the whole "
            "run; record with TrainingContext(epochs='each', keep_weights=True), or use "
            "method='dot'"
        )
    return (
        f"tracin needs the weights of pass {rows.number}, which the store doesn't keep (an erasure "
        f"drops them); record with TrainingContext(epochs='each', keep_weights=True)"
    )


def _at(module: nn.Module, checkpoint: Checkpoint) -> nn.Module:
    """Return a copy of a module with a checkpoint's weights."""
    own = copy.deepcopy(module)
    own.load_state_dict(
        {name: torch.from_numpy(value.copy()) for name, value in checkpoint.weights.items()}
    )
    return own


def _places(samples: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where samples are in the order of the problem."""
    order = np.argsort(samples, kind="stable")
    places: NDArray[np.int64] = order[np.searchsorted(samples[order], wanted)]
    return places
