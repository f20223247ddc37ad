"""Logistic regression at its minimum, in plain NumPy: the truth of scores on thousands of rows.

The objective is scikit-learn's, C Σℓ + ½‖w‖² with the intercept spared. Nothing here comes from
traceprop.
"""

from __future__ import annotations

import numpy as np

GRADIENT_NORM = 1e-8


def minimum(X: np.ndarray, y: np.ndarray, C: float, start: np.ndarray) -> np.ndarray:
    """Weights and, last, the intercept, by Newton's method to a gradient norm of 1e-8."""
    columns = np.hstack([X, np.ones((len(X), 1))])
    penalty = np.append(np.ones(X.shape[1]), 0.0)

    def value(theta: np.ndarray) -> float:
        scores = columns @ theta
        losses = np.logaddexp(0.0, scores) - y * scores
        return float(C * losses.sum() + 0.5 * (penalty * theta**2).sum())

    theta = start
    for _ in range(100):
        p = 1.0 / (1.0 + np.exp(-columns @ theta))
        gradient = C * columns.T @ (p - y) + penalty * theta
        if np.linalg.norm(gradient) <= GRADIENT_NORM:
            return theta
        hessian = C * (columns.T * (p * (1.0 - p))) @ columns + np.diag(penalty)
        step, length, here = np.linalg.solve(hessian, gradient), 1.0, value(theta)
        slack = 1e-12 * abs(here)  # near the minimum the values differ by rounding alone
        while value(theta - length * step) > here + slack and length > 1e-6:
            length /= 2
        theta = theta - length * step
    raise AssertionError(f"no minimum after 100 Newton steps: {np.linalg.norm(gradient)}")
