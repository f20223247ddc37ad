"""`achlioptas`: the dense-ish random matrix of Achlioptas (2003), entries 0 two times in three.

Kept for fidelity to the papers that use it; it costs hundreds of times what `sjlt` does and is no
better on real gradients. Promise: neither the matrix nor a linear layer's gradient is ever whole.
A panel of the matrix is made, multiplied with as many columns of the gradients, and forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.projection.blocks import Floats, block_keys
from traceprop.attribution.projection.sketch import Sketch

if TYPE_CHECKING:
    from traceprop.attribution.projection.projector import Projector

_PANEL_ROWS = 64  # at k = 4096, a panel of 1 MiB stays in the second cache


class PanelSketch(Sketch):
    """The projected rows of a batch, see `Sketch`."""

    def __init__(self, projector: Projector, n: int) -> None:
        super().__init__(projector, n)
        self._rows = np.zeros((n, projector.k), np.float32)
        self._keys = [key for key, _ in block_keys(projector.seed, len(projector.blocks))]
        self._panel = np.empty((_PANEL_ROWS, projector.k), np.float32)

    def add(self, i: int, gradients: NDArray[Any], part: slice = slice(None)) -> None:
        """Add per-sample gradients `(m, ...)` of parameter i to the batch, or to part of it."""
        rows = self._rows[part]
        self._multiply(i, 0, gradients.reshape(len(rows), -1), rows)

    def takes_factors(self, i: int, n_terms: int) -> bool:
        """Tell whether parameter i is better added as factors: the panels are then made once."""
        return True

    def add_factors(self, i: int, left: NDArray[Any], right: NDArray[Any]) -> None:
        """Add Σ_t left[:, t] ⊗ right[:, t] to parameter i, some rows of it at a time."""
        n, _, p = left.shape
        q = right.shape[2]
        step = max(1, _PANEL_ROWS // q)
        for start in range(0, p, step):
            part = left[:, :, start : start + step].transpose(0, 2, 1)
            self._multiply(i, start * q, np.matmul(part, right).reshape(n, -1), self._rows)

    def add_segments(self, i: int, index: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Add `values[:, t]` (n, T, w) to row `index[:, t]` of parameter i, of shape (p, w)."""
        for row in np.unique(index):
            gradients = np.einsum("nt,ntw->nw", (index == row).astype(values.dtype), values)
            self._multiply(i, int(row) * values.shape[2], gradients, self._rows)

    def rows(self, factor: float = 1.0) -> Floats:
        """Return the projected rows, (n, k), times a factor."""
        self._rows *= np.float32(factor)
        return self._rows

    def _multiply(self, i: int, first: int, gradients: NDArray[Any], out: Floats) -> None:
        """Add the product of gradients of coordinates `first` onwards with their matrix rows."""
        import torch

        from numba_kernels.projection_panels import achlioptas_panel

        flat = np.ascontiguousarray(gradients, np.float32)
        target, source = torch.from_numpy(out), torch.from_numpy(flat)
        for start in range(0, flat.shape[1], _PANEL_ROWS):
            columns = source[:, start : start + _PANEL_ROWS]
            panel = self._panel[: columns.shape[1]]
            achlioptas_panel(self._keys[i], first + start, panel)
            target.addmm_(columns, torch.from_numpy(panel))
