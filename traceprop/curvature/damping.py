"""The one rule by which curvature is damped, for every estimator and removal that needs it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from traceprop.curvature.cholesky import Factor, factorise
from traceprop.curvature.ggn import largest_eigenvalue

RELATIVE_DAMPING = 0.01
"""Of the largest eigenvalue. Damping decides more than the choice of the estimator does, so it is
not left to the hand."""


def factorise_damped(matrix: NDArray[np.float64]) -> tuple[Factor | None, float]:
    """Add δ to a matrix's diagonal, in place, and factorise it.

    Parameters
    ----------
    matrix : ndarray of float64, shape (d, d)
        Symmetric and positive semidefinite.

    Returns
    -------
    factor : Factor or None
        None if the matrix is zero.
    damping : float
        δ.
    """
    damping = RELATIVE_DAMPING * largest_eigenvalue(lambda rows: rows @ matrix, len(matrix))
    matrix[np.diag_indices_from(matrix)] += damping
    return factorise(matrix), damping
