"""`approximate_unlearn`: check the case, choose a method, run it, write down what was done.

Promises: the given model and the store are never changed, whether it succeeds or not; the method
that runs and why it was chosen are in the record; a model that was returned is in the store's audit
log.
"""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
import torch
from numpy.typing import ArrayLike, NDArray

import traceprop
from traceprop.audit.recording import record as write_down
from traceprop.curvature.digest import model_digest
from traceprop.errors import UnlearnError
from traceprop.unlearning import ascent, convex, gauss_newton
from traceprop.unlearning.case import Case, case_of
from traceprop.unlearning.classes import METHODS
from traceprop.unlearning.left import left_by_removal
from traceprop.unlearning.measures import Measured, measure
from traceprop.unlearning.outcome import Outcome
from traceprop.unlearning.removal_record import RemovalRecord, attach, record

if TYPE_CHECKING:
    from torch import nn

    from traceprop.attribution.store.forget import ForgetSet


def approximate_unlearn(
    model: nn.Module,
    forget_set: ForgetSet,
    *,
    method: str = "auto",
    data: tuple[ArrayLike, ArrayLike] | None = None,
    eta: float | None = None,
    steps: int | None = None,
    tol: float = 1e-10,
) -> nn.Module:
    """Take samples out of a trained model.

    Parameters
    ----------
    model : torch.nn.Module
        The model as training ended. It isn't changed.
    forget_set : ForgetSet
        The samples to remove, from `store.samples_from_source`.
    method : {"auto", "exact-convex", "gauss-newton", "ascent"}
        `exact-convex`: for a linear, logistic or softmax model with a penalty, Newton's method on
        the retained data, with a bound on the distance to the retrained model.
        `gauss-newton`: for any network, one damped Gauss-Newton step, without a guarantee.
        `ascent`: the baseline of gradient ascent on the forget set. `auto`: `exact-convex` where
        its bound holds, else `gauss-newton`.
    data : tuple of array-like, optional
        Training inputs and targets, row i being sample i. Needed where the store couldn't keep
        them; where it did, they must be the same. The record says which (`record(new).data`).
    eta : float, optional
        Step size of `ascent`.
    steps : int, optional
        Steps of `ascent`.
    tol : float
        Distance to the retrained weights at which `exact-convex` stops, before its result is
        rounded to the model's dtype.

    Returns
    -------
    torch.nn.Module
        A new module of the same kind. `traceprop.unlearning.record(new)` is what was done.

    Raises
    ------
    UnlearnError
        The forget set is empty, is everything, holds all samples of a class or samples that were
        never trained on; the method is unknown or doesn't fit the model; or the model is itself
        the result of a removal.
    StoreError
        The store is of another model, or doesn't know the loss (`criterion=` of TrainingContext).
    DataError
        `data` isn't what was recorded.
    AuditError
        The removal can't be written into the store's audit log.

    Examples
    --------
    >>> forget_set = store.samples_from_source("credit_scores.csv", rows=[4821])  # doctest: +SKIP
    >>> theta_prime = approximate_unlearn(model, forget_set)  # doctest: +SKIP
    >>> record(theta_prime).bound  # doctest: +SKIP
    3.1e-08
    """
    new = remove_samples(model, forget_set, method=method, data=data, eta=eta, steps=steps, tol=tol)
    done = record(new)
    facts = {
        "method": done.method,
        "removal_class": done.removal_class,
        "model_before_sha256": done.digest_before,
        "model_after_sha256": done.digest_after,
        "n_samples": done.n_forget,
        "samples_sha256": model_digest({"samples": np.array(done.samples, np.int64)}),
    }
    write_down(forget_set.store.path, "removal", facts)
    return new


def remove_samples(
    model: nn.Module,
    forget_set: ForgetSet,
    *,
    method: str,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    eta: float | None = None,
    steps: int | None = None,
    tol: float = 1e-10,
) -> nn.Module:
    """Do what `approximate_unlearn` does, without an entry in the audit log.

    For running a removal again to check it: nothing is removed by that.
    """
    if method not in METHODS:
        raise UnlearnError(f"no method is called {method!r}; use one of {', '.join(METHODS)}")
    if not tol > 0:
        raise UnlearnError(f"tol is {tol}; give a distance above 0")
    start = time.perf_counter()
    case = case_of(model, forget_set, data)
    chosen, reason = _choose(case, method)
    outcome = _run(case, chosen, eta, steps, tol)
    seconds = time.perf_counter() - start
    given = {"eta": eta, "steps": steps} if chosen != "ascent" else {}
    unused = tuple(name for name, value in given.items() if value is not None)
    attach(outcome.model, _record(case, outcome, method, chosen, reason, seconds, unused))
    return outcome.model


def _choose(case: Case, method: str) -> tuple[str, str]:
    """Return the method to run and why."""
    if method == "ascent":
        return method, "Asked for by name, as a baseline."
    if method == "gauss-newton":
        return method, "Asked for by name."
    refused = convex.refusal(case)
    if refused is None:
        why = (
            f"The model is linear in its parameters and the penalty λ = {case.problem.penalty:g} "
            f"({case.problem.penalty_origin}) makes its objective strictly convex."
        )
        return "exact-convex", why
    if method == "exact-convex":
        raise UnlearnError(
            f"method 'exact-convex' doesn't fit: {refused}; use 'gauss-newton', or "
            f"train again without the rows"
        )
    return "gauss-newton", f"No exact method fits: {refused}."


def _run(case: Case, method: str, eta: float | None, steps: int | None, tol: float) -> Outcome:
    if method == "exact-convex":
        return convex.remove(case, tol)
    if method == "ascent":
        return ascent.remove(case, eta, steps)
    return gauss_newton.remove(case)


def _record(
    case: Case,
    outcome: Outcome,
    asked: str,
    method: str,
    reason: str,
    seconds: float,
    unused: tuple[str, ...],
) -> RemovalRecord:
    before, after = measure(case.model, case.problem), measure(outcome.model, case.problem)
    change = after.margins[case.forget] - before.margins[case.forget]
    return RemovalRecord(
        method=method,
        asked_method=asked,
        removal_class=outcome.removal_class,
        reason=reason,
        bound=outcome.bound,
        objective=_objective(case),
        data={
            "origin": case.data_origin,
            "sha256": model_digest(
                {"inputs": case.problem.inputs, "targets": case.problem.targets}
            ),
        },
        samples=tuple(case.problem.samples[case.forget].tolist()),
        n_forget=len(case.forget),
        n_retain=len(case.retain),
        digest_before=model_digest(case.model),
        digest_after=model_digest(outcome.model),
        loss={
            "forget": _losses(before, after, case.forget),
            "retain": _losses(before, after, case.retain),
        },
        forget_margin={
            "before": float(before.margins[case.forget].mean()),
            "after": float(after.margins[case.forget].mean()),
            "mean_absolute_change": float(np.abs(change).mean()),
        },
        figures=outcome.figures,
        seconds=seconds,
        preprocessing=_preprocessing(case.store.steps),
        unaudited=True,
        unused_arguments=unused,
        limits=(
            *outcome.limits,
            *(
                ()
                if case.data_origin == "store"
                else (
                    "The training data were given for the removal, since the store couldn't keep "
                    "them, and couldn't be held against what was trained on.",
                )
            ),
        ),
        left=left_by_removal(case.problem.n),
        versions={
            "traceprop": traceprop.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "torch": torch.__version__,
        },
    )


def _objective(case: Case) -> dict[str, Any]:
    problem = case.problem
    return {
        "loss": problem.spec.to_json(),
        "penalty": problem.penalty,
        "penalty_origin": problem.penalty_origin,
        "sample_weight": problem.scale(len(case.retain)),
    }


def _losses(before: Measured, after: Measured, rows: NDArray[np.int64]) -> dict[str, float]:
    return {
        "before": float(before.losses[rows].mean()),
        "after": float(after.losses[rows].mean()),
    }


def _preprocessing(steps: tuple[str, ...]) -> str:
    if not steps:
        return (
            "No preprocessing was recorded. Statistics that were computed before the training data "
            "was recorded may still contain the removed rows."
        )
    return (
        f"Not replayed: statistics in the recorded steps ({' → '.join(map(str, steps))}), such as "
        f"means and scales, still contain the removed rows, and new inputs must be prepared as "
        f"before."
    )
