"""`audit`: a removal held against retraining, from both sides.

Going past the retrained model is no better than falling short of it, so every gap has a sign and is
in units of the way from the model before to the retrained one.

Promises: models are compared on the same samples, each behind its own preparation; what a second
retraining would differ by is measured and printed beside the gap, where more than one is given;
nothing is changed but the mark `unaudited` of the removal's record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from traceprop.attribution.estimators.problem import plain_values
from traceprop.attribution.models import module_of, plain_inputs
from traceprop.curvature import losses
from traceprop.curvature.ggn import Network, float64
from traceprop.errors import DataError
from traceprop.unlearning.auditing.measures import measure
from traceprop.unlearning.auditing.membership import Attack, Interval, klom, loss_attack, u_lira
from traceprop.unlearning.records.removal_record import attach, record
from traceprop.unlearning.request.case import Case, case_of

if TYPE_CHECKING:
    from traceprop.attribution.store.erasure.forget import ForgetSet

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """Figures on one part of the samples: those removed, those that stayed, or test samples.

    Parameters
    ----------
    loss_before, loss_after, loss_retrained : float
        Mean losses; the last is None without a retrained model.
    accuracy_before, accuracy_after, accuracy_retrained : float
        Shares decided rightly; None for a regression.
    logits_before, logits_after : float
        Mean |Δlogit| to the retrained model, of softmax models up to what all classes share.
    logits_again : float
        The same between two retrainings; None with fewer than two.
    """

    loss_before: float | None
    loss_after: float
    loss_retrained: float | None
    accuracy_before: float | None
    accuracy_after: float | None
    accuracy_retrained: float | None
    logits_before: float | None
    logits_after: float | None
    logits_again: float | None

    @property
    def gap_closed(self) -> float | None:
        """Share of the way from the loss before to the retrained one; above 1 it went too far."""
        if self.loss_retrained is None or self.loss_before is None:
            return None
        way = self.loss_retrained - self.loss_before
        return None if way == 0 else (self.loss_after - self.loss_before) / way


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found.

    Parameters
    ----------
    parts : dict of str to Part
        By `forget`, `retain` and, where they were given, `test`.
    attack_before, attack_after : Attack or None
        Telling removed samples from test samples by the loss; None without test samples.
    u_lira : Attack or None
        None without runs.
    klom, klom_floor : float or None
        95th percentile over the removed samples, and the same between halves of the retrained runs.
    seconds, retraining_seconds : float or None
        The removal's time, and that of the retraining.
    n_retrained, n_runs : int
        Retrained models and pairs of runs that it rests on.
    """

    parts: dict[str, Part]
    attack_before: Attack | None
    attack_after: Attack | None
    u_lira: Attack | None
    klom: float | None
    klom_floor: float | None
    seconds: float
    retraining_seconds: float | None
    n_retrained: int
    n_runs: int

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as JSON values."""
        return asdict(self)

    def __repr__(self) -> str:
        lines = [f"Audit against {self.n_retrained} retrained models, {self.n_runs} pairs of runs"]
        for name, part in self.parts.items():
            closed = part.gap_closed
            lines.append(
                f"  {name:8} loss {_n(part.loss_before)} → {_n(part.loss_after)} "
                f"(retrained {_n(part.loss_retrained)}"
                + ("" if closed is None else f", {closed:.1%} of the gap closed")
                + f")  |Δlogit| {_n(part.logits_before)} → {_n(part.logits_after)} "
                f"(again {_n(part.logits_again)})  accuracy {_n(part.accuracy_after)}"
            )
        for name, attack in (("loss", self.attack_after), ("U-LiRA", self.u_lira)):
            if attack is not None:
                lines.append(f"  {name} attack: AUC {attack.auc}, TPR at 1 % {attack.tpr_at_1}")
        if self.klom is not None:
            lines.append(f"  KLOM {self.klom:.3f}, of retrained halves {_n(self.klom_floor)}")
        return "\n".join(lines)


def audit(
    before: Any,
    after: Any,
    forget_set: ForgetSet,
    *,
    retrained: Sequence[Any] = (),
    test: tuple[ArrayLike, ArrayLike] | None = None,
    test_before: ArrayLike | None = None,
    runs: Sequence[tuple[Any, Any]] = (),
    data: tuple[ArrayLike, ArrayLike] | None = None,
    retraining_seconds: float | None = None,
    seed: int = 0,
) -> Audit:
    """Hold a removal against retraining, or without that against samples that were never seen.

    Parameters
    ----------
    before, after : torch.nn.Module or scikit-learn estimator
        What `approximate_unlearn` was given and what it returned.
    forget_set : ForgetSet
        What it removed.
    retrained : sequence of models
        Models trained without the samples, by several seeds; behind the preparation of `after`.
    test : tuple of array-like, optional
        Inputs and targets that were never trained on, prepared as for `after`.
    test_before : array-like, optional
        The same inputs prepared as for `before`, where the preparation is another.
    runs : sequence of (unlearned, retrained) models
        Pairs for KLOM and U-LiRA: trained with the samples and freed of them, and trained without.
    data : tuple of array-like, optional
        As for `approximate_unlearn`.
    retraining_seconds : float, optional
        What one retraining takes.
    seed : int
        Of the intervals' resampling.

    Returns
    -------
    Audit
        Where a retrained model was given, the record of `after` is no longer `unaudited`.

    Raises
    ------
    UnlearnError
        `after` has no record of a removal.
    DataError
        There are fewer than 4 runs, or test inputs and targets are out of step.

    Examples
    --------
    >>> audit(model, new, forget_set, retrained=[again], test=(X_test, y_test))  # doctest: +SKIP
    Audit against 1 retrained models, 0 pairs of runs
      forget   loss 0.118 → 0.402 (retrained 0.402, 100.0% of the gap closed) …
    """
    done = record(after)
    case = case_of(before, forget_set, data, done.replayed is not None)
    spec = case.problem.spec
    views = _views(case, before, after, test, test_before)
    parts = {name: _part(spec, view, before, after, retrained) for name, view in views.items()}
    attacks: tuple[Attack | None, Attack | None] = (None, None)
    if "test" in views and "forget" in views:
        attacks = (
            _loss_attack(spec, before, views, "inputs_before", seed),
            _loss_attack(spec, after, views, "inputs", seed),
        )
    ratio, divergence, floor = None, None, None
    if runs and "forget" in views:
        forget = views["forget"]
        ours, theirs = (
            np.stack([measure(module_of(m), spec, forget.inputs, forget.targets).margins
                      for m in models])
            for models in zip(*runs, strict=True)
        )  # fmt: skip
        ratio = u_lira(ours, theirs, seed=seed)
        divergence = float(np.quantile(klom(ours, theirs), 0.95))
        floor = float(np.quantile(klom(theirs[::2], theirs[1::2]), 0.95))
    found = Audit(
        parts, *attacks, ratio, divergence, floor, done.seconds, retraining_seconds,
        len(retrained), len(runs),
    )  # fmt: skip
    if retrained:
        attach(after, replace(done, unaudited=False))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """Samples of one part, as the models before and after take them."""

    inputs: Any
    inputs_before: Any
    targets: Any


def _views(
    case: Case,
    before: Any,
    after: Any,
    test: tuple[ArrayLike, ArrayLike] | None,
    test_before: ArrayLike | None,
) -> dict[str, _View]:
    problem, goal = case.problem, case.goal
    views = {}
    if case.prepared.forget_inputs is not None:
        views["forget"] = _View(
            case.prepared.forget_inputs, problem.inputs[case.forget], problem.targets[case.forget]
        )
    old = problem.inputs[case.retain] if len(case.kept) == len(case.retain) else None
    views["retain"] = _View(goal.inputs[case.kept], old, goal.targets[case.kept])
    if test is not None:
        inputs = plain_inputs(after, test[0])
        targets = case.given.targets(np.asarray(test[1]))
        if case.given.read is None:
            targets = plain_values(test[1])
        if len(inputs) != len(targets):
            raise DataError(f"test has {len(inputs)} inputs and {len(targets)} targets")
        old = plain_inputs(before, test[0] if test_before is None else test_before)
        views["test"] = _View(inputs, old, targets)
    return views


def _part(
    spec: losses.LossSpec, view: _View, before: Any, after: Any, retrained: Sequence[Any]
) -> Part:
    new = _outputs(after, view.inputs)
    old = None if view.inputs_before is None else _outputs(before, view.inputs_before)
    others = [_outputs(model, view.inputs) for model in retrained]
    return Part(
        None if old is None else _loss(spec, before, view.inputs_before, view.targets),
        _loss(spec, after, view.inputs, view.targets),
        _mean([_loss(spec, model, view.inputs, view.targets) for model in retrained]),
        None if old is None else _accuracy(spec, old, view.targets),
        _accuracy(spec, new, view.targets),
        _mean([_accuracy(spec, each, view.targets) for each in others]),
        None if old is None else _mean([_apart(spec, old, each) for each in others]),
        _mean([_apart(spec, new, each) for each in others]),
        _mean([_apart(spec, others[0], each) for each in others[1:]]),
    )


def _outputs(model: Any, inputs: NDArray[Any]) -> torch.Tensor:
    network = Network(module_of(model))
    with torch.no_grad():
        return network.outputs(torch.from_numpy(network.theta), float64(inputs))


def _loss(spec: losses.LossSpec, model: Any, inputs: Any, targets: Any) -> float:
    return float(measure(module_of(model), spec, inputs, targets).losses.mean())


def _loss_attack(
    spec: losses.LossSpec, model: Any, views: dict[str, _View], which: str, seed: int
) -> Attack:
    forget, unseen = (
        measure(module_of(model), spec, getattr(views[name], which), views[name].targets).losses
        for name in ("forget", "test")
    )
    return loss_attack(forget, unseen, seed=seed)


def _apart(spec: losses.LossSpec, one: torch.Tensor, other: torch.Tensor) -> float:
    difference = (one - other).reshape(len(one), -1)
    if spec.kind == "cross_entropy":  # softmax takes no notice of what all classes share
        difference = difference - difference.mean(1, keepdim=True)
    return float(difference.abs().mean())


def _accuracy(spec: losses.LossSpec, outputs: torch.Tensor, targets: Any) -> float | None:
    if spec.kind == "mse" or (spec.kind == "bce_with_logits" and outputs.shape[1:].numel() > 1):
        return None
    decided = losses.decided(spec, outputs).numpy()
    return float((decided == np.asarray(targets).reshape(-1)).mean())


def _mean(figures: Sequence[float | None]) -> float | None:
    known = [each for each in figures if each is not None]
    return float(np.mean(known)) if known else None


def _n(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:.4g}"


__all__ = ["Attack", "Audit", "Interval", "Part", "audit"]
