"""Certified removal: the retrained minimum with noise that hides what is left of the rows.

(ε, δ)-certified removal is that of Guo, Goldstein, Hannun and van der Maaten (2020): what comes out
can't be told from retraining and adding the same noise, by more than ε and δ. Their mechanism puts
the noise into the objective as training begins. A model that exists was trained without it, so the
noise is added at the end, as Neel, Roth and Sharifi-Malvajerdi (2021) do:

    θ' = θ̂ + N(0, σ² I),        ‖θ̂ − θ*‖ ≤ Δ,

θ* the minimum on the data that stay. The distance is bounded as in `curvature.bounds`, and doesn't
depend on the noise. σ is the least for which the Gaussian mechanism of sensitivity Δ is (ε, δ)
(Balle and Wang 2018, theorem 8; it holds for every ε, as the classical formula doesn't):

    Φ(Δ/2σ − εσ/Δ) − exp(ε) Φ(−Δ/2σ − εσ/Δ) ≤ δ.

Promises: Δ and σ are fixed before anything is solved; where the bound is above Δ the model is
trained again from zero, and refused if that isn't within Δ either. What earlier certified removals
from the store spent is added up, as its audit log tells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr

from traceprop.audit.log_check import check_log
from traceprop.audit.log_files import LogFiles
from traceprop.audit.settings import is_off
from traceprop.curvature.bounds import rests_on
from traceprop.curvature.objective import HeadObjective
from traceprop.curvature.without import minimum_without
from traceprop.errors import UnlearnError
from traceprop.unlearning.methods.outcome import Outcome

if TYPE_CHECKING:
    from traceprop.unlearning.request.asked import Asked
    from traceprop.unlearning.request.case import Case

Array = NDArray[np.float64]


def noise_scale(epsilon: float, delta: float, sensitivity: float) -> float:
    """Return σ of the Gaussian mechanism.

    Parameters
    ----------
    epsilon, delta : float
        What is promised; above 0, and δ below 1.
    sensitivity : float
        Δ, the distance to hide.

    Examples
    --------
    >>> round(noise_scale(1.0, 1e-5, 1.0), 4)
    3.7306
    """
    low, high = 1e-12, 1.0
    while _delta_of(high, epsilon) > delta:
        high *= 2
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _delta_of(middle, epsilon) > delta else (low, middle)
    return high * sensitivity


def _delta_of(sigma: float, epsilon: float) -> float:
    """Return δ of noise σ for a sensitivity of 1."""
    a, b = 0.5 / sigma, epsilon * sigma
    return float(ndtr(a - b) - math.exp(epsilon + float(log_ndtr(-a - b))))


def check(asked: Asked) -> None:
    """Refuse settings that promise nothing.

    Raises
    ------
    UnlearnError
        ε, δ or the threshold is missing or out of its range.
    """
    epsilon, delta = asked.epsilon, asked.delta
    if epsilon is None or delta is None or not epsilon > 0 or not 0 < delta < 1:
        raise UnlearnError(
            f"method 'certified' needs epsilon= > 0 and 0 < delta= < 1, and got epsilon={epsilon}, "
            f"delta={delta}"
        )
    if not (math.isfinite(epsilon) and 0 < asked.threshold < math.inf):
        raise UnlearnError(
            f"epsilon is {epsilon} and threshold {asked.threshold}; give finite numbers above 0"
        )


def remove(case: Case, asked: Asked) -> Outcome:
    """Solve, hold the bound against the threshold, add the noise.

    Raises
    ------
    UnlearnError
        The settings promise nothing, or no solution is within the threshold.
    """
    check(asked)
    assert asked.epsilon is not None
    assert asked.delta is not None
    sigma = noise_scale(asked.epsilon, asked.delta, asked.threshold)
    before = _spent_before(case.store.path)
    _check_budget(asked, before)
    theta, bound, from_zero, basis = _solved(case, asked)
    noise = np.random.default_rng().normal(0.0, sigma, theta.shape)
    head = case.linear.head
    assert head is not None
    new = case.start.holding(head.unpack(theta + noise))
    budget = {
        "epsilon": asked.epsilon,
        "delta": asked.delta,
        "sigma": sigma,
        "threshold": asked.threshold,
        "epsilon_of_all": asked.epsilon + before.epsilon,
        "delta_of_all": asked.delta + before.delta,
        "removals": 1 + before.removals,
    }
    return Outcome(
        new,
        "certified",
        bound=None,
        figures={"bound_before_noise": bound, "sigma": sigma, "trained_from_zero": from_zero},
        limits=(
            "The guarantee compares with retraining on the same data to the minimum of the stated "
            "objective, with the same noise, once. It doesn't cover the model before, which got no "
            "noise, nor attacks on the noise's floating-point numbers (Mironov 2012); and it is of "
            "the weights, not of the losses and figures of this record.",
            *(() if before.unknown is None else (f"The budget counts no more: {before.unknown}.",)),
        ),
        bound_from=basis,
        compared_with=(
            "the minimum of the recorded objective on the data that stay, with normal noise of σ "
            "added to every weight"
        ),
        budget=budget,
    )


def _check_budget(asked: Asked, before: _Spent) -> None:
    """Refuse a removal that would spend more than all may."""
    if asked.budget is None:
        return
    if before.unknown is not None:
        raise UnlearnError(
            f"whether the budget is spent isn't known, since {before.unknown}; leave budget= "
            f"out, or train again without the rows"
        )
    assert asked.epsilon is not None
    assert asked.delta is not None
    most_epsilon, most_delta = asked.budget
    epsilon, delta = asked.epsilon + before.epsilon, asked.delta + before.delta
    slack = 1.0 + 1e-12  # sums of decimals
    if epsilon > most_epsilon * slack or delta > most_delta * slack:
        raise UnlearnError(
            f"this removal would bring what {before.removals + 1} removals spent to ε = "
            f"{epsilon:g}, δ = {delta:g}, above the budget of ε = {most_epsilon:g}, δ = "
            f"{most_delta:g}; train again without all of the rows: the new run's store begins at 0"
        )


def _solved(case: Case, asked: Asked) -> tuple[Array, float, int, str]:
    """Return a solution within the threshold: from the model as it is, or else from zero."""
    head = case.linear.head
    assert head is not None
    assert asked.epsilon is not None
    gone = np.delete(np.arange(case.linear_goal.n), case.kept)
    warm = head.pack(case.module.state_dict())
    found: list[str] = []
    for from_zero, start in enumerate((warm, np.zeros_like(warm))):
        try:
            solved = minimum_without(case.linear_goal, gone, start, distance=asked.tol)
        except np.linalg.LinAlgError as error:
            found.append(str(error))
            continue
        bound = solved.bound
        if bound is not None and bound <= asked.threshold:
            theta = _without_shift(solved.theta, solved.objective)
            return theta, bound, from_zero, rests_on(solved.objective)
        found.append("no bound" if bound is None else f"bound {bound:.1e}")
    raise UnlearnError(
        f"neither from the model nor from zero does the solution come within the threshold "
        f"{asked.threshold:g} ({'; '.join(found)}); give a larger threshold=, which means more "
        f"noise, or a stronger penalty"
    )


def _without_shift(theta: Array, objective: HeadObjective) -> Array:
    """Choose among softmax models that differ in a number added to all biases: their sum is 0.

    Otherwise that number, which the data don't decide, would be the old model's.
    """
    shift = objective.shift()
    return theta if shift is None else theta - shift * float(shift @ theta) / float(shift @ shift)


@dataclass(frozen=True, slots=True)
class _Spent:
    """What certified removals from a store spent before, as far as its audit log tells."""

    epsilon: float
    delta: float
    removals: int
    unknown: str | None


def _spent_before(path: Path) -> _Spent:
    """Add up what the store's audit log says of certified removals.

    Raises
    ------
    UnlearnError
        The log isn't what was written, so what was spent can't be known.
    """
    if is_off(path):
        return _Spent(0.0, 0.0, 0, "the audit log is switched off")
    if not LogFiles(path).log.exists():
        return _Spent(0.0, 0.0, 0, None)
    log = check_log(path)
    if not log.ok:
        raise UnlearnError(
            f"what earlier removals spent isn't known, since the store's audit log doesn't hold: "
            f"{log.reason}; put the log back from a backup"
        )
    removals = [entry.serial for entry in log.entries if entry.kind == "removal"]
    facts = [log.openings[serial].facts for serial in removals if serial in log.openings]
    spent = [
        (float(each["epsilon"]), float(each["delta"]))
        for each in facts
        if each.get("removal_class") == "certified"
    ]
    closed = len(removals) - len(facts)
    return _Spent(
        sum(epsilon for epsilon, _ in spent),
        sum(delta for _, delta in spent),
        len(spent),
        f"the audit log let go of what {closed} earlier removals were" if closed else None,
    )
