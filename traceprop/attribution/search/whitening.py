"""What makes one bit a coordinate enough: rows divided by the square root of their own spread.

For the matrix F = ΦᵀΦ/n + δI of the rows Φ (the empirical Fisher matrix with the estimators'
damping), rows go through F^(−1/2) and queries through F^(1/2), so that inner products stay what
they were. Of the signs of a gradient's own numbers a few large directions decide most; after
F^(−1/2) all count alike. Promise: whatever is approximated (F from some rows, eigenvalues far below
δ left out), rows and queries are changed by inverse maps, so that inner products are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceprop.curvature.damping import RELATIVE_DAMPING
from traceprop.errors import StoreError

Floats = NDArray[np.float32]

# Of δ: below this an eigenvalue changes a row's share along its direction by less than 5 %.
_NEGLIGIBLE = 0.1
# Directions at most: with 158 that count (the trace of F⁻¹ΦᵀΦ/n) on gradients of digits, 78 have
# an eigenvalue above δ.
_DIRECTIONS = 512
_ITERATIONS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Whitening:
    """F^(−1/2) for rows and F^(1/2) for queries, each up to one factor.

    Parameters
    ----------
    directions : ndarray of float32, shape (r, width)
        Eigenvectors of F, one a row.
    gains : ndarray of float32, shape (r,)
        √((λ + δ) / δ) of each.
    """

    directions: Floats
    gains: Floats

    @classmethod
    def of_moment(cls, moment: NDArray[np.float64]) -> Whitening:
        """Take it from ΦᵀΦ/n, shape `(width, width)`.

        Raises
        ------
        StoreError
            The moment is zero, or not finite.
        """
        if not np.isfinite(moment).all() or not moment.any():
            raise StoreError("all gradients in the store are zero, so there is nothing to search")
        # Scaled so that nothing overflows in float32, whose rounding is far below δ.
        values, vectors = _largest((moment / np.abs(moment).max()).astype(np.float32))
        damping = np.float32(RELATIVE_DAMPING) * values[-1]
        kept = values > _NEGLIGIBLE * damping
        gains: Floats = np.sqrt((values[kept] + damping) / damping)
        return cls(np.ascontiguousarray(vectors[:, kept].T), gains)

    def rows(self, rows: Floats) -> Floats:
        """Return rows `(n, width)` through F^(−1/2)."""
        return self._scaled(rows, 1 / self.gains - 1)

    def queries(self, queries: Floats) -> Floats:
        """Return queries `(q, width)` through F^(1/2)."""
        return self._scaled(queries, self.gains - 1)

    def _scaled(self, rows: Floats, change: NDArray[np.floating]) -> Floats:
        along = rows @ self.directions.T
        np.multiply(along, change, out=along)
        return np.asarray(rows + along @ self.directions, np.float32)


def _largest(matrix: Floats) -> tuple[Floats, Floats]:
    """Return eigenvalues in ascending order and eigenvectors, of a large matrix only the largest.

    By block power iteration with a Rayleigh-Ritz step (Halko, Martinsson and Tropp 2011): what it
    takes for a direction is orthogonal to all others, which is all that is promised of it.
    """
    width = len(matrix)
    if width <= 2 * _DIRECTIONS:
        values, vectors = np.linalg.eigh(matrix)
        return values, vectors
    basis: Floats = np.random.default_rng(0).standard_normal((width, _DIRECTIONS), np.float32)
    for _ in range(_ITERATIONS):
        basis = np.asarray(np.linalg.qr(matrix @ basis)[0], np.float32)
    values, turns = np.linalg.eigh(np.asarray(basis.T @ matrix @ basis, np.float32))
    return values, np.asarray(basis @ turns, np.float32)
