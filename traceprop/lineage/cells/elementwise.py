"""Cell by cell: an output cell rests on the cell of each input that is broadcast to it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from traceprop.lineage.cells.maps import Refined, broadcasting
from traceprop.lineage.cells.table import CellRule, refines
from traceprop.lineage.node import Node
from traceprop.lineage.template import argument, slots


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
refines(np.interp, np.isin, np.digitize)(first_cells(1))
refines(np.busday_offset, np.busday_count)(first_cells(2))
if hasattr(np, "astype"):  # NumPy 2.1
    refines(np.astype)(first_cells(1))


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


@refines(np.choose, np.select)
def chosen_cells(node: Node) -> Refined:
    """Candidates in a list broadcast; those stacked in one array are answered by rows."""
    listed = len(node.args) > 1 and isinstance(node.args[1], (list, tuple))
    if node.op is np.select:
        listed = listed and isinstance(node.args[0], (list, tuple))
    return broadcast(node, range(len(node.inputs))) if listed else {}
