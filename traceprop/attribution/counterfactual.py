"""What a model would have decided had some of its training rows not been there.

Adding up scores fails for large groups: rows that say the same stand in for one another. So the
model is solved for again: where its objective has one minimum, Newton's method goes to the minimum
on the remaining data; for a network, one damped Gauss-Newton step is taken on them.

Promise: unit `margin` only where both minima were found, to a distance of 1e-8 in the weights or to
rounding; the change is that between the two minima, so a model that was stopped early isn't
credited with the training that it missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from traceprop.attribution.estimators.base import Quality, Queries
from traceprop.attribution.fitted import fitted_to
from traceprop.attribution.models import plain_inputs
from traceprop.attribution.question import ask_margin, positions_of, sample_numbers
from traceprop.audit.canonical import jsonable
from traceprop.audit.recording import record
from traceprop.curvature import losses
from traceprop.curvature.digest import model_digest
from traceprop.curvature.ggn import Network
from traceprop.curvature.newton_step import step_without
from traceprop.curvature.problem import Problem, Rows
from traceprop.curvature.without import many_minima, minimum_without
from traceprop.errors import AttributionError

if TYPE_CHECKING:
    from traceprop.attribution.store.erasure.forget import ForgetSet
    from traceprop.attribution.store.gradient_store import GradientStore
    from traceprop.lineage import ProvenanceTensor

Array = NDArray[np.float64]

_DISTANCE = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class Counterfactual:
    """What a model says with all of its training rows, and what without some of them.

    Parameters
    ----------
    samples : ndarray of int64, shape (m,)
        The samples left out.
    targets : ndarray of int64, shape (q,)
        The class whose margin is f, for each input.
    margins, margins_without : ndarray of float64, shape (q,)
        f of the model as it is, and as it would have been.
    decisions, decisions_without : ndarray of int64, shape (q,)
        The class (for a regression 0) that it decides, and would have decided.
    quality : Quality
        What the figures are worth.
    """

    samples: NDArray[np.int64]
    targets: NDArray[np.int64]
    margins: Array
    margins_without: Array
    decisions: NDArray[np.int64]
    decisions_without: NDArray[np.int64]
    quality: Quality

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Whether the decision would have been another, for each input."""
        changed: NDArray[np.bool_] = self.decisions != self.decisions_without
        return changed

    def __repr__(self) -> str:
        count = f"without {len(self.samples)} sample{'s' if len(self.samples) != 1 else ''}"
        if len(self.margins) > 1:
            return (
                f"Counterfactual({count}: {int(self.changed.sum())} of {len(self.changed)} "
                f"decisions change, unit {self.quality.unit})"
            )
        decision = f"class {self.decisions_without[0]}"
        if self.changed[0]:
            decision += f" instead of {self.decisions[0]}"
        return (
            f"Counterfactual({count}: {decision}, margin of class {self.targets[0]} "
            f"{self.margins[0]:+.4g} → {self.margins_without[0]:+.4g}, unit {self.quality.unit})"
        )


def predict_without(
    model: Any,
    store: GradientStore,
    test_inputs: ArrayLike | torch.Tensor | ProvenanceTensor,
    *,
    rows: ForgetSet | Mapping[Any, Iterable[int]] | None = None,
    samples: Iterable[int] | None = None,
    target: int | tuple[int, int] | None = None,
) -> Counterfactual:
    """Tell what a model would have decided without some of its training rows.

    Parameters
    ----------
    model : torch.nn.Module or scikit-learn estimator
        The model as training ended.
    store : GradientStore
        The store that recorded it.
    test_inputs : array-like, Tensor or ProvenanceTensor, shape (d,) or (q, d)
        One input or several, prepared as the training inputs were.
    rows : ForgetSet, or mapping of source to row numbers
        What to leave out, by source rows: `{"credit_scores.csv": [4821, 7203]}`.
    samples : iterable of int
        What to leave out, by rows of the training tensor. Give one of the two.
    target : int or pair of int, optional
        The class to look at, or one over another; the decided one if not given.

    Returns
    -------
    Counterfactual
        Margins and decisions before and after.

    Raises
    ------
    AttributionError
        Nothing, or all, is to be left out; a sample isn't there; the minimum can't be found.
    SourceError, RowError
        A source or a row isn't there, or no sample came from it.
    DataError, StoreError, AuditError
        As in `compute_influence_scores`.

    Notes
    -----
    The preprocessing is taken as it is: its statistics still contain the rows. What they say of
    the preprocessing is asked with `tp.replay(X, without=rows)`.

    Examples
    --------
    >>> predict_without(model, store, x, rows={"credit_scores.csv": [4821]})  # doctest: +SKIP
    Counterfactual(without 1 sample: class 0, margin of class 0 +0.42 → +0.38, unit margin)
    """
    found, facts = foretell(model, store, test_inputs, rows=rows, samples=samples, target=target)
    record(store.path, "query", facts)
    return found


def foretell(
    model: Any,
    store: GradientStore,
    test_inputs: ArrayLike | torch.Tensor | ProvenanceTensor,
    *,
    rows: ForgetSet | Mapping[Any, Iterable[int]] | None = None,
    samples: Iterable[int] | None = None,
    target: int | tuple[int, int] | None = None,
) -> tuple[Counterfactual, dict[str, Any]]:
    """Answer as `predict_without` does, and return what its entry in the audit log would say."""
    fitted = fitted_to(model, store, "without", Refit)
    problem = fitted.problem
    inputs = plain_inputs(model, test_inputs)
    if inputs.shape == problem.inputs.shape[1:]:
        inputs = inputs[None]
    asked = ask_margin(problem, fitted.network, inputs, target)
    gone = _positions(problem, _samples(store, rows, samples))
    outputs = fitted.what.outputs(asked.queries.inputs)
    change, quality = fitted.what.change(gone, asked.queries.inputs)
    classes = torch.from_numpy(asked.queries.classes)
    found = Counterfactual(
        samples=problem.samples[gone],
        targets=asked.queries.classes,
        margins=asked.margins,
        margins_without=losses.margins(problem.spec, outputs + change, classes).numpy(),
        decisions=_decided(problem, outputs),
        decisions_without=_decided(problem, outputs + change),
        quality=quality,
    )
    facts = {
        "inputs_sha256": model_digest({"inputs": inputs}),
        "n_inputs": len(inputs),
        "method": "without",
        "targets": jsonable(found.targets[:1]),
        "samples_sha256": model_digest({"samples": found.samples}),
        "n_samples": len(found.samples),
        "model_sha256": fitted.digest,
        "answer_sha256": model_digest({"margins": found.margins_without}),
    }
    return found, facts


class Refit:
    """A run that is solved again without samples."""

    def __init__(self, problem: Problem, network: Network, store: GradientStore) -> None:
        self._problem = problem
        self._network = network
        self._why = _no_minimum(problem)
        if problem.head is not None and self._why is None:
            start = problem.head.pack(network.weights())
            try:
                self._whole = minimum_without(
                    problem, np.array([], np.int64), start, distance=_DISTANCE
                ).theta
            except np.linalg.LinAlgError as error:
                self._why = str(error)

    def outputs(self, inputs: Array) -> torch.Tensor:
        """Return the outputs of the model as it is."""
        return self._network_outputs(self._network.theta, inputs)

    def change(self, gone: Rows, inputs: Array) -> tuple[torch.Tensor, Quality]:
        """Return by how much the outputs change without samples, and what that is worth."""
        if self._why is None:
            try:
                minimum = minimum_without(self._problem, gone, self._whole, distance=_DISTANCE)
            except np.linalg.LinAlgError as error:
                raise AttributionError(
                    f"the model can't be solved for without these samples: {error}; leave fewer out"
                ) from error
            moved = self._head_outputs(minimum.theta - self._whole, inputs)
            return moved, Quality("margin")
        kept = np.delete(np.arange(self._problem.n), gone)
        try:
            step = step_without(self._problem, self._network, kept, erased_too=False)
        except np.linalg.LinAlgError as error:
            raise AttributionError(f"{error}; leave fewer samples out") from error
        note = f"One damped Gauss-Newton step, without a bound on its error: {self._why}."
        moved = self._network_outputs(step.theta, inputs) - self.outputs(inputs)
        return moved, Quality("relative", step.damping, (note,))

    def margins(self, gone: Rows, queries: Queries) -> Array:
        """Return f of each query without samples, shape `(q,)`."""
        outputs = self.outputs(queries.inputs) + self.change(gone, queries.inputs)[0]
        classes = torch.from_numpy(queries.classes)
        margins: Array = losses.margins(self._problem.spec, outputs, classes).numpy()
        return margins

    def _head_outputs(self, theta: Array, inputs: Array) -> torch.Tensor:
        """Return the outputs of a head, which are linear in θ."""
        head = self._problem.head
        assert head is not None
        return torch.from_numpy(head.outputs(theta, inputs))

    def _network_outputs(self, theta: Array, inputs: Array) -> torch.Tensor:
        with torch.no_grad():
            return self._network.outputs(torch.from_numpy(theta), torch.from_numpy(inputs))


def _no_minimum(problem: Problem) -> str | None:
    """Return why there is no one minimum to go to, or None.

    Without a penalty there is one where the data alone determine the weights, which the solver
    finds out.
    """
    why = many_minima(problem)
    return None if problem.head is not None and problem.penalty == 0.0 else why


def _decided(problem: Problem, outputs: torch.Tensor) -> NDArray[np.int64]:
    decided: NDArray[np.int64] = losses.decided(problem.spec, outputs).numpy()
    return decided


def _samples(
    store: GradientStore,
    rows: ForgetSet | Mapping[Any, Iterable[int]] | None,
    samples: Iterable[int] | None,
) -> NDArray[np.int64]:
    """Return the samples to leave out, from the one of the two that was given."""
    if samples is not None and rows is None:
        return sample_numbers(samples)
    if samples is not None or rows is None:
        raise AttributionError(
            "say what to leave out by one of rows={source: [...]} and samples=[...]"
        )
    if isinstance(rows, Mapping):
        found = [store.samples_from_source(uri, numbers).samples for uri, numbers in rows.items()]
        return np.unique(np.concatenate([np.array([], np.int64), *found]))
    return np.unique(np.asarray(rows.samples, dtype=np.int64))


def _positions(problem: Problem, samples: NDArray[np.int64]) -> Rows:
    """Return the problem's rows of samples: some of them, and not all."""
    gone = positions_of(problem, samples)
    if len(gone) == 0:
        raise AttributionError("no sample is to be left out; name one or more")
    if len(gone) == problem.n:
        raise AttributionError(
            f"all {problem.n} training samples are to be left out, and without them there is no "
            f"model"
        )
    return gone
