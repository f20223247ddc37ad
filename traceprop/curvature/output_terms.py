"""Value and derivatives of a loss, and of a margin, in the model's outputs; NumPy, float64.

Promise: these are the exact first and second derivatives of `losses.sample_losses` and the first
of `losses.margins`. The second derivative of a sample's loss is kept as `diag(D) − P Pᵀ`, never as
a matrix, so that products with it cost as much as one with a vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp, softmax

from traceprop.curvature.losses import LossSpec

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OutputCurvature:
    """The Hessian of each sample's loss in its outputs: `diag(D) − P Pᵀ`.

    Parameters
    ----------
    diagonal : ndarray, shape (n, o)
        D, not negative.
    rank_one : ndarray of shape (n, o), or None
        P; None where the outputs don't interact (squared and logistic loss).
    """

    diagonal: Array
    rank_one: Array | None

    def part(self, rows: slice) -> OutputCurvature:
        """Return that of some samples."""
        rank_one = None if self.rank_one is None else self.rank_one[rows]
        return OutputCurvature(self.diagonal[rows], rank_one)

    def times(self, vectors: Array) -> Array:
        """Multiply one vector of outputs per sample, `(n, o)`, by that sample's Hessian."""
        product = self.diagonal * vectors
        if self.rank_one is not None:
            product -= self.rank_one * np.sum(self.rank_one * vectors, axis=1, keepdims=True)
        return product

    def weight(self, a: int, b: int) -> Array:
        """Return the entry (a, b) of every sample's Hessian, shape `(n,)`."""
        own = self.diagonal[:, a] if a == b else np.zeros(len(self.diagonal))
        return own if self.rank_one is None else own - self.rank_one[:, a] * self.rank_one[:, b]


def losses(spec: LossSpec, outputs: Array, targets: Array) -> Array:
    """Return each sample's loss, shape `(n,)`, for outputs `(n, o)`.

    Targets are class indices `(n,)` for cross-entropy, else values with as many numbers as the
    outputs.
    """
    if spec.kind == "cross_entropy":
        chosen = outputs[np.arange(len(outputs)), targets.astype(np.int64)]
        return np.asarray(logsumexp(outputs, axis=1) - chosen)
    values = targets.reshape(outputs.shape)
    if spec.kind == "bce_with_logits":
        terms = np.logaddexp(0.0, outputs) - values * outputs
    else:
        terms = (outputs - values) ** 2
    return np.asarray(terms.sum(axis=1) * _share(spec, outputs))


def residuals(spec: LossSpec, outputs: Array, targets: Array) -> Array:
    """Return the gradient of each sample's loss in its outputs, shape `(n, o)`."""
    if spec.kind == "cross_entropy":
        gradient = np.asarray(softmax(outputs, axis=1))
        gradient[np.arange(len(outputs)), targets.astype(np.int64)] -= 1.0
        return gradient
    values = targets.reshape(outputs.shape)
    if spec.kind == "bce_with_logits":
        return np.asarray((expit(outputs) - values) * _share(spec, outputs))
    return np.asarray(2.0 * (outputs - values) * _share(spec, outputs))


def curvature(spec: LossSpec, outputs: Array) -> OutputCurvature:
    """Return the Hessian of each sample's loss in its outputs; it doesn't depend on the targets."""
    if spec.kind == "cross_entropy":
        p = np.asarray(softmax(outputs, axis=1))
        return OutputCurvature(p, p)
    if spec.kind == "bce_with_logits":
        p = expit(outputs)
        return OutputCurvature(p * (1.0 - p) * _share(spec, outputs), None)
    return OutputCurvature(np.full_like(outputs, 2.0 * _share(spec, outputs)), None)


def margin_gradients(spec: LossSpec, outputs: Array, classes: NDArray[np.int64]) -> Array:
    """Return the gradient of `losses.margins` in the outputs, shape `(n, o)`."""
    rows = np.arange(len(outputs))
    if classes.ndim == 2 and spec.kind != "bce_with_logits":
        difference = np.zeros_like(outputs)
        difference[rows, classes[:, 0]] += 1.0
        difference[rows, classes[:, 1]] -= 1.0
        return difference
    if classes.ndim == 2:
        classes = classes[:, 0]
    if spec.kind == "bce_with_logits":
        return np.asarray(2.0 * classes[:, None] - 1.0)
    gradient = np.zeros_like(outputs)
    if spec.kind == "cross_entropy":
        others = outputs.copy()
        others[rows, classes] = -np.inf
        gradient = -np.asarray(softmax(others, axis=1))
    gradient[rows, classes] = 1.0
    return gradient


def _share(spec: LossSpec, outputs: Array) -> float:
    """Return the weight of one output's term: "mean" averages over the outputs too."""
    return 1.0 / outputs.shape[1] if spec.reduction == "mean" else 1.0
