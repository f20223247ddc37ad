"""Slow twins of the scan kernels: one row, one number, one bit at a time."""

from __future__ import annotations

import numpy as np

from tests.naive.projection import hash64


def ranking(scores: np.ndarray, k: int, order: str) -> np.ndarray:
    """The first k of a stable sort of everything; NaN comes last."""
    keys = {"largest": -scores, "abs": -np.abs(scores), "against": scores}[order]
    return np.argsort(keys, kind="stable")[:k]


def scores(
    rows: np.ndarray, scales: np.ndarray | None, query: np.ndarray, offset: float
) -> np.ndarray:
    out = []
    for i, row in enumerate(rows):
        total = sum(float(a) * float(b) for a, b in zip(row, query, strict=True))
        out.append(total * (1.0 if scales is None else float(scales[i])) + offset)
    return np.array(out)


def hadamard(size: int) -> np.ndarray:
    """Sylvester's matrix: entry (i, j) is −1 to the number of ones that i and j share."""
    places = np.arange(size)
    shared = np.bitwise_count(places[:, None] & places)
    return 1.0 - 2.0 * (shared % 2)


def rotation(width: int, size: int, key: int) -> np.ndarray:
    """The (size, width) matrix that `rotate` multiplies by."""
    signs = [
        np.array([-1 if (hash64(key, j // 64) >> (j % 64)) & 1 else 1 for j in numbers])
        for numbers in (range(size), range(size, 2 * size))
    ]
    rows = hadamard(size).reshape(size // 64, 64, size).transpose(1, 0, 2).reshape(size, size)
    return ((rows * signs[1]) @ (rows * signs[0]))[:, :width] / size


def code(turned: np.ndarray) -> list[int]:
    """The words of a turned row: a bit a number, the lowest bit first."""
    bits = [int(value >= 0) for value in turned]
    return [
        sum(bit << j for j, bit in enumerate(bits[start : start + 64]))
        for start in range(0, len(bits), 64)
    ]


def bits_of(words: np.ndarray) -> list[int]:
    return [(int(word) >> j) & 1 for word in words for j in range(64)]


def estimate(
    words: np.ndarray, factor: float, values: np.ndarray, step: float, offset: float
) -> float:
    """What a code and a query of integers say of a score."""
    total = sum((2 * bit - 1) * int(v) for bit, v in zip(bits_of(words), values, strict=True))
    return factor * step * total + offset
