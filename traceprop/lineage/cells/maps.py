"""Cell maps: which cells of an input some cells of the output rest on.

A set of an array's cells is a boolean mask of its shape, and a cell map takes a mask over the
output to a mask over the input. Nearly all of NumPy needs one kind of map: give every axis a label,
and an input's cell belongs to the output's cells that agree with it on the labels that both have
(`by_labels`). Broadcasting, reductions, sorts along an axis and sums of products are that; what
moves cells is read off cell numbers (`by_numbers`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.lineage.rowmap import RowMap
from traceprop.lineage.rowset import RowSet

Mask = NDArray[np.bool_]
CellMap = Callable[[Mask], Mask]
Refined = Mapping[int, CellMap]
"""Input number → its cell map; inputs that are left out are answered by their row maps."""

Shape = tuple[int, ...]


def by_labels(out: Sequence[Hashable], own: Sequence[Hashable], shape: Shape) -> CellMap:
    """Map of an input of `shape` whose axes are labelled `own`, the output's being `out`.

    Parameters
    ----------
    out : sequence
        Labels of the output's last axes, each once; axes before them belong to nobody.
    own : sequence
        Labels of the input's axes. One that the output lacks was summed over, so that the whole
        axis flows in; of a repeated one the first counts. An axis of length 1 is broadcast.
    """
    shared = [label for k, label in enumerate(own) if label in out and label not in own[:k]]

    def image(mask: Mask) -> Mask:
        lead = mask.ndim - len(out)
        lost = [lead + k for k, label in enumerate(out) if label not in shared]
        left = [label for label in out if label in shared]
        rest = _any(mask, (*range(lead), *lost)).transpose([left.index(each) for each in shared])
        free = [k for k, label in enumerate(own) if label not in shared or label in own[:k]]
        rest = np.expand_dims(rest, tuple(free))
        single = tuple(k for k, n in enumerate(shape) if n == 1)
        return np.broadcast_to(_any(rest, single, kept=True), shape)

    return image


def _any(mask: Mask, axes: Shape, kept: bool = False) -> Mask:
    """Join a mask along axes; of no dimension, it stays an array."""
    joined: Mask = np.asarray(np.any(mask, axis=axes, keepdims=kept))
    return joined


def broadcasting(shape: Shape, out: Shape) -> CellMap | None:
    """Map of an input of `shape` that is broadcast to `out`; None if it can't have been."""
    extra = len(out) - len(shape)
    if extra < 0 or any(n not in (1, m) for n, m in zip(shape, out[extra:], strict=True)):
        return None
    return by_labels(range(len(out)), range(extra, len(out)), shape)


def over_axes(shape: Shape, axes: Sequence[int], kept: bool) -> CellMap:
    """Map of an input that is worked on along `axes` as a whole, as a reduction does.

    Parameters
    ----------
    axes : sequence of int
        Counted from the front.
    kept : bool
        The output still has these axes, of whatever length.
    """
    own = range(len(shape))
    out = [None if k in axes else k for k in own if kept or k not in axes]
    labels = [("worked on", k) if label is None else label for k, label in enumerate(out)]
    return by_labels(labels, own, shape)


def by_numbers(numbers: NDArray[np.int64], start: int, shape: Shape) -> CellMap:
    """Map of an input whose cells are numbered from `start`, read off the output's `numbers`."""
    size = int(np.prod(shape))

    def image(mask: Mask) -> Mask:
        found = numbers[mask] - start
        cells = np.zeros(size, dtype=np.bool_)
        cells[found[(found >= 0) & (found < size)]] = True
        return cells.reshape(shape)

    return image


def by_rows(row_map: RowMap, shape: Shape) -> CellMap:
    """Answer for what has no cell map: all cells of the rows that the row map gives. Sound."""

    def image(mask: Mask) -> Mask:
        touched = np.atleast_1d(_any(mask, tuple(range(1, mask.ndim))))
        rows = row_map.image(RowSet.from_mask(touched))
        cells = rows.mask(shape[0] if shape else 1)
        lengths = shape[:1] + (1,) * (len(shape) - 1)
        return np.broadcast_to(cells.reshape(lengths), shape)

    return image


def after(first: CellMap, then: CellMap) -> CellMap:
    """Map of an input of an input."""
    return lambda mask: then(first(mask))


def normal_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Axes as the user named them, counted from the front; None names all."""
    if axis is None:
        return tuple(range(ndim))
    named = axis if isinstance(axis, (tuple, list)) else (axis,)
    return tuple(int(each) % ndim for each in named) if ndim else ()
