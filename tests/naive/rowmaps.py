"""Row maps as lists of sets: what every map, composition and kernel is compared with."""

from __future__ import annotations

import itertools

import numpy as np

Sets = list[set[int]]


def from_groups(indptr: np.ndarray, indices: np.ndarray) -> Sets:
    return [set(indices[a:b].tolist()) for a, b in itertools.pairwise(indptr)]


def to_groups(sets: Sets, dtype: type = np.int32) -> tuple[np.ndarray, np.ndarray]:
    indptr = np.cumsum([0, *map(len, sets)]).astype(np.int64)
    return indptr, np.array([row for rows in sets for row in sorted(rows)], dtype=dtype)


def from_index(index: np.ndarray) -> Sets:
    return [{int(row)} if row >= 0 else set() for row in index]


def from_spans(low: np.ndarray, high: np.ndarray) -> Sets:
    return [set(range(a, b)) for a, b in zip(low.tolist(), high.tolist(), strict=True)]


def from_cells(cells: np.ndarray) -> Sets:
    return [{int(row) for row in line if row >= 0} for line in cells]


def compose(outer: Sets, inner: Sets) -> Sets:
    return [set().union(*(inner[middle] for middle in rows)) for rows in outer]


def merge(a: Sets, b: Sets) -> Sets:
    return [x | y for x, y in zip(a, b, strict=True)]


def image(sets: Sets, rows: set[int]) -> set[int]:
    return set().union(*(sets[row] for row in rows))


def preimage(sets: Sets, rows: set[int]) -> set[int]:
    return {i for i, found in enumerate(sets) if found & rows}
