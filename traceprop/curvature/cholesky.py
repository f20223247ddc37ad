"""Cholesky factors of symmetric matrices, with a plain answer to "is it singular?"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor
from scipy.linalg.lapack import dpocon, dpotrs

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """A factorised positive definite matrix A.

    Parameters
    ----------
    upper : ndarray, shape (d, d)
        Its Cholesky factor, in the upper triangle.
    reciprocal_condition : float
        An estimate of 1/κ₁(A).
    """

    upper: Array
    reciprocal_condition: float

    def solve(self, rows: Array) -> Array:
        """Return A⁻¹ times each row of `(q, d)`, or times one vector `(d,)`."""
        solved: Array = dpotrs(self.upper, rows.T, lower=False)[0].T
        return solved


def factorise(matrix: Array, *, least: float = 0.0) -> Factor | None:
    """Factorise a symmetric matrix.

    Parameters
    ----------
    matrix : ndarray of float64, shape (d, d)
        The matrix; it isn't changed.
    least : float
        The smallest reciprocal condition number (LAPACK's estimate) to accept.

    Returns
    -------
    Factor or None
        None if the matrix isn't positive definite, or is worse conditioned than `least`.
    """
    try:
        upper, _ = cho_factor(matrix)
    except np.linalg.LinAlgError:
        return None
    reciprocal = float(dpocon(upper, np.linalg.norm(matrix, 1), uplo="U")[0])
    return Factor(upper, reciprocal) if reciprocal >= least else None
