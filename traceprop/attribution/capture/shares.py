"""What a layer adds to the samples' gradients of a parameter, in the cheapest form that it has.

Promise: `add_to` adds to a batch's rows what `total` sums over the samples, without forming more
than a few megabytes of per-sample gradients at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from traceprop.attribution.capture.convolution import padded, weight_gradients
from traceprop.attribution.projection import Sketch

# How many numbers of per-sample gradients are formed at a time.
_FORMED_NUMBERS = 1 << 20


def as_array(values: Tensor) -> NDArray[Any]:
    """Return a tensor's values; on the CPU, its own memory."""
    # numpy(force=True) would take three calls of torch to find that nothing is to be done.
    return (
        values.numpy() if values.is_cpu and not values.requires_grad else values.numpy(force=True)
    )


@dataclass(frozen=True, slots=True)
class Outer:
    """Σ_t left[:, t] ⊗ right[:, t], of factors `(n, T, p)` and `(n, T, q)`."""

    parameter: str
    left: Tensor
    right: Tensor

    def add_to(self, sketch: Sketch, i: int) -> None:
        """Add the share to parameter i of a batch's rows."""
        n, n_terms, p = self.left.shape
        if sketch.takes_factors(i, n_terms):
            sketch.add_factors(i, as_array(self.left), as_array(self.right))
            return
        step = max(1, _FORMED_NUMBERS // (p * self.right.shape[2]))
        for start in range(0, n, step):
            part = slice(start, start + step)
            formed = self.left[part].mT @ self.right[part]
            sketch.add(i, as_array(formed), part)

    def total(self, shape: torch.Size) -> tuple[Tensor, float]:
        """Return the sum over the samples, and a bound on its norm."""
        left, right = self.left.flatten(0, 1), self.right.flatten(0, 1)
        return (left.T @ right).reshape(shape), float(left.norm() * right.norm())


@dataclass(frozen=True, slots=True)
class Dense:
    """The share itself, `(n, ...)`, and the terms that it is a sum of.

    The terms may cancel, as those of a bias before a normalisation do: what rounding leaves is
    then small beside them alone.
    """

    parameter: str
    values: Tensor
    terms: Tensor

    def add_to(self, sketch: Sketch, i: int) -> None:
        """Add the share to parameter i of a batch's rows."""
        sketch.add(i, as_array(self.values))

    def total(self, shape: torch.Size) -> tuple[Tensor, float]:
        """Return the sum over the samples, and a bound on its norm."""
        return self.values.sum(0).reshape(shape), float(self.terms.norm())


@dataclass(frozen=True, slots=True)
class Segments:
    """`values[:, t]` (n, T, w) in row `index[:, t]` of a (p, w) parameter, zeros elsewhere."""

    parameter: str
    index: Tensor
    values: Tensor

    def add_to(self, sketch: Sketch, i: int) -> None:
        """Add the share to parameter i of a batch's rows."""
        sketch.add_segments(i, as_array(self.index), as_array(self.values))

    def total(self, shape: torch.Size) -> tuple[Tensor, float]:
        """Return the sum over the samples, and a bound on its norm."""
        total = self.values.new_zeros(shape)
        total.index_add_(0, self.index.flatten(), self.values.flatten(0, 1))
        return total, float(self.values.flatten(0, 1).norm(dim=1).sum())


@dataclass(frozen=True, slots=True)
class Convolved:
    """The share of a convolution's weight, of its input `(n, C, …)` and output's gradient."""

    parameter: str
    layer: nn.Conv1d | nn.Conv2d
    inputs: Tensor
    gradient: Tensor

    def add_to(self, sketch: Sketch, i: int) -> None:
        """Add the share to parameter i of a batch's rows."""
        for part, gradients in weight_gradients(self.layer, self.inputs, self.gradient):
            sketch.add(i, as_array(gradients), part)

    def total(self, shape: torch.Size) -> tuple[Tensor, float]:
        """Return the sum over the samples, and a bound on its norm."""
        parts = [
            gradients.sum(0)
            for _, gradients in weight_gradients(self.layer, self.inputs, self.gradient)
        ]
        seen = padded(self.layer, self.inputs).norm() * math.sqrt(self.layer.weight[0, 0].numel())
        return torch.stack(parts).sum(0).reshape(shape), float(self.gradient.norm() * seen)


Share = Outer | Dense | Segments | Convolved
