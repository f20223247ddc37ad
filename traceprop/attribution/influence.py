"""Which training samples drove a decision: `compute_influence_scores`, and its batched form.

Promises: a score is f(trained with the sample) − f(trained without), f the margin of the decided
class; equal questions get equal answers in any process; reading a tracked test input records no
escape; an estimator is fitted once per model and store and then reused; an answer that was given is
in the store's audit log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traceprop.attribution.best import ORDERS, find_best
from traceprop.attribution.estimators import Scorer
from traceprop.attribution.estimators.uncertainty import agreement, standard_errors
from traceprop.attribution.fitted import Fitted, scorer_for
from traceprop.attribution.influence_scores import InfluenceMatrix, InfluenceScores
from traceprop.attribution.models import plain_inputs
from traceprop.attribution.question import Target, ask, is_whole, one_input
from traceprop.audit.canonical import jsonable
from traceprop.audit.recording import record
from traceprop.curvature.digest import model_digest
from traceprop.errors import AttributionError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from traceprop.attribution.store.gradient_store import GradientStore
    from traceprop.lineage import ProvenanceTensor


def compute_influence_scores(
    model: nn.Module | Any,
    store: GradientStore,
    test_input: ArrayLike | torch.Tensor | ProvenanceTensor,
    top_k: int = 20,
    target: Target = None,
    method: str = "influence",
    *,
    order: str = "largest",
) -> InfluenceScores:
    """Rank the training samples by what they did to a decision.

    Parameters
    ----------
    model : torch.nn.Module or scikit-learn estimator
        The model as training ended.
    store : GradientStore
        The store that recorded the training.
    test_input : array-like, torch.Tensor or ProvenanceTensor, shape (d,) or (1, d)
        The input that was decided about, prepared as the training inputs were.
    top_k : int
        How many samples to return; all of them if there are fewer.
    target : int, pair of int or Loss, optional
        What f is: the margin of a class (for a regression the output), `(a, b)` for the logit of
        class a less that of b, or `Loss(label)`; by default the margin of the decided class.
    method : {"influence", "ggn", "trak", "tracin", "dot", "loo"}
        `influence`: the exact Hessian for a linear or softmax model, for networks the empirical
        Fisher matrix of the store. `ggn`: the damped Gauss-Newton matrix. `trak`: the
        formula of that method. `tracin`: inner products of gradients, summed over checkpoints that
        were recorded with `keep_weights=True`. `dot`: the inner product of gradients, for
        comparison. `loo`: a retraining per sample, for linear models with a penalty and small data.
    order : {"largest", "abs", "against"}
        The strongest pushes towards the class first, in either direction, or against it.

    Returns
    -------
    InfluenceScores
        A list of `(sample, score)`; `.quality.unit` says whether a score is a change of the
        margin (`"margin"`) or only comparable with others (`"relative"`). `.all_scores` holds
        those of every sample, which `store.by_source(scores)` sums.

    Raises
    ------
    AttributionError
        An unknown method or order, a class that doesn't exist, or `top_k` below 1.
    DataError
        The test input has the wrong shape, or holds a NaN, an infinity or no numbers.
    StoreError
        The store holds no run, another model's run, or one whose loss is unknown.
    AuditError
        The query can't be written into the store's audit log.

    Notes
    -----
    Where the store has an index (`traceprop store index`) and `influence` or `dot` ranks by the
    store's rows, the samples are found by it; `.quality.notes` says so.

    The margin of class c is its logit minus the log-sum-exp of the others (Park et al. 2023): for
    two classes the difference of the logits, for one logit z (`BCEWithLogitsLoss`) z for class 1
    and −z for class 0, for a regression the prediction. A positive score pushed the model towards
    the class; removing the sample is expected to change the margin by −score.

    Examples
    --------
    >>> scores = compute_influence_scores(model, store, X_test[0], top_k=5)  # doctest: +SKIP
    >>> for sample, score in scores:  # doctest: +SKIP
    ...     print(store.get_provenance(sample), score)
    """
    if order not in ORDERS:
        raise AttributionError(f"no order is called {order!r}; use one of {', '.join(ORDERS)}")
    if not is_whole(top_k) or top_k < 1:
        raise AttributionError(
            f"top_k is {top_k!r}; give a whole number from 1 (store.n_samples for all)"
        )
    fitted = scorer_for(model, store, method)
    single = one_input(plain_inputs(model, test_input), fitted.problem)
    asked = ask(fitted.problem, fitted.network, single, target)
    samples, classes = fitted.problem.samples, asked.queries.classes
    best = find_best(store, fitted.what, asked, top_k, order)
    told = {"samples": samples[best.rows], "scores": best.scores}
    _write_down(store, single, method, classes, top_k=top_k, order=order, told=told)

    def all_scores() -> NDArray[np.float64]:
        (scores,) = asked.scores(fitted.what.scores(asked.queries), fitted.what.quality.unit)
        return np.asarray(scores)

    def errors() -> NDArray[np.float64] | None:
        found = standard_errors(fitted.what, asked.queries, best.rows, store.projector.linear())
        return None if found is None else np.abs(asked.scores(found, "relative")[0])

    def agree() -> float | None:
        found = agreement(fitted.what, asked.queries, store)
        return None if found is None else float(found[0])

    return InfluenceScores(
        list(zip(told["samples"].tolist(), told["scores"].tolist(), strict=True)),
        target=jsonable(classes[0]),
        margin=float(asked.values[0]),
        quality=best.quality,
        all_samples=samples,
        all_scores=all_scores if best.all_scores is None else best.all_scores,
        standard_errors=errors,
        agreement=agree,
    )


def influence_matrix(
    model: nn.Module | Any,
    store: GradientStore,
    test_inputs: ArrayLike | torch.Tensor | ProvenanceTensor,
    *,
    target: Target = None,
    method: str = "influence",
) -> InfluenceMatrix:
    """Score every training sample for several test inputs at once.

    Parameters
    ----------
    model, store, target, method
        As in `compute_influence_scores`.
    test_inputs : array-like, torch.Tensor or ProvenanceTensor, shape (q, ...)
        The inputs, one per row.

    Returns
    -------
    InfluenceMatrix
        All scores, with what they are worth.

    Raises
    ------
    AttributionError, DataError, StoreError, AuditError
        As in `compute_influence_scores`.
    """
    fitted = scorer_for(model, store, method)
    inputs = plain_inputs(model, test_inputs)
    result = _answer(fitted, inputs, target)
    _write_down(store, inputs, method, result.targets)
    return result


def _answer(fitted: Fitted[Scorer], inputs: NDArray[Any], target: Target) -> InfluenceMatrix:
    """Score every training sample; nothing is written down."""
    asked = ask(fitted.problem, fitted.network, inputs, target)
    quality = fitted.what.quality
    return InfluenceMatrix(
        asked.scores(fitted.what.scores(asked.queries), quality.unit),
        fitted.problem.samples,
        asked.queries.classes,
        asked.values,
        quality,
    )


def _write_down(
    store: GradientStore,
    test_inputs: NDArray[Any],
    method: str,
    classes: NDArray[np.int64],
    *,
    top_k: int | None = None,
    order: str | None = None,
    told: dict[str, NDArray[Any]] | None = None,
) -> None:
    """Write a query into the store's audit log: what was asked by which digest, not of whom."""
    trained = store.record
    facts = {
        "inputs_sha256": model_digest({"inputs": test_inputs}),
        "n_inputs": len(classes),
        "method": method,
        "targets": jsonable(classes[:1]),
        "top_k": top_k,
        "order": order,
        "model_sha256": trained and trained.model_digest,
        "answer_sha256": told and model_digest(told),
    }
    record(store.path, "query", facts)
