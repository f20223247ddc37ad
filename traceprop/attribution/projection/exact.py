"""`identity`: the gradient itself. Promise: no number is lost; float64 stays float64 if asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.projection.blocks import starts_of
from traceprop.attribution.projection.sketch import Sketch

if TYPE_CHECKING:
    from traceprop.attribution.projection.projector import Projector


class ExactSketch(Sketch):
    """The flat gradients of a batch, see `Sketch`."""

    def __init__(
        self, projector: Projector, n: int, dtype: type[np.floating[Any]] = np.float32
    ) -> None:
        super().__init__(projector, n)
        self._rows = np.zeros((n, projector.d), dtype)
        self._starts = starts_of([block.size for block in projector.blocks])

    def add(self, i: int, gradients: NDArray[Any], part: slice = slice(None)) -> None:
        """Add per-sample gradients `(m, ...)` of parameter i to the batch, or to part of it."""
        rows, size, start = self._rows[part], self.projector.blocks[i].size, self._starts[i]
        rows[:, start : start + size] += gradients.reshape(len(rows), size)

    def rows(self, factor: float = 1.0) -> NDArray[Any]:
        """Return `factor` times the gradients, (n, d)."""
        self._rows *= factor
        return self._rows
