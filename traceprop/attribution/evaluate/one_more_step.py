"""Training once more on the rows that are said to have driven a decision, to see if it follows.

From the final weights one gradient step is taken on the samples of largest score, and one on as
many random samples; the change of f tells whether the scores found rows that matter (Chang et al.
2024, "tail patch"). It needs no retraining, and says nothing of rows that are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from traceprop.attribution.fitted import scorer_for
from traceprop.attribution.models import plain_inputs
from traceprop.attribution.question import ask
from traceprop.curvature import losses
from traceprop.errors import AttributionError

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore
    from traceprop.lineage import ProvenanceTensor

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TailPatch:
    """What one more step did to f.

    Parameters
    ----------
    by_score, by_chance : ndarray of float64, shape (q,)
        The change of f after a step on the samples of largest score, and on random ones.
    rate : float
        The step's length.
    """

    by_score: Array
    by_chance: Array
    rate: float

    def __repr__(self) -> str:
        return (
            f"TailPatch(f {self.by_score.mean():+.4g} by the named samples, "
            f"{self.by_chance.mean():+.4g} by random ones, over {len(self.by_score)} inputs)"
        )


def tail_patch(
    model: Any,
    store: GradientStore,
    test_inputs: ArrayLike | ProvenanceTensor,
    *,
    method: str = "influence",
    target: int | None = None,
    top_k: int = 10,
    rate: float | None = None,
    seed: int = 0,
) -> TailPatch:
    """Take one gradient step on the samples of largest score, and see what it does to f.

    Parameters
    ----------
    model, store, test_inputs, method, target
        As in `evaluate.lds`.
    top_k : int
        How many samples to step on.
    rate : float, optional
        The step's length; the recorded optimizer's `lr` if not given.
    seed : int
        Of the random samples.

    Raises
    ------
    AttributionError
        An unknown method, `top_k` out of range, or no recorded `lr` and no `rate`.
    """
    fitted = scorer_for(model, store, method)
    problem, network = fitted.problem, fitted.network
    if not 1 <= top_k < problem.n:
        raise AttributionError(f"top_k is {top_k}; give one from 1 to {problem.n - 1}")
    step = _rate(store) if rate is None else rate
    asked = ask(problem, network, plain_inputs(model, test_inputs), target)
    scores = fitted.what.scores(asked.queries)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    draw = np.random.default_rng(seed)
    random = np.stack([draw.permutation(problem.n)[:top_k] for _ in best])
    objective = problem.network_objective(network)
    classes = torch.from_numpy(asked.queries.classes)
    changes = np.empty((2, len(best)))
    for i in range(len(best)):
        x = torch.from_numpy(asked.queries.inputs[i : i + 1])
        for changed, chosen in zip(changes, (best[i], random[i]), strict=True):
            part = objective.with_samples(np.sort(chosen), 1.0 / top_k)
            theta = network.theta - step * part.gradient(network.theta)
            with torch.no_grad():
                outputs = network.outputs(torch.from_numpy(theta), x)
            margin = losses.margins(problem.spec, outputs, classes[i : i + 1])
            changed[i] = float(margin) - asked.margins[i]
    return TailPatch(changes[0], changes[1], step)


def _rate(store: GradientStore) -> float:
    settings = (store.record and store.record.optimizer) or {}
    rate = settings.get("lr")
    if not isinstance(rate, int | float):
        raise AttributionError("the store knows no learning rate; give rate=")
    return float(rate)
