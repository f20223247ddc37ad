"""The perturbation oracle on cells: nudge a source cell, and see which output cells change.

It is the oracle on rows with every array made flat, so that a row is a cell. What it finds is
compared with `ProvenanceTensor.cells`: each cell that matters must be among an output cell's cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from traceprop.lineage import ProvenanceTensor
from traceprop.testing.oracle import (
    Array,
    Pairs,
    count_shown,
    flat_results,
    perturbed,
    source_of,
    unnamed_pairs,
)


def perturbed_cells(
    function: Callable[..., Any], arrays: Sequence[Array], finite: bool = False
) -> list[Pairs]:
    """Which (output cell, source cell) pairs some nudge shows, for each array that comes out.

    Cells are counted in C order, those of several sources one after the other. See `perturbed`.
    """
    shapes = [each.shape for each in arrays]

    def on_flat(*cells: Array) -> list[Array]:
        shaped = (each.reshape(shape) for each, shape in zip(cells, shapes, strict=True))
        return [np.asarray(each).reshape(-1) for each in flat_results(function(*shaped))]

    return perturbed(on_flat, [each.reshape(-1) for each in arrays], finite)


def recorded_cells(tensor: ProvenanceTensor, sources: Sequence[ProvenanceTensor]) -> Pairs:
    """Which (output cell, source cell) pairs the lineage of a tensor has, of any kind."""
    starts = np.concatenate([[0], np.cumsum([each.size for each in sources])]).astype(int)
    leaves = [each.ancestors().leaves[0] for each in sources]
    pairs = np.zeros((math.prod(tensor.shape), starts[-1]), dtype=np.bool_)
    for number, index in enumerate(np.ndindex(tensor.shape)):
        found = tensor.cells(index)
        for leaf, source, start in zip(leaves, sources, starts[:-1], strict=True):
            if leaf in found:
                positions = np.array(list(found[leaf])).reshape(-1, max(source.ndim, 1)).T
                pairs[number, start + np.ravel_multi_index(tuple(positions), source.shape)] = True
    return pairs


def assert_cells_sound(function: Callable[..., Any], *arrays: Array, finite: bool = False) -> None:
    """Check that a function's lineage names every source cell that can change an output cell.

    Parameters
    ----------
    function : callable
        Takes arrays, plain or tracked, and returns an array or several (a sequence or mapping).
    *arrays : ndarray
        Small ones, of one dimension or more: every cell of each is nudged about ten times.
    finite : bool
        Leave out the nudges to NaN and infinity: LAPACK may hang on them.

    Raises
    ------
    AssertionError
        When tracking changes a value, or an output cell changes with a source cell that is not
        among its cells.
    EscapeError
        When a value would leave the lineage.

    Examples
    --------
    >>> assert_cells_sound(lambda X: X - X.mean(axis=0), np.eye(3))
    """
    changed = perturbed_cells(function, arrays, finite)
    for result, tensor, missing in unnamed_pairs(function, arrays, changed, recorded_cells):
        assert not missing.any(), _tell(result, tensor, missing, arrays)


def _tell(result: int, tensor: Any, missing: Pairs, arrays: Sequence[Array]) -> str:
    cell, column = map(int, np.argwhere(missing)[0])
    position, source_cell = source_of(column, [each.size for each in arrays])
    at = tuple(map(int, np.unravel_index(cell, np.shape(tensor))))
    place = tuple(map(int, np.unravel_index(source_cell, arrays[position].shape)))
    return (
        f"cell {at} of result {result} changes with cell {place} of source {position}, which is "
        f"not among its cells ({int(missing.sum())} such pairs)"
    )


def cell_precision(
    function: Callable[..., Any], *arrays: Array, finite: bool = False
) -> tuple[int, int]:
    """Count the pairs of cells in a function's lineage that some nudge shows, and all in it.

    Results that are untouched arguments don't count.

    Returns
    -------
    shown, recorded : int
    """
    return count_shown(function, arrays, perturbed_cells(function, arrays, finite), recorded_cells)
