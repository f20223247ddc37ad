"""The perturbation oracle: what a row of output rests on, found by nudging every source row.

A program takes plain arrays and returns a list of arrays. Row i of an output *rests on* row r of
an input if some nudge of row r changes it. That is a lower bound of the truth, which lineage must
cover: a nudge may miss, but what it hits is real.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np

Program = Callable[[Sequence[np.ndarray]], list]


def nudged(array: np.ndarray, row: int) -> list[np.ndarray]:
    """Copies of an array with every cell of one row changed, in a few ways."""
    copies = []
    cells = array[row]
    if array.dtype == bool:
        ways = [~cells]
    elif array.dtype.kind in "iu":
        ways = [cells + 1, cells * 0, cells * 0 + 3]
    else:
        with np.errstate(all="ignore"):
            ways = [cells + 1, -cells - 0.5, np.zeros_like(cells), np.full_like(cells, np.nan)]
    for way in ways:
        copy = array.copy()
        copy[row] = way
        copies.append(copy)
    return copies


def changed_rows(before: object, after: object) -> np.ndarray:
    """Mask over the rows of `before` that aren't the same in `after`, by position."""
    before, after = np.asarray(before), np.asarray(after)  # a nudge never changes the dtype
    n = before.shape[0] if before.ndim else 1
    if before.ndim != after.ndim or before.shape[1:] != after.shape[1:]:
        return np.ones(n, dtype=bool)
    if not before.ndim:
        return np.array([not _same(before, after)])
    changed = np.ones(n, dtype=bool)
    for i in range(min(n, after.shape[0])):
        changed[i] = not _same(before[i], after[i])
    return changed


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind in "fc")


def influenced(
    program: Program, inputs: Sequence[np.ndarray]
) -> list[dict[tuple[int, int], np.ndarray]]:
    """For each output: (input, row) → mask of the output's rows that a nudge of it changed."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        before = program([array.copy() for array in inputs])
        found: list[dict[tuple[int, int], np.ndarray]] = [{} for _ in before]
        for k, array in enumerate(inputs):
            for row in range(array.shape[0]):
                for copy in nudged(array, row):
                    changed_inputs = [a.copy() for a in inputs]
                    changed_inputs[k] = copy
                    try:
                        after = program(changed_inputs)
                    except (ValueError, IndexError, TypeError, np.linalg.LinAlgError):
                        continue  # the nudged rows don't make a program that runs
                    for answer, old, new in zip(found, before, after, strict=True):
                        mask = changed_rows(old, new)
                        answer[k, row] = answer.get((k, row), False) | mask
    return found
