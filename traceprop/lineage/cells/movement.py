"""What moves cells and makes none: run the same function on cell numbers, see where they end up.

As for rows (`traceprop.lineage.rules.rowids`), with each input replaced by an array of its shape
whose cells are numbered, the inputs one after the other. Plain data and fillings are 0.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from math import prod
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from traceprop.lineage.cells.elementwise import broadcast
from traceprop.lineage.cells.maps import Refined, broadcasting, by_numbers
from traceprop.lineage.cells.table import refines
from traceprop.lineage.node import Held, Node, Slot
from traceprop.lineage.rules.indexing import GETITEM, names_fields
from traceprop.lineage.rules.movement import FLATTEN, VIEW
from traceprop.lineage.rules.rowids import flatten, parameters
from traceprop.lineage.template import named, parameter_names, slots

Numbers = NDArray[np.int64]

_EVERY: Final = tuple(range(32))
_DATA: Final[dict[Callable[..., Any], tuple[int, ...]]] = {
    np.insert: (0, 2),
    np.append: (0, 1),
    np.compress: (1,),
    np.extract: (1,),
    np.meshgrid: _EVERY,
}
"""Positions of the arguments that are moved, where it isn't the first alone."""


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
        return {i: by_numbers(result, self.starts[i], self._shapes[i]) for i in inputs}


def moved(node: Node, data: tuple[int, ...], **fixed: Any) -> Refined:
    """Run a node's function on cell numbers.

    Parameters
    ----------
    data : tuple of int
        Positions of the arguments that are moved; by their names they are too.
    **fixed
        Arguments to pass instead of the recorded ones.
    """
    names = parameter_names(node.op)
    by_name = {names[i] for i in data if i < len(names)}
    moving = {i for at, value in enumerate(node.args) if at in data for i in slots(value)}
    kwargs = node.kwargs or {}
    moving |= {i for name in by_name & set(kwargs) for i in slots(kwargs[name])}
    numbers = CellNumbers(node)
    try:
        args = [
            numbers.numbered(value) if at in data else parameters(value)
            for at, value in enumerate(node.args)
        ]
        options = {
            name: numbers.numbered(value) if name in by_name else parameters(value)
            for name, value in kwargs.items()
            if name not in ("dtype", "casting")
        }
    except LookupError:
        return {}  # a mask or index that wasn't kept, or was changed since
    result = node.op(*args, **{**options, **fixed})
    if node.item is not None:
        result = list(flatten(result))[node.item]
    if np.shape(result) != node.shape:
        return {}
    return numbers.read(np.asarray(result), moving)


@refines(family="movement")
def moved_cells(node: Node) -> Refined:
    """Any function that moves cells and doesn't look at them."""
    return moved(node, _DATA.get(node.op, (0,)))


@refines(np.reshape, np.ravel, FLATTEN)
def reshaped_cells(node: Node) -> Refined:
    """In the order of memory any cell may be anywhere."""
    orders = {value for value in (*node.args[1:], *(node.kwargs or {}).values())
              if isinstance(value, str)}  # fmt: skip
    return {} if orders & {"A", "K"} else moved(node, (0,))


@refines(np.trim_zeros)
def trimmed_cells(node: Node) -> Refined:
    """Which cells are zero is in values that aren't kept."""
    return {}


@refines(sliding_window_view)
def window_cells(node: Node) -> Refined:
    """Windows show cells; `subok=` and `writeable=` say nothing about them."""
    return moved(node, (0,))


@refines(np.pad)
def padded_cells(node: Node) -> Refined:
    """Modes that copy cells move them, constants come from nowhere, others compute."""
    mode = named(node, "mode")
    if len(node.inputs) > 1 or (node.kwargs or {}).get("reflect_type") == "odd":
        return {}
    if mode in ("constant", "empty"):
        numbers = CellNumbers(node)
        return numbers.read(np.pad(numbers.cells(0), named(node, "pad_width")), {0})
    return moved(node, (0,)) if mode in ("edge", "reflect", "symmetric", "wrap") else {}


@refines(np.require, np.asarray, np.asanyarray, np.ascontiguousarray, np.asfortranarray)
def same_cells(node: Node) -> Refined:
    """Cells stay where they are."""
    return broadcast(node, range(len(node.inputs)))


@refines(VIEW)
def viewed_cells(node: Node) -> Refined:
    """Another reading of the same bytes, cell by cell where a cell keeps its size."""
    parent = node.inputs[0]
    same = node.shape == parent.shape and node.dtype.itemsize == parent.dtype.itemsize
    return broadcast(node, (0,)) if same else {}


@refines(np.take_along_axis)
def picked_cells(node: Node) -> Refined:
    """Let an index decide cell by cell; along no axis both are flat."""
    maps = dict(moved(node, (0,)))
    for i in slots(node.args[1:2]) if maps else []:
        decided = broadcasting(node.inputs[i].shape, node.shape)
        if decided is not None and named(node, "axis") is not None:
            maps[i] = decided
    return maps


@refines(GETITEM)
def indexed_cells(node: Node) -> Refined:
    """`X[key]`, with keys of every kind."""
    key = node.args[1]
    if names_fields(key):
        return broadcast(node, (0,))
    return moved(node, (0,))
