"""Conjugate gradients for several right-hand sides at once, with only products with the matrix.

Promise: each row of the answer is what CG alone would give for that row; a row stops moving when it
has converged or when the matrix shows no positive curvature along its direction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Product = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class CGResult:
    """What `conjugate_gradient` reached.

    Parameters
    ----------
    solution : ndarray, shape (q, d)
        One solution per row.
    residuals : ndarray, shape (q,)
        ‖b − A x‖ / ‖b‖ of each, by the recurrence.
    iterations : int
        Products made.
    converged : bool
        Whether every residual is at most the tolerance.
    """

    solution: Array
    residuals: Array
    iterations: int
    converged: bool


def conjugate_gradient(
    product: Product, rhs: Array, *, tolerance: float = 1e-8, max_iterations: int = 200
) -> CGResult:
    """Solve `A x = b` for a symmetric positive definite A (Hestenes and Stiefel 1952).

    Parameters
    ----------
    product : callable
        Maps `(q, d)` to `(q, d)`: each row times A.
    rhs : ndarray, shape (q, d)
        One right-hand side per row.
    tolerance : float
        Relative residual at which a row is done.
    max_iterations : int
        Most products to make.

    Returns
    -------
    CGResult
        Also when it hasn't converged: the caller decides what that means.
    """
    x = np.zeros_like(rhs)
    r = rhs.copy()
    p = rhs.copy()
    rr = np.einsum("qd,qd->q", r, r)
    limit = rr * tolerance**2
    active = rr > limit
    iterations = 0
    while active.any() and iterations < max_iterations:
        ap = product(p)
        iterations += 1
        curvature = np.einsum("qd,qd->q", p, ap)
        active &= curvature > 0
        step = np.where(active, rr / np.where(active, curvature, 1.0), 0.0)
        x += step[:, None] * p
        r -= step[:, None] * ap
        previous, rr = rr, np.einsum("qd,qd->q", r, r)
        growth = np.where(active, rr / np.where(previous > 0, previous, 1.0), 0.0)
        active &= rr > limit
        p = r + growth[:, None] * p
    norms = np.einsum("qd,qd->q", rhs, rhs)
    residuals = np.sqrt(rr / np.where(norms > 0, norms, 1.0))
    return CGResult(x, residuals, iterations, bool((rr <= limit).all()))
