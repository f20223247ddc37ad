"""Which training samples drove a decision: `compute_influence_scores`, and its batched form.

Promises: a score is f(trained with the sample) − f(trained without), f the margin of the decided
class; equal questions get equal answers in any process; reading a tracked test input records no
escape; an estimator is fitted once per model and store and then reused; an answer that was given is
in the store's audit log.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from traceprop.attribution.estimators import ESTIMATORS, Queries, Scorer, problem_of
from traceprop.attribution.influence_scores import InfluenceMatrix, InfluenceScores
from traceprop.attribution.models import module_of, plain_inputs
from traceprop.audit.canonical import jsonable
from traceprop.audit.recording import record
from traceprop.curvature import losses
from traceprop.curvature.digest import model_digest
from traceprop.curvature.ggn import Network
from traceprop.curvature.problem import Problem
from traceprop.errors import AttributionError, DataError

if TYPE_CHECKING:
    from torch import nn

    from traceprop.attribution.store.gradient_store import GradientStore
    from traceprop.lineage import ProvenanceTensor

ORDERS = ("largest", "abs", "against")


def compute_influence_scores(
    model: nn.Module | Any,
    store: GradientStore,
    test_input: ArrayLike | torch.Tensor | ProvenanceTensor,
    top_k: int = 20,
    target: int | None = None,
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
    target : int, optional
        The class to explain; the decided one if not given. For a regression the output.
    method : {"influence", "ggn", "trak", "dot", "loo"}
        `influence`: the exact Hessian for a linear or softmax model, for networks the empirical
        Fisher matrix of the store. `ggn`: the damped Gauss-Newton matrix. `trak`: the
        formula of that method. `dot`: the inner product of gradients, for comparison. `loo`: a
        retraining per sample, for linear models with a penalty and small data.
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
    if not _is_whole(top_k) or top_k < 1:
        raise AttributionError(
            f"top_k is {top_k!r}; give a whole number from 1 (store.n_samples for all)"
        )
    _check_kinds(store)
    single = _single(plain_inputs(model, test_input), store)
    result = _answer(model, store, single, target, method)
    row = result.scores[0]
    key = {"largest": -row, "abs": -np.abs(row), "against": row}[order]
    chosen = np.argsort(key, kind="stable")[:top_k]
    pairs = list(zip(result.samples[chosen].tolist(), row[chosen].tolist(), strict=True))
    told = {"samples": result.samples[chosen], "scores": row[chosen]}
    _write_down(store, single, method, result, top_k=top_k, order=order, told=told)
    return InfluenceScores(
        pairs,
        target=int(result.targets[0]),
        margin=float(result.margins[0]),
        quality=result.quality,
        all_samples=result.samples,
        all_scores=row,
    )


def influence_matrix(
    model: nn.Module | Any,
    store: GradientStore,
    test_inputs: ArrayLike | torch.Tensor | ProvenanceTensor,
    *,
    target: int | None = None,
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
    _check_kinds(store)
    inputs = plain_inputs(model, test_inputs)
    result = _answer(model, store, inputs, target, method)
    _write_down(store, inputs, method, result)
    return result


def _answer(
    model: Any,
    store: GradientStore,
    test_inputs: NDArray[Any],
    target: int | None,
    method: str,
) -> InfluenceMatrix:
    """Score every training sample; nothing is written down."""
    if method not in ESTIMATORS:
        raise AttributionError(
            f"no estimator is called {method!r}; use one of {', '.join(sorted(ESTIMATORS))}"
        )
    fitted = _fitted(model, store, method)
    problem, network = fitted.problem, fitted.network
    inputs = _checked(test_inputs, problem.inputs.shape[1:])
    with torch.no_grad():
        outputs = network.outputs(torch.from_numpy(network.theta), torch.from_numpy(inputs))
    classes = _classes(problem, outputs, target)
    margins = losses.margins(problem.spec, outputs, classes).numpy()
    scores = fitted.scorer.scores(Queries(inputs, classes.numpy()))
    quality = fitted.scorer.quality
    return InfluenceMatrix(scores, problem.samples, classes.numpy(), margins, quality)


def _write_down(
    store: GradientStore,
    test_inputs: NDArray[Any],
    method: str,
    result: InfluenceMatrix,
    *,
    top_k: int | None = None,
    order: str | None = None,
    told: dict[str, NDArray[Any]] | None = None,
) -> None:
    """Write a query into the store's audit log: what was asked by which digest, not of whom."""
    trained = store.record
    facts = {
        "inputs_sha256": model_digest({"inputs": test_inputs}),
        "n_inputs": len(result.targets),
        "method": method,
        "targets": jsonable(result.targets[:1]),
        "top_k": top_k,
        "order": order,
        "model_sha256": trained and trained.model_digest,
        "answer_sha256": told and model_digest(told),
    }
    record(store.path, "query", facts)


def _check_kinds(store: object) -> None:
    """Refuse a path in place of a store by name; `module_of` refuses what is no model."""
    if not hasattr(store, "check_model"):
        raise AttributionError(
            f"the store is a {type(store).__name__}; open it with GradientStore.open(path), and "
            f"call compute_influence_scores(model, store, test_input)"
        )


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _single(array: NDArray[Any], store: GradientStore) -> NDArray[Any]:
    """Return one test input with a leading axis of length 1."""
    if store.record is not None and array.shape == store.record.inputs.shape[1:]:
        return array[None]
    if array.ndim > 1 and len(array) != 1:
        raise DataError(
            f"the test input has shape {array.shape}; give one input, or several to "
            f"influence_matrix"
        )
    return array


def _checked(inputs: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float64]:
    if inputs.shape[1:] != shape or inputs.ndim == 0:
        given = inputs.shape[1:] if inputs.ndim > 1 else inputs.shape
        raise DataError(
            f"the test input has shape {given}, the model was trained on inputs of shape {shape}; "
            f"prepare it as the training inputs were"
        )
    if not np.isfinite(inputs).all():
        where = ", ".join(map(str, np.argwhere(~np.isfinite(inputs))[0][1:]))
        raise DataError(
            f"the test input is NaN or infinite at column {where}; fill it as the training inputs "
            f"were"
        )
    return inputs.astype(np.float64)


def _classes(problem: Problem, outputs: torch.Tensor, target: int | None) -> torch.Tensor:
    """Return the class of each query: the one asked for, or the decided one."""
    spec, n_outputs = problem.spec, outputs.shape[1]
    count = losses.n_decisions(spec, n_outputs)
    if target is None:
        if spec.kind == "mse" and n_outputs > 1:
            raise AttributionError(
                f"the model predicts {n_outputs} values; say which one to explain with target="
            )
        return losses.decided(spec, outputs)
    what = "outputs" if spec.kind == "mse" else "classes"
    if not _is_whole(target):
        raise AttributionError(
            f"target is {target!r}; give the number of one of the {count} {what}, 0 to {count - 1}"
        )
    if not 0 <= target < count:
        raise AttributionError(
            f"there is no class {target}: the model has {count} {what}, 0 to {count - 1}"
        )
    return torch.full((len(outputs),), int(target), dtype=torch.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    digest: str
    problem: Problem
    network: Network
    scorer: Scorer


# Fitted estimators live as long as both the model and the store that they belong to.
_FITTED: weakref.WeakKeyDictionary[Any, weakref.WeakKeyDictionary[Any, dict[str, _Fitted]]] = (
    weakref.WeakKeyDictionary()
)


def _fitted(model: Any, store: GradientStore, method: str) -> _Fitted:
    """Return the fitted estimator, from memory where nothing changed."""
    module = module_of(model)
    by_method = _FITTED.setdefault(model, weakref.WeakKeyDictionary()).setdefault(store, {})
    known = by_method.get(method)
    if known is not None and store.record is not None:
        store.check_model(module)
        if known.digest == store.record.model_digest:
            return known
    problem = problem_of(module, store)
    network = Network(module, problem.trained)
    scorer = ESTIMATORS[method](problem, network, store)
    by_method[method] = _Fitted(model_digest(module), problem, network, scorer)
    return by_method[method]
