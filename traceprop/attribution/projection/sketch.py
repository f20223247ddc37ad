"""What every kind of projection does with a batch: rows that a batch's shares are added to.

A sketch starts at zero, takes the parameters' shares in whatever form a layer has them, and gives
the rows once. Promise: the rows depend on the sum of what was added, never on the form it came in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from traceprop.attribution.projection.projector import Projector

# How many numbers of gradients are formed at a time.
FORMED_NUMBERS = 1 << 20


class Sketch(ABC):
    """The projected rows of one batch while the parameters' shares are added.

    Parameters
    ----------
    projector : Projector
        The map.
    n : int
        How many samples the batch has.
    """

    def __init__(self, projector: Projector, n: int) -> None:
        self.projector, self.n = projector, n

    @abstractmethod
    def add(self, i: int, gradients: NDArray[Any], part: slice = slice(None)) -> None:
        """Add per-sample gradients `(m, ...)` of parameter i to the batch, or to part of it."""

    @abstractmethod
    def rows(self, factor: float = 1.0) -> NDArray[Any]:
        """Return the rows (n, width) of `factor` times what was added: call once, at the end."""

    def takes_factors(self, i: int, n_terms: int) -> bool:
        """Tell whether parameter i is better added as T outer products than as their sum."""
        return False

    def add_factors(self, i: int, left: NDArray[Any], right: NDArray[Any]) -> None:
        """Add Σ_t left[:, t] ⊗ right[:, t] to parameter i.

        Parameters
        ----------
        i : int
            A parameter of shape (p, q), or of p · q numbers.
        left, right : ndarray, shape (n, T, p) and (n, T, q)
            The factors.
        """
        step = max(1, FORMED_NUMBERS // (left.shape[2] * right.shape[2]))
        for start in range(0, self.n, step):
            part = slice(start, start + step)
            self.add(i, np.matmul(left[part].transpose(0, 2, 1), right[part]), part)

    def add_segments(self, i: int, index: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Add `values[:, t]` (n, T, w) to row `index[:, t]` of parameter i, of shape (p, w)."""
        shape = self.projector.blocks[i].shape
        step = max(1, FORMED_NUMBERS // self.projector.blocks[i].size)
        for start in range(0, self.n, step):
            part = slice(start, start + step)
            formed = np.zeros((len(values[part]), *shape), values.dtype)
            np.add.at(formed, (np.arange(len(formed))[:, None], index[part]), values[part])
            self.add(i, formed, part)
