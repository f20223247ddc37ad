"""Cell by cell: an output cell rests on the cell of each input that is broadcast to it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.polynomial.polynomial as polynomial

from traceprop.lineage.cells.maps import CellMap, Labelled, Refined, broadcasting
from traceprop.lineage.cells.table import CellRule, refines, wide
from traceprop.lineage.graph.node import Held, Node, Slot
from traceprop.lineage.graph.template import argument, named, shape_of, slots


def broadcast(node: Node, inputs: Iterable[int]) -> Refined:
    """Return the maps of those of the inputs that broadcast to the node's shape."""
    maps = {i: broadcasting(node.inputs[i].shape, node.shape) for i in inputs}
    return {i: found for i, found in maps.items() if found is not None}


@refines(family="elementwise")
@refines(family="text")
def all_cells(node: Node) -> Refined:
    """All inputs broadcast together, `where=` and what `out=` held before among them."""
    return broadcast(node, range(len(node.inputs)))


def first_cells(count: int) -> CellRule:
    """Rule of a function whose first `count` arguments broadcast; the others are looked up."""
    return lambda node: broadcast(node, slots(node.args[:count]))


refines(np.is_busday, np.datetime_as_string, np.unravel_index, np.ravel_multi_index)(first_cells(1))
refines(np.interp, np.digitize)(first_cells(1))
refines(np.busday_offset, np.busday_count)(first_cells(2))
if hasattr(np, "astype"):  # NumPy 2.1
    refines(np.astype)(first_cells(1))


@refines(np.isin)
def found_cells(node: Node) -> Refined:
    """Look up each cell by itself, unless a promise lets NumPy compare neighbours in a sort."""
    return {} if named(node, "assume_unique") else broadcast(node, slots(node.args[:1]))


wide(np.isin, reason="with assume_unique=, cells are answered by rows")


@refines(np.searchsorted)
def sought_cells(node: Node) -> Refined:
    """Look up each cell that is sought in all of the other array."""
    return broadcast(node, slots(argument(node, 1, "v")))


@refines(np.full_like)
def filled_cells(node: Node) -> Refined:
    """Only the fill value flows in."""
    return broadcast(node, slots(argument(node, 1, "fill_value")))


@refines(np.where)
def where_cells(node: Node) -> Refined:
    """`where(condition, a, b)`; with one argument a position may come of any cell."""
    return broadcast(node, range(len(node.inputs))) if len(node.args) == 3 else {}


wide(np.where, reason="with one argument, which positions are true is in values that aren't kept")


@refines(np.choose, np.select)
def chosen_cells(node: Node) -> Refined:
    """Broadcast candidates; those stacked in one array, as conditions may be, lie along axis 0."""
    stacked = {value.index for value in node.args[:2] if isinstance(value, (Slot, Held))}
    if node.op is np.choose:
        stacked -= set(slots(node.args[:1]))
    return {
        **broadcast(node, set(range(len(node.inputs))) - stacked),
        **_along_axis_0(node, stacked),
    }


def _along_axis_0(node: Node, inputs: Iterable[int]) -> Refined:
    """Maps of inputs of which all along axis 0 goes into a cell, and the other axes broadcast."""
    maps: dict[int, CellMap] = {}
    depth = len(node.shape)
    for i in inputs:
        shape = node.inputs[i].shape
        if shape and broadcasting(shape[1:], node.shape):
            own = ["axis 0", *range(depth + 1 - len(shape), depth)]
            maps[i] = Labelled(range(depth), own, shape)
    return maps


wide(np.choose, np.select, reason="a cell is given all its candidates")


@refines(np.polyval)
def polynomial_cells(node: Node) -> Refined:
    """`polyval(p, x)`: each point with all coefficients, which stand along axis 0 of `p`."""
    return {**broadcast(node, slots(node.args[1:2])), **_along_axis_0(node, slots(node.args[:1]))}


refines(polynomial.polyval2d)(first_cells(2))


@refines(polynomial.polygrid2d)
def polynomial_grid_cells(node: Node) -> Refined:
    """`polygrid2d(x, y, c)`: the axes of `x`, then those of `y`."""
    maps = {}
    end = len(node.shape)
    for value in node.args[1::-1]:
        shape = shape_of(node, value)
        for i in slots(value):
            maps[i] = Labelled(range(len(node.shape)), range(end - len(shape), end), shape)
        end -= len(shape)
    return maps if len(slots(node.args[:2])) == len(maps) else {}


@refines(np.ix_)
def open_mesh_cells(node: Node) -> Refined:
    """Result k is argument k along axis k; a mask becomes the numbers that it chooses."""
    axis = node.item or 0
    depth = range(len(node.shape))
    return {
        i: Labelled(depth, [axis], node.inputs[i].shape)
        for i in slots(node.args[axis])
        if node.inputs[i].dtype != bool and len(node.inputs[i].shape) == 1
    }
