"""Writes into an argument: do the same write on cell numbers, see which cells still hold their own.

A cell that is written whole forgets what it held before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from traceprop.lineage.cells.elementwise import broadcast
from traceprop.lineage.cells.maps import CellMap, Refined, broadcasting
from traceprop.lineage.cells.movement import CellNumbers
from traceprop.lineage.cells.table import refines
from traceprop.lineage.core import OVERWRITE
from traceprop.lineage.node import Node, Recipe
from traceprop.lineage.rules.indexing import names_fields
from traceprop.lineage.rules.movement import VIEW
from traceprop.lineage.rules.mutators import SETITEM, seen_cells
from traceprop.lineage.rules.rowids import parameters
from traceprop.lineage.template import slots

_VALUE: Final[dict[Callable[..., Any], int]] = {
    SETITEM: 2,
    np.copyto: 1,
    np.put: 2,
    np.place: 2,
    np.putmask: 2,
    np.put_along_axis: 2,
    np.fill_diagonal: 1,
}
"""Function → position of the value that is written."""


@refines(*_VALUE)
def written_cells(node: Node) -> Refined:
    """Tell what stayed from what was written; a mask over the target decides cell by cell."""
    position = _VALUE[node.op]
    if len(node.args) <= position or (node.op is SETITEM and names_fields(node.args[1])):
        return {}
    numbers = CellNumbers(node)
    try:
        args = [
            numbers.numbered(value) if at == position else parameters(value)
            for at, value in enumerate(node.args[1:], start=1)
        ]
        kwargs = parameters(node.kwargs or {})
    except LookupError:
        return {}
    kwargs.pop("casting", None)
    cells = numbers.cells(0)
    node.op(cells, *args, **kwargs)
    maps = dict(numbers.read(cells, {0, *slots(node.args[position])}))
    if node.op is np.copyto or node.op is np.putmask:
        maps |= _decided(node, set(range(len(node.inputs))) - set(maps))
    return maps


def _decided(node: Node, masks: set[int]) -> Refined:
    """Return the maps of masks that lie over the target."""
    maps: dict[int, CellMap] = {}
    for i in masks:
        over = broadcasting(node.inputs[i].shape, node.shape)
        if over is not None:
            maps[i] = over
    return maps


@refines(method="at")
def updated_cells(node: Node) -> Refined:
    """Let `ufunc.at(a, indices, b)` keep the cells of `a`; what lands in them is told by rows."""
    return broadcast(node, (0,))


@refines(OVERWRITE)
def overwritten_cells(node: Node) -> Refined:
    """Let the cells that a view shows be the view's."""
    view: Recipe = node.args[2]
    whole, part = node.inputs
    if view.op is VIEW or part.dtype != whole.dtype:
        return {}
    places = seen_cells(view, whole)
    if places is None or places.shape != part.shape:
        return {}
    numbers = CellNumbers(node)
    cells = numbers.cells(0)
    cells.reshape(-1)[places] = numbers.cells(1)
    return numbers.read(cells, {0, 1})
