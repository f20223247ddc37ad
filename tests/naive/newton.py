"""The BFGS correction of an inverse Hessian, as a whole matrix."""

from __future__ import annotations

import numpy as np


def bfgs_inverse(inverse: np.ndarray, seen: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Correct it by steps and the changes of the gradient along them, in their order.

    Nocedal and Wright 2006, formula 6.17.
    """
    eye = np.eye(len(inverse))
    for way, change in seen:
        rho = 1.0 / (change @ way)
        left = eye - rho * np.outer(way, change)
        inverse = left @ inverse @ left.T + rho * np.outer(way, way)
    return inverse
