"""The perturbation oracle on cells: what a cell of output rests on, found by nudging each cell.

Slow and plain: each source cell gets each other value in turn, the function runs again on plain
arrays, and an output cell that is different rests on the source cell. An array of another shape or
type is different in every cell. A nudge may miss, but what it hits is real: a lower bound of the
truth, which lineage must cover.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np

Function = Callable[..., Sequence[np.ndarray]]
Position = tuple[int, ...]
FAILURES = (ValueError, IndexError, TypeError, ZeroDivisionError, OverflowError, FloatingPointError,
            np.linalg.LinAlgError)  # fmt: skip


def other_values(cell: np.ndarray) -> Iterator[object]:
    """Other values for one cell, of its own type."""
    kind = cell.dtype.kind
    if kind == "b":
        yield not cell
    elif kind in "iu":
        yield from (cell * 0, cell * 0 + 1, cell // 2 + 3)
    elif kind in "fc":
        yield from (0.0, 1.0, -2.5, 1e4, np.nan)
    elif kind == "U":
        yield from ("", "b", "zz")
    elif kind in "mM":
        yield from (np.array(value, dtype=cell.dtype) for value in (0, 3, 40_000, "NaT"))
    else:
        raise TypeError(f"no other values for {cell.dtype}")


def nudged(array: np.ndarray, position: Position) -> Iterator[np.ndarray]:
    """Copies of an array with one cell changed, in a few ways."""
    with np.errstate(all="ignore"):
        for value in other_values(array[position]):
            copy = array.copy()
            copy[position] = value
            if not same(copy[position], array[position]):
                yield copy


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two values are the same: NaN is NaN, and −0.0 is not 0.0."""
    return np.asarray(a).tobytes() == np.asarray(b).tobytes() or bool(a != a and b != b)


def changed_cells(before: np.ndarray, after: np.ndarray) -> set[Position]:
    """Positions at which `after` is not `before`."""
    before, after = np.asarray(before), np.asarray(after)
    positions = list(np.ndindex(before.shape))
    text = before.dtype.kind == "U" == after.dtype.kind  # as wide as the longest
    if before.shape != after.shape or (before.dtype != after.dtype and not text):
        return set(positions)
    if text:
        return {at for at in positions if before[at] != after[at]}
    return {at for at in positions if not same(before[at], after[at])}


def run(function: Function, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run a function on copies, without warnings."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(function(*(array.copy() for array in arrays)))


def influenced(
    function: Function, arrays: Sequence[np.ndarray]
) -> list[dict[Position, set[tuple[int, Position]]]]:
    """For each output: position → (source, position) of each cell that a nudge shows to matter."""
    before = run(function, arrays)
    found: list[dict[Position, set[tuple[int, Position]]]] = [
        {at: set() for at in np.ndindex(np.shape(each))} for each in before
    ]
    for number, array in enumerate(arrays):
        for position in np.ndindex(array.shape):
            for copy in nudged(array, position):
                try:
                    after = run(function, [*arrays[:number], copy, *arrays[number + 1 :]])
                except FAILURES:
                    continue  # nothing comes out to be compared
                for answer, old, new in zip(found, before, after, strict=True):
                    for at in changed_cells(old, new):
                        answer[at].add((number, position))
    return found
