"""The Gaussian mechanism's δ by adding up both densities, cell by cell."""

from __future__ import annotations

import math


def delta_of(sigma: float, epsilon: float, sensitivity: float, cells: int = 40_000) -> float:
    """∫ max(p − e^ε q, 0) with p = N(Δ, σ²) and q = N(0, σ²), by the midpoint rule."""
    low, high = -12 * sigma, 12 * sigma + sensitivity
    width = (high - low) / cells
    total = 0.0
    for i in range(cells):
        x = low + (i + 0.5) * width
        p = math.exp(-((x - sensitivity) ** 2) / (2 * sigma**2))
        q = math.exp(-(x**2) / (2 * sigma**2))
        total += max(p - math.exp(epsilon) * q, 0.0)
    return total * width / (sigma * math.sqrt(2 * math.pi))
