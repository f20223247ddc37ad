"""A question about decisions: inputs that a model was, or may be, asked about, and what is asked.

Promise: what can't be a question to this model (another width, a NaN, a class that it hasn't got)
is refused by name before anything is computed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from traceprop.attribution.estimators.base import Queries
from traceprop.curvature import losses
from traceprop.curvature.ggn import Network
from traceprop.curvature.problem import Problem
from traceprop.errors import AttributionError, DataError


@dataclass(frozen=True, slots=True)
class Loss:
    """As a target: f is the loss of an input with this label, and not a margin.

    Parameters
    ----------
    label : int or float
        The class, or for a regression the value.

    Examples
    --------
    >>> compute_influence_scores(model, store, x, target=Loss(1))  # doctest: +SKIP
    """

    label: int | float


Target = int | tuple[int, int] | Loss | None
"""A class, one class over another, the loss of a label; None for the decided class."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Checked inputs with the classes asked about, and f as it is.

    Parameters
    ----------
    queries : Queries
        The inputs and classes.
    margins : ndarray of float64, shape (q,)
        The margins of the model as it is.
    loss : Loss or None
        The label whose loss is f; where None, f is the margin.
    squared : bool
        Whether that loss is the squared one.
    """

    queries: Queries
    margins: NDArray[np.float64]
    loss: Loss | None = None
    squared: bool = False

    @property
    def values(self) -> NDArray[np.float64]:
        """F of the model as it is, shape `(q,)`."""
        return self.margins if self.loss is None else self._losses(self.margins)

    def scores(self, of_margins: NDArray[np.float64], unit: str) -> NDArray[np.float64]:
        """Turn scores of the margins `(q, n)` into scores of f.

        In units of the margin they say what it would be without a sample, and so what the loss
        would be; relative ones are taken along the loss's slope.
        """
        if self.loss is None:
            return of_margins
        margins = self.margins[:, None]
        if unit == "margin":
            return self._losses(margins) - self._losses(margins - of_margins)
        slopes = 2.0 * (margins - self.loss.label) if self.squared else -expit(-margins)
        return np.asarray(slopes * of_margins)

    def _losses(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.squared:
            assert self.loss is not None
            return (margins - self.loss.label) ** 2
        return np.logaddexp(0.0, -margins)  # −log p, as the margin is the log odds of p


def ask(problem: Problem, network: Network, inputs: NDArray[Any], target: Target) -> Question:
    """Check inputs and put together the question.

    Parameters
    ----------
    problem : Problem
        The run.
    network : Network
        The model as training ended.
    inputs : ndarray, shape (q, ...)
        Prepared as the training inputs were.
    target : int, pair of int, Loss or None
        The class, for a regression the output; one over another; a loss; None: the decided class.

    Raises
    ------
    DataError
        The inputs have another shape than the training's, or hold a NaN or an infinity.
    AttributionError
        There is no such class.
    """
    checked = _checked(inputs, problem.inputs.shape[1:])
    outputs = network.trained_outputs(torch.from_numpy(checked))
    loss = target if isinstance(target, Loss) else None
    squared = problem.spec.kind == "mse"
    if isinstance(target, Loss):
        _number(target)
        classes = _classes(problem, outputs, None if squared else _label(target))
    elif isinstance(target, tuple):
        classes = _pair(problem, outputs, target)
    else:
        classes = _classes(problem, outputs, target)
    margins = losses.margins(problem.spec, outputs, classes).numpy()
    return Question(Queries(checked, classes.numpy()), margins, loss, squared)


def one_input(array: NDArray[Any], problem: Problem) -> NDArray[Any]:
    """Return one test input with a leading axis of length 1."""
    if array.shape == problem.inputs.shape[1:]:
        return array[None]
    if array.ndim > 1 and len(array) != 1:
        raise DataError(
            f"the test input has shape {array.shape}; give one input, or several to "
            f"influence_matrix"
        )
    return array


def is_whole(value: object) -> bool:
    """Tell whether a value is a whole number."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def ask_margin(
    problem: Problem, network: Network, inputs: NDArray[Any], target: Target
) -> Question:
    """As `ask`, of what is answered in margins alone; a `Loss` is refused."""
    if isinstance(target, Loss):
        raise AttributionError(
            f"target is {target!r}, and this is answered in margins; give a class, a pair or None"
        )
    return ask(problem, network, inputs, target)


def sample_numbers(samples: Iterable[int]) -> NDArray[np.int64]:
    """Return the numbers of samples, each once, in order; what isn't whole is refused."""
    given = list(samples)
    wrong = [one for one in given if not is_whole(one)]
    if wrong:
        raise AttributionError(f"{wrong[0]!r} is no sample; samples are whole numbers from 0")
    return np.unique(np.array(given, dtype=np.int64))


def positions_of(problem: Problem, samples: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the problem's rows of samples; one that it hasn't got is refused."""
    unknown = np.setdiff1d(samples, problem.samples)
    if len(unknown):
        raise AttributionError(
            f"sample {unknown[0]} was never trained on; the samples are numbered 0 to "
            f"{problem.samples.max()}"
        )
    return np.flatnonzero(np.isin(problem.samples, samples))


def _checked(inputs: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float64]:
    if inputs.ndim and not len(inputs):
        raise DataError("there is no test input; give one or more")
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


def _label(loss: Loss) -> int:
    label = _number(loss)
    if not label.is_integer():
        raise AttributionError(f"Loss({loss.label!r}) is of no class; give a class's number")
    return int(label)


def _number(loss: Loss) -> float:
    """Return the label of a loss, which must be a finite number."""
    label: Any = loss.label
    if not isinstance(label, int | float | np.number) or not np.isfinite(label):
        raise AttributionError(f"Loss({label!r}) is of no label; give a finite number")
    return float(label)


def _pair(problem: Problem, outputs: torch.Tensor, pair: tuple[int, ...]) -> torch.Tensor:
    """Return the two classes of each query."""
    if len(pair) != 2 or pair[0] == pair[1]:
        raise AttributionError(f"target is {pair!r}; a pair is of two different classes")
    return torch.stack([_classes(problem, outputs, one) for one in pair], dim=1)


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
    if not is_whole(target):
        raise AttributionError(
            f"target is {target!r}; give the number of one of the {count} {what}, 0 to {count - 1}"
        )
    if not 0 <= target < count:
        raise AttributionError(
            f"there is no class {target}: the model has {count} {what}, 0 to {count - 1}"
        )
    return torch.full((len(outputs),), int(target), dtype=torch.int64)
