"""Slow twins of the random projections: Python integers, one coordinate at a time.

And what the inner product of two projected vectors varies by, as published.
"""

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


def achlioptas_entry(row_key: int, column: int, half: int) -> int:
    """+1, 0 or −1 of one column; `half` columns share their 32-bit words with `half` others."""
    word = ((column % half) * 0x9E3779B9 + (row_key & 0xFFFFFFFF)) & 0xFFFFFFFF
    word = ((word ^ (word >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    word = ((word ^ (row_key >> 32) ^ (word >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    word ^= word >> 16
    bits = word & 0xFFFF if column < half else word >> 16
    return 1 if bits < 10923 else -1 if bits >= 65536 - 10923 else 0


def achlioptas_matrix(d: int, k: int, key: int) -> np.ndarray:
    """The (d, k) matrix of the sparse projection, entries of variance 1/k."""
    half = (k + 1) // 2
    rows = [[achlioptas_entry(hash64(key, c), j, half) for j in range(k)] for c in range(d)]
    return np.array(rows) * np.sqrt(65536 / (2 * 10923) / k)


def sparse_variance(x: np.ndarray, y: np.ndarray, k: int, s: float) -> float:
    """Of <Rx, Ry>, entries non-zero once in s times (Li, Hastie and Church 2006, lemma 3)."""
    return float((x @ x * (y @ y) + (x @ y) ** 2 + (s - 3) * (x**2 @ y**2)) / k)


def sjlt_variance(x: np.ndarray, y: np.ndarray, k: int) -> float:
    """Of one non-zero a column, or s in rows of their own (Weinberger et al. 2009, appendix A)."""
    return float((x @ x * (y @ y) + (x @ y) ** 2 - 2 * (x**2 @ y**2)) / k)


def tensor_sketch_variance(x: np.ndarray, y: np.ndarray, k: int) -> float:
    """Of matrices x and y, for independent tables, to the order 1/k.

    Two entries fall together once in k times. The signs of two such pairs cancel where the pairs
    are the same, or where they are of the same two rows (or columns), each within one column.
    """
    rows, columns = x @ y.T, x.T @ y  # <x_r, y_r'> and <x_c, y_c'>
    pairs = 0.0
    for gram in (rows, columns):
        off = gram - np.diag(np.diag(gram))
        pairs += float((off**2).sum() + (off * off.T).sum())
    squares, products = x**2, x * y

    def apart(a: np.ndarray, b: np.ndarray) -> float:
        """Sum a[r, c] b[r', c'] over r ≠ r' and c ≠ c'."""
        total = a.sum() * b.sum() - (a.sum(0) * b.sum(0)).sum() - (a.sum(1) * b.sum(1)).sum()
        return float(total + (a * b).sum())

    return (pairs + apart(squares, y**2) + apart(products, products)) / k
