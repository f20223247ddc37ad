"""`approximate_unlearn`: check the case, choose a method, run it, write down what was done.

Promises: the given model is never changed, whether it succeeds or not, and the store by a purge
alone, which comes last; the method that runs and why it was chosen are in the record; a model that
was returned is in the store's audit log.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import scipy
import torch
from numpy.typing import ArrayLike

import traceprop
from traceprop.audit.recording import record as write_down
from traceprop.curvature.digest import model_digest
from traceprop.errors import UnlearnError
from traceprop.unlearning.auditing.measures import Measured, measure
from traceprop.unlearning.choosing import choose
from traceprop.unlearning.methods import (
    ascent,
    certified,
    convex,
    gauss_newton,
    refitting,
    retraining,
)
from traceprop.unlearning.methods.outcome import Outcome
from traceprop.unlearning.purging.copies import check_purge
from traceprop.unlearning.purging.copies import purge as erase_copies
from traceprop.unlearning.purging.held import refuse_held_removal
from traceprop.unlearning.purging.named_files import listed
from traceprop.unlearning.records.left import left_by_removal
from traceprop.unlearning.records.removal_record import (
    RemovalRecord,
    attach,
    pipeline_of_model,
    record,
)
from traceprop.unlearning.request.asked import Asked
from traceprop.unlearning.request.case import Case, case_of, check_kinds

if TYPE_CHECKING:
    from traceprop.attribution.store.erasure.forget import ForgetSet

ModelT = TypeVar("ModelT")


def approximate_unlearn(
    model: ModelT,
    forget_set: ForgetSet,
    *,
    method: str = "auto",
    data: tuple[ArrayLike, ArrayLike] | None = None,
    eta: float | None = None,
    steps: int | None = None,
    tol: float = 1e-10,
    recipe: Callable[..., Any] | None = None,
    seed: int | None = None,
    epsilon: float | None = None,
    delta: float | None = None,
    threshold: float = 1e-6,
    budget: tuple[float, float] | None = None,
    replay: bool | None = None,
    purge: bool = False,
    checkpoints: Iterable[str | os.PathLike[str]] = (),
    keep: Mapping[str | os.PathLike[str], str] | None = None,
    legal_hold: str | None = None,
    requester: str | None = None,
    approver: str | None = None,
) -> ModelT:
    """Take samples out of a trained model.

    Parameters
    ----------
    model : torch.nn.Module or scikit-learn estimator
        The model as training ended: a torch module, or a fitted linear estimator or pipeline that
        `traceprop.attribution.from_sklearn` recorded. It isn't changed.
    forget_set : ForgetSet
        The samples to remove, from `store.samples_from_source`.
    method : {"auto", "exact", "exact-convex", "certified", "gauss-newton", "ascent"}
        `exact`: train again with `recipe`; a scikit-learn estimator without it by its own `fit`,
        where that gives its weights again. `exact-convex`: for a linear, logistic or softmax model
        with a penalty, Newton's method on the retained data, with a bound on the distance to the
        retrained model. `certified`: the same with noise, for `epsilon` and `delta`.
        `gauss-newton`: for any network, a damped Gauss-Newton step, after a training by small
        batches also ten of L-BFGS on the rest, without a guarantee.
        `ascent`: the baseline of gradient ascent on the forget set. `auto`: `exact` where a recipe
        is given, else `exact-convex` where its bound holds, else `exact` by an estimator's own fit,
        else `gauss-newton`.
    data : tuple of array-like, optional
        Training inputs and targets, row i being sample i. Needed where the store couldn't keep
        them; where it did, they must be the same. The record says which (`record(new).data`).
        Of a pipeline, what `fit` was given.
    eta : float, optional
        Step size of `ascent`.
    steps : int, optional
        Steps of `ascent`.
    tol : float
        Distance to the retrained weights at which `exact-convex` and `certified` stop, before the
        result is rounded to the model's dtype.
    recipe : callable, optional
        The run's recipe, `recipe(inputs, targets, seed) -> model`, the same that `TrainingContext`
        was given.
    seed : int, optional
        The seed to train with; by default the recorded one.
    epsilon, delta : float, optional
        What `certified` promises. Removals from one store add up; the record has the sum.
    threshold : float
        Of `certified`: how far from the retrained minimum the solution may be. It decides, with ε
        and δ, how much noise there is; further away, the model is trained again from zero.
    budget : tuple of float, optional
        Of `certified`: the (ε, δ) that all removals from the store may spend together. A removal
        that would go beyond it is refused.
    replay : bool, optional
        Whether the preparation is done again without the rows, as `tp.replay` does it: by default
        where the recorded lineage can be replayed and gives the recorded training data to the bit.
        `traceprop.unlearning.preparation(new)` then prepares new inputs. True makes a refusal an
        error; with False the old preparation stays.
    purge : bool
        Whether the rows are then erased from the store, and from the files that are named, as
        `traceprop.unlearning.purge` does it. To audit the removal first, call that apart.
    checkpoints : iterable of path-like
        Of `purge`: files of before, such as weights, saved lineages and pipelines, and exports.
    keep : mapping of path-like to str
        Of `purge`: files that stay, each with the reason.
    legal_hold : str, optional
        A hold that stands against the removal: nothing is trained and nothing erased, the error's
        `record` says why, and the audit log has it. Holds of the store itself (`store.hold`) stand
        against `purge`.
    requester, approver : str, optional
        Who asked for the removal, and who approved it: for record, certificate and audit log.

    Returns
    -------
    torch.nn.Module or scikit-learn estimator
        A new model of the same kind. `traceprop.unlearning.record(new)` is what was done.

    Raises
    ------
    UnlearnError
        The forget set is empty, is everything, holds all samples of a class or samples that were
        never trained on; the method is unknown or doesn't fit the model; the recipe is another than
        the run's; the model is itself the result of a removal; or a named file can't be purged.
    LegalHoldError
        A hold stands against it; nothing was changed.
    StoreError
        The store is of another model, or doesn't know the loss (`criterion=` of TrainingContext).
    ModelError
        The estimator can't be read, or isn't fitted.
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
    asked = Asked(
        method, eta, steps, tol, recipe, seed, epsilon, delta, threshold, budget, replay
    )  # fmt: skip
    checkpoints = listed(checkpoints)
    if not purge and (keep or checkpoints):
        raise UnlearnError("checkpoints= and keep= are for a purge; give purge=True with them")
    check_kinds(model, forget_set)
    refuse_held_removal(
        forget_set, legal_hold, erases=purge, requester=requester, approver=approver
    )
    if purge:
        check_purge(forget_set, checkpoints, keep or {}, new_pipeline=replay is not False)
    new: ModelT = remove(model, forget_set, asked, data)
    done = replace(record(new), requester=requester, approver=approver)
    attach(new, done, pipeline_of_model(new))
    _write_removal(forget_set, done)
    if purge:
        erase_copies(new, forget_set, checkpoints=checkpoints, keep=keep)
    return new


def _write_removal(forget_set: ForgetSet, done: RemovalRecord) -> None:
    """Write a removal into the store's audit log."""
    facts = {
        "method": done.method,
        "removal_class": done.removal_class,
        "model_before_sha256": done.digest_before,
        "model_after_sha256": done.digest_after,
        "n_samples": done.n_forget,
        "samples_sha256": model_digest({"samples": np.array(done.samples, np.int64)}),
        "requester": done.requester,
        "approver": done.approver,
        **({} if done.budget is None else {k: done.budget[k] for k in ("epsilon", "delta")}),
    }
    write_down(forget_set.store.path, "removal", facts)


def remove_samples(
    model: Any,
    forget_set: ForgetSet,
    *,
    method: str,
    eta: float | None = None,
    steps: int | None = None,
    replay: bool = False,
) -> Any:
    """Do what `approximate_unlearn` does, without an entry in the audit log.

    For running a removal again to check it: nothing is removed by that.
    """
    return remove(model, forget_set, Asked(method, eta, steps, replay=replay), None)


def remove(
    model: Any,
    forget_set: ForgetSet,
    asked: Asked,
    data: tuple[ArrayLike, ArrayLike] | None,
) -> Any:
    """Return the new model, with its record."""
    start = time.perf_counter()
    replay = False if asked.method == "ascent" else asked.replay
    case = case_of(model, forget_set, data, replay)
    chosen, reason = choose(case, asked)
    outcome = _run(case, chosen, asked)
    seconds = time.perf_counter() - start
    done = _record(case, outcome, asked, chosen, reason, seconds)
    attach(outcome.given.model, done, case.prepared.pipeline)
    return outcome.given.model


def _run(case: Case, method: str, asked: Asked) -> Outcome:
    if method == "exact" and asked.recipe is None:
        return refitting.remove(case)
    if method == "exact":
        return retraining.remove(case, asked)
    if method == "exact-convex":
        return convex.remove(case, asked.tol)
    if method == "certified":
        return certified.remove(case, asked)
    if method == "ascent":
        return ascent.remove(case, asked.eta, asked.steps)
    return gauss_newton.remove(case)


def _record(
    case: Case, outcome: Outcome, asked: Asked, method: str, reason: str, seconds: float
) -> RemovalRecord:
    measured = _measured(case, outcome)
    given_data = (
        "The training data were given for the removal, since the store couldn't keep them, and "
        "couldn't be held against what was trained on."
    )
    return RemovalRecord(
        method=method,
        asked_method=asked.method,
        removal_class=outcome.removal_class,
        reason=reason,
        bound=outcome.bound,
        bound_from=outcome.bound_from,
        compared_with=outcome.compared_with,
        recipe=outcome.recipe,
        budget=outcome.budget,
        objective=_objective(case),
        data={
            "origin": case.data_origin,
            "sha256": model_digest(
                {"inputs": case.problem.inputs, "targets": case.problem.targets}
            ),
        },
        samples=tuple(case.problem.samples[case.forget].tolist()),
        n_forget=len(case.forget),
        n_retain=len(case.kept),
        digest_before=model_digest(case.module),
        digest_after=model_digest(outcome.given.module),
        loss=measured.loss,
        forget_margin=measured.margin,
        figures=outcome.figures,
        seconds=seconds,
        preprocessing=case.prepared.said,
        replayed=case.prepared.facts,
        unaudited=True,
        unused_arguments=asked.unused(method),
        limits=(*outcome.limits, *(() if case.data_origin == "store" else (given_data,))),
        left=left_by_removal(case.problem.n),
        versions={
            "traceprop": traceprop.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "torch": torch.__version__,
        },
    )


@dataclass(frozen=True, slots=True)
class _Figures:
    loss: dict[str, dict[str, float | None]]
    margin: dict[str, float | None]


def _measured(case: Case, outcome: Outcome) -> _Figures:
    """Measure both models on the same samples, each behind its own preparation."""
    spec, problem = case.problem.spec, case.problem
    before = measure(case.module, spec, problem.inputs, problem.targets)
    stays, goes = _after(case, outcome)
    was = before.margins[case.forget]
    figures: dict[str, float | None] = {
        "before": float(was.mean()), "after": None, "mean_absolute_change": None,
    }  # fmt: skip
    if goes is not None:
        figures["after"] = float(goes.margins.mean())
        figures["mean_absolute_change"] = float(np.abs(goes.margins - was).mean())
    loss: dict[str, dict[str, float | None]] = {
        "forget": {
            "before": float(before.losses[case.forget].mean()),
            "after": None if goes is None else float(goes.losses.mean()),
        },
        "retain": {
            "before": float(before.losses[case.retain].mean()),
            "after": float(stays.losses.mean()),
        },
    }
    return _Figures(loss, figures)


def _after(case: Case, outcome: Outcome) -> tuple[Measured, Measured | None]:
    """Measure the new model on the samples that stay and, where they can be prepared, that go."""
    spec, problem, goal = case.problem.spec, case.problem, case.goal
    new, gone = outcome.given.module, case.prepared.forget_inputs
    if goal is problem:
        found = measure(new, spec, problem.inputs, problem.targets)
        return found.of_rows(case.kept), found.of_rows(case.forget)
    stays = measure(new, spec, goal.inputs[case.kept], goal.targets[case.kept])
    if gone is None:
        return stays, None
    return stays, measure(new, spec, gone, problem.targets[case.forget])


def _objective(case: Case) -> dict[str, Any]:
    problem = case.goal
    return {
        "loss": problem.spec.to_json(),
        "penalty": problem.penalty,
        "penalty_origin": problem.penalty_origin,
        "unpenalised": list(problem.unpenalised),
        "sample_weight": problem.scale(len(case.kept)),
    }
