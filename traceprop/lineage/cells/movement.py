"""What moves cells and makes none: run the same function on cell numbers, see where they end up.

As for rows (`lineage.rules.row_numbers`), with each input replaced by an array of its shape whose
cells are numbered, the inputs one after the other. Plain data and fillings are 0.
"""

from __future__ import annotations

from itertools import accumulate, permutations, takewhile
from math import prod
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from traceprop.lineage.cells.elementwise import broadcast
from traceprop.lineage.cells.linemaps import Packed, Padded, Unpacked
from traceprop.lineage.cells.maps import (
    SAME,
    CellMap,
    Chain,
    Either,
    Labelled,
    Numbered,
    Numbers,
    Refined,
    broadcasting,
)
from traceprop.lineage.cells.table import by_rows, refines, wide
from traceprop.lineage.graph.node import Held, Node, Slot
from traceprop.lineage.graph.template import named, parameter_names, slots
from traceprop.lineage.registry import rule_of
from traceprop.lineage.rules.indexing import GETITEM, names_fields
from traceprop.lineage.rules.movement import FLATTEN, VIEW
from traceprop.lineage.rules.row_numbers import run_on_numbers

_COPYING: Final = ("edge", "reflect", "symmetric", "wrap")
_MOST_ORDERED: Final = 4  # axes: as many orders as they can be put in are tried


class CellNumbers:
    """Numbers for the cells of a node's inputs, from 1, one input after the other."""

    def __init__(self, node: Node) -> None:
        self._shapes = [parent.shape for parent in node.inputs]
        self.starts = list(accumulate((prod(shape) for shape in self._shapes), initial=1))

    def cells(self, i: int) -> Numbers:
        """Cells of input `i`, each its own number."""
        shape = self._shapes[i]
        return np.arange(self.starts[i], self.starts[i] + prod(shape)).reshape(shape)

    def numbered(self, template: Any) -> Any:
        """Return data with cell numbers for tracked inputs and 0 for everything plain."""
        if isinstance(template, (Slot, Held)) and template.index >= 0:
            return self.cells(template.index)
        if isinstance(template, Held):
            return np.zeros(np.shape(template.array), dtype=np.int64)
        if isinstance(template, (tuple, list)):
            return type(template)(self.numbered(each) for each in template)
        return np.zeros(np.shape(template), dtype=np.int64)

    def read(self, result: Numbers, inputs: set[int]) -> Refined:
        """Return the maps of these inputs, read off what became of the numbers."""
        return {i: Numbered(result, self.starts[i], self._shapes[i]) for i in inputs}


def moved(node: Node, data: tuple[int, ...]) -> Refined:
    """Run a node's function on cell numbers.

    Parameters
    ----------
    data : tuple of int
        Positions of the arguments that are moved; by their names they are too.
    """
    names = parameter_names(node.op)
    by_name = {names[i] for i in data if i < len(names)}
    moving = {i for at, value in enumerate(node.args) if at in data for i in slots(value)}
    kwargs = node.kwargs or {}
    moving |= {i for name in by_name & set(kwargs) for i in slots(kwargs[name])}
    numbers = CellNumbers(node)
    try:
        result = run_on_numbers(node, numbers, {*data, *by_name})
    except LookupError:
        return {}  # a mask or index that wasn't kept, or was changed since
    if np.shape(result) != node.shape:
        return {}
    return numbers.read(np.asarray(result), moving)


@refines(family="movement")
def moved_cells(node: Node) -> Refined:
    """Any function that moves cells and doesn't look at them."""
    return moved(node, rule_of(node.op).data)


@refines(np.reshape, np.ravel, FLATTEN)
def reshaped_cells(node: Node) -> Refined:
    """Read the cells in an order; that of memory isn't known, but it is one of the axes' orders."""
    orders = {value for value in (*node.args[1:], *(node.kwargs or {}).values())
              if isinstance(value, str)}  # fmt: skip
    if not orders & {"A", "K"}:
        return moved(node, (0,))
    shape = node.inputs[0].shape
    if len(node.inputs) > 1 or len(shape) > _MOST_ORDERED:
        return {}
    cells = np.arange(prod(shape)).reshape(shape)
    if "A" in orders:
        read = [np.reshape(cells, node.shape, order="C"), np.reshape(cells, node.shape, order="F")]
    else:
        axes = permutations(range(len(shape)))
        read = [cells.transpose(each).reshape(node.shape) for each in axes]
    return {0: Either(*(Numbered(numbers, 0, shape) for numbers in read))}


wide(
    np.reshape, np.ravel, FLATTEN,
    reason="in the order of memory ('A', 'K') a cell is given what it is in any order of the axes",
)  # fmt: skip
refines(np.trim_zeros)(by_rows)
wide(np.trim_zeros, reason="which cells are zero is in values that aren't kept")


@refines(sliding_window_view)
def window_cells(node: Node) -> Refined:
    """Windows show cells; `subok=` and `writeable=` say nothing about them."""
    return moved(node, (0,))


@refines(np.pad)
def padded_cells(node: Node) -> Refined:
    """Modes that copy cells move them, constants come from nowhere, others compute."""
    mode = named(node, "mode")
    if len(node.inputs) > 1 or not isinstance(mode, str) or mode == "linear_ramp":
        return {}
    if mode in _COPYING and (node.kwargs or {}).get("reflect_type") != "odd":
        return moved(node, (0,))
    if mode in ("constant", "empty"):
        numbers = CellNumbers(node)
        return numbers.read(np.pad(numbers.cells(0), named(node, "pad_width")), {0})
    return {0: _padded_by_lines(node)}


def _padded_by_lines(node: Node) -> CellMap:
    """Axis by axis: what is put on is made of the line that it is put on to."""
    shape = node.inputs[0].shape
    cells = np.pad(np.arange(1, prod(shape) + 1).reshape(shape), named(node, "pad_width"))
    own = np.unravel_index(np.argmin(np.where(cells > 0, cells, cells.size + 1)), cells.shape)
    found: CellMap = SAME
    for axis, before in enumerate(own):
        longer, shorter = ((*shape[:k], *node.shape[k:]) for k in (axis, axis + 1))
        found = Chain(found, longer, Padded(shorter, axis, int(before)))
    return found


wide(
    np.pad,
    reason="modes that compute (mean, maximum, …) are given the line that they are put on to, "
    "ramps, functions and tracked fillings are answered by rows",
)


@refines(np.array, np.require, np.asarray, np.asanyarray, np.ascontiguousarray, np.asfortranarray)
def same_cells(node: Node) -> Refined:
    """Cells stay where they are; a list of arrays is put together."""
    if isinstance(node.args[0], Slot) and node.shape == node.inputs[0].shape:
        return {0: SAME}
    numbers = CellNumbers(node)
    result = np.asarray(numbers.numbered(node.args[0]))
    if result.size != prod(node.shape):
        return {}
    return numbers.read(result.reshape(node.shape), set(slots(node.args[0])))


@refines(VIEW)
def viewed_cells(node: Node) -> Refined:
    """Another reading of the same bytes, cell by cell where a cell keeps its size."""
    found = on_same_bytes(node, node.inputs[0])
    return {} if found is None else {0: found}


def on_same_bytes(node: Node, of: Node) -> CellMap | None:
    """Map of an array of one on the same bytes: cells of its last axis may split or join."""
    shape, size, of_size = of.shape, node.dtype.itemsize, of.dtype.itemsize
    if node.shape == shape and size == of_size:
        return SAME
    if not shape or node.shape[:-1] != shape[:-1] or node.shape[-1] * size != shape[-1] * of_size:
        return None
    if of_size % size == 0:
        return Unpacked(shape, len(shape) - 1, of_size // size)
    return Packed(shape, len(shape) - 1, size // of_size) if size % of_size == 0 else None


wide(VIEW, reason="a view whose cells aren't a whole number of the others is answered by rows")


@refines(np.take)
def taken_cells(node: Node) -> Refined:
    """An index decides about all that stands in its place."""
    maps = dict(moved(node, (0,)))
    axis = named(node, "axis")
    if maps and not slots(axis):
        for i in slots(node.args[1:2]) or slots((node.kwargs or {}).get("indices")):
            shape = node.inputs[i].shape
            start = 0 if axis is None else int(axis) % len(node.inputs[0].shape)
            own = range(start, start + len(shape))
            maps[i] = Labelled(range(len(node.shape)), own, shape)
    return maps


@refines(np.take_along_axis)
def picked_cells(node: Node) -> Refined:
    """An index decides cell by cell; along no axis both are flat."""
    maps = dict(moved(node, (0,)))
    for i in slots(node.args[1:2]) if maps else []:
        decided = broadcasting(node.inputs[i].shape, node.shape)
        if decided is not None and named(node, "axis") is not None:
            maps[i] = decided
    return maps


@refines(GETITEM)
def indexed_cells(node: Node) -> Refined:
    """`X[key]`, with keys of every kind; tracked indices in front decide about what they show."""
    key = node.args[1]
    if names_fields(key):
        return broadcast(node, (0,))
    maps = dict(moved(node, (0,)))
    parts = key if type(key) is tuple else (key,)
    front = list(takewhile(lambda part: isinstance(part, Held), parts))
    indices = [part for part in front if np.asarray(part.array).dtype.kind in "iu"]
    rest = parts[len(front) :]
    if maps and len(indices) == len(front) and all(isinstance(part, slice) for part in rest):
        depth = max((np.ndim(part.array) for part in indices), default=0)
        for part in indices:
            if part.index >= 0:
                shape = node.inputs[part.index].shape
                own = range(depth - len(shape), depth)
                maps[part.index] = Labelled(range(len(node.shape)), own, shape)
    return maps


wide(GETITEM, reason="a tracked index behind slices decides about all that is shown")
