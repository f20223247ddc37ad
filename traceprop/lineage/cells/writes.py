"""Writes into an argument: do the same write on cell numbers, see which cells still hold their own.

A cell that is written whole forgets what it held before.
"""

from __future__ import annotations

from math import prod

import numpy as np

from traceprop.lineage.cells.linemaps import Added, Running
from traceprop.lineage.cells.maps import (
    SAME,
    CellMap,
    Chain,
    Labelled,
    Refined,
    Reshaped,
    broadcasting,
)
from traceprop.lineage.cells.movement import CellNumbers, on_same_bytes
from traceprop.lineage.cells.table import refines, wide
from traceprop.lineage.graph.node import Held, Node, Recipe
from traceprop.lineage.graph.template import named, shape_of, slots
from traceprop.lineage.recording.plain_targets import PART
from traceprop.lineage.recording.tracked import MEANWHILE, OVERWRITE, UNFINISHED
from traceprop.lineage.registry import rule_of
from traceprop.lineage.rules.indexing import names_fields
from traceprop.lineage.rules.movement import VIEW
from traceprop.lineage.rules.mutators import SETITEM, SETITEM_LATE, SHARED, seen_cells
from traceprop.lineage.rules.row_numbers import parameters, write_numbers


@refines(family="mutators")
def written_cells(node: Node) -> Refined:
    """Cells that were written are the value's, others stay; a mask decides cell by cell."""
    position = rule_of(node.op).written
    if position is None or len(node.args) <= position:
        return {}
    if node.op is SETITEM and names_fields(node.args[1]):
        return {}
    numbers = CellNumbers(node)
    cells = numbers.cells(0)
    try:
        write_numbers(node, numbers, cells, position)
    except LookupError:
        return {}
    maps = dict(numbers.read(cells, {0, *slots(node.args[position])}))
    for i in set(range(len(node.inputs))) - set(maps):
        found = _decided(node, i, position)
        if found is not None:
            maps[i] = found
    return maps


def _decided(node: Node, i: int, position: int) -> CellMap | None:
    """Return the map of a mask or an index, None where it is best answered by its rows."""
    shape = node.inputs[i].shape
    if node.op is np.copyto or node.op is np.putmask:
        return broadcasting(shape, node.shape)
    if node.op is np.put_along_axis and named(node, "axis") is not None:
        at = int(named(node, "axis")) % len(node.shape)  # it says where on a line, not on which
        own = ["index" if k == at else k for k in range(len(shape))]
        return Labelled(range(len(node.shape)), own, shape)
    key = node.args[1]
    masks = isinstance(key, Held) and key.index == i and node.inputs[i].dtype == bool
    if not masks or node.op not in (SETITEM, np.place):
        return None
    value_ndim = len(shape_of(node, node.args[position]))
    if node.op is SETITEM and value_ndim <= len(node.shape) - len(shape):
        return Labelled(range(len(node.shape)), range(len(shape)), shape)
    if shape != node.shape:
        return None
    flat = (prod(shape),)  # values are assigned in order: each cell depends on the mask before it
    return Chain(Chain(Reshaped(flat), flat, Running(0)), flat, Reshaped(shape))


wide(SETITEM, np.place, reason="a mask that assigns values in order is answered by its rows, if it "
     "is not of the target's shape; so are tracked indices")  # fmt: skip
wide(
    PART, OVERWRITE, UNFINISHED, SETITEM_LATE, *SHARED.values(),
    reason="what is read while it is written, a part of a plain array, a write that raised, and a "
    "view that is laid out by values or in the order of memory, are answered by rows",
)  # fmt: skip


@refines(method="at")
def updated_cells(node: Node) -> Refined:
    """`ufunc.at(a, indices, b)`: cells of `a` stay, those of `b` are added where they land."""
    maps: dict[int, CellMap] = {0: SAME}
    numbers = np.arange(prod(node.shape)).reshape(node.shape)
    try:
        targets = numbers[parameters(node.args[1])]
    except LookupError:
        return maps
    maps |= {
        i: Added(targets, node.inputs[i].shape)
        for i in slots(node.args[2:])
        if broadcasting(node.inputs[i].shape, targets.shape)
    }
    return maps


@refines(MEANWHILE)
def meanwhile_cells(node: Node) -> Refined:
    """Each cell was written by one of two."""
    return {0: SAME, 1: SAME}


@refines(OVERWRITE)
def overwritten_cells(node: Node) -> Refined:
    """Cells that the view shows are the view's."""
    view: Recipe = node.args[2]
    whole, part = node.inputs
    if view.op is VIEW:
        found = on_same_bytes(whole, part)
        return {} if found is None else {1: found}
    if part.dtype != whole.dtype:  # a field of each cell, or its real part: the rest stays
        return {0: SAME, 1: SAME} if part.shape == whole.shape else {0: SAME}
    places = seen_cells(view, whole)
    if places is None or places.shape != part.shape:
        return {}
    numbers = CellNumbers(node)
    cells = numbers.cells(0)
    cells.reshape(-1)[places] = numbers.cells(1)
    return numbers.read(cells, {0, 1})
