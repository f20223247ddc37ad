"""Slow twins of the random projections: Python integers, one coordinate at a time."""

from __future__ import annotations

import numpy as np

_MASK = (1 << 64) - 1


def hash64(key: int, counter: int) -> int:
    z = (key + (counter + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def bucket(bits: int, k: int) -> int:
    return ((bits >> 32) * k) >> 32


def line_sjlt_matrix(d: int, k: int, key: int, repetitions: int) -> np.ndarray:
    """The (d, k) matrix that `line_sjlt` multiplies by: one entry a coordinate and repetition."""
    matrix = np.zeros((d, k))
    for coordinate in range(d):
        line, place = divmod(coordinate, 64)
        for repetition in range(repetitions):
            counter = 2 * (64 * line + repetition)
            sign = -1 if (hash64(key, counter + 1) >> place) & 1 else 1
            matrix[coordinate, (bucket(hash64(key, counter), k) + place) % k] += sign
    return matrix / np.sqrt(repetitions)


def table(key: int, n: int, k: int) -> list[tuple[int, int]]:
    """Bucket and sign of n coordinates."""
    hashes = [hash64(key, i) for i in range(n)]
    return [(bucket(h, k), -1 if h & 1 else 1) for h in hashes]


def count_sketch_matrix(key: int, n: int, k: int) -> np.ndarray:
    matrix = np.zeros((n, k))
    for i, (at, sign) in enumerate(table(key, n, k)):
        matrix[i, at] = sign
    return matrix


def tensor_sketch_matrix(row_key: int, column_key: int, p: int, q: int, k: int) -> np.ndarray:
    """The (p·q, k) matrix of a TensorSketch of (p, q) matrices, flattened row by row."""
    matrix = np.zeros((p * q, k))
    columns = table(column_key, q, k)
    for r, (row_at, row_sign) in enumerate(table(row_key, p, k)):
        for c, (at, sign) in enumerate(columns):
            matrix[r * q + c, (row_at + at) % k] = row_sign * sign
    return matrix
