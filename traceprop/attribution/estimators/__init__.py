"""Estimators of influence by name, and how each is fitted to a run.

One module each: `head` (exact Hessian), `projected` (`dot`, and the empirical Fisher matrix),
`gauss_newton`, `trak`, `tracin`, `leave_one_out`. All share the interface of `base`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from traceprop.attribution.estimators.base import Quality, Queries, Scorer
from traceprop.attribution.estimators.gauss_newton import GaussNewtonInfluence
from traceprop.attribution.estimators.head import HeadInfluence
from traceprop.attribution.estimators.kept_fit import read_fit
from traceprop.attribution.estimators.kept_moment import read_moment
from traceprop.attribution.estimators.leave_one_out import LeaveOneOut
from traceprop.attribution.estimators.limits import notes_on
from traceprop.attribution.estimators.problem import problem_of
from traceprop.attribution.estimators.projected import (
    DotInfluence,
    FisherInfluence,
    QueryGradients,
)
from traceprop.attribution.estimators.tracin import TracinInfluence
from traceprop.attribution.estimators.trak import TrakInfluence
from traceprop.curvature.ggn import Network
from traceprop.curvature.objective import MAX_DENSE
from traceprop.curvature.problem import Problem
from traceprop.errors import AttributionError, StoreError

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore

__all__ = ["ESTIMATORS", "Quality", "Queries", "Scorer", "problem_of"]


def _influence(problem: Problem, network: Network, store: GradientStore) -> Scorer:
    head = problem.head
    if head is None:
        return _fisher(problem, network, store, ())
    if head.n_outputs * head.n_columns > MAX_DENSE:
        note = (
            f"The exact Hessian of {head.n_outputs * head.n_columns} parameters is too large "
            f"({MAX_DENSE} at most); the empirical Fisher matrix of the store stands in for it."
        )
        return _fisher(problem, network, store, (note,))
    return HeadInfluence(problem, head.pack(network.weights()))


def _fisher(
    problem: Problem, network: Network, store: GradientStore, notes: tuple[str, ...]
) -> Scorer:
    queries = QueryGradients(network, problem.spec, store.projector)
    notes = (*notes, *notes_on(problem, network, store.record, store.projector))
    kept = read_fit(store, "influence")
    moment = read_moment(store) if kept is None else None
    return FisherInfluence(store.rows, queries, problem, notes, moment, kept)


def _dot(problem: Problem, network: Network, store: GradientStore) -> Scorer:
    queries = QueryGradients(network, problem.spec, store.projector)
    notes = notes_on(problem, network, store.record, store.projector)
    return DotInfluence(store.rows, queries, notes)


def _gauss_newton(problem: Problem, network: Network, store: GradientStore) -> Scorer:
    queries = QueryGradients(network, problem.spec, store.projector)
    notes = notes_on(problem, network, store.record, store.projector)
    return GaussNewtonInfluence(
        problem, network, store.rows, queries, store.projector, notes, read_fit(store, "ggn")
    )


def _trak(problem: Problem, network: Network, store: GradientStore) -> Scorer:
    queries = QueryGradients(network, problem.spec, store.projector)
    notes = notes_on(problem, network, store.record, store.projector)
    return TrakInfluence(problem, network, queries, notes, read_fit(store, "trak"))


def _tracin(problem: Problem, network: Network, store: GradientStore) -> Scorer:
    record = store.record
    assert record is not None
    if record.epochs is None:
        raise AttributionError(
            "tracin adds up over checkpoints, and a scikit-learn model has none that can be "
            "seen; use method='influence', or 'dot'"
        )
    if record.optimizer is None:
        raise StoreError(
            f"{store.path} doesn't know the learning rates of its run, which no one optimizer was "
            f"seen stepping; record with TrainingContext(optimizer=..., epochs='each', "
            f"keep_weights=True)"
        )
    checkpoints, projector = store.checkpoints(weights=True), store.projector
    notes = notes_on(problem, network, record, projector)
    return TracinInfluence(
        problem, network.module(), checkpoints, projector, record.optimizer, notes
    )


def _leave_one_out(problem: Problem, network: Network, store: GradientStore) -> Scorer:
    head = problem.head
    return LeaveOneOut(problem, network.theta if head is None else head.pack(network.weights()))


ESTIMATORS: dict[str, Callable[[Problem, Network, GradientStore], Scorer]] = {
    "influence": _influence,
    "dot": _dot,
    "ggn": _gauss_newton,
    "trak": _trak,
    "tracin": _tracin,
    "loo": _leave_one_out,
}
