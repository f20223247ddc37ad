"""Work along axes by parts of a line: running results, differences, segments, bits."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from traceprop.lineage.cells.linemaps import Packed, Running, Segments, Unpacked, Window
from traceprop.lineage.cells.maps import (
    CellMap,
    Chain,
    Refined,
    Reshaped,
    broadcasting,
    normal_axes,
    over_axes,
)
from traceprop.lineage.cells.table import by_rows, refines, wide
from traceprop.lineage.graph.node import Held, Node
from traceprop.lineage.graph.template import argument, named, shape_of, slots
from traceprop.lineage.rules.row_numbers import parameters


def running(node: Node, axis: Any) -> Refined:
    """A cell rests on those of its line that come before it, and itself."""
    if len(node.inputs) != 1 or slots(axis):
        return {}
    shape = node.inputs[0].shape
    if axis is None:  # over the flat cells
        flat = (prod(shape),)
        added = node.shape != flat
        return {0: Chain(Running(0, added), flat, Reshaped(shape))}
    if not shape:
        return {}
    at = int(axis) % len(shape)
    return {0: Running(at, initial=node.shape[at] != shape[at])}


@refines(family="scan")
def cumulative_cells(node: Node) -> Refined:
    """Along the axis named, or over all cells; an initial value in front rests on nothing."""
    axis = named(node, "axis")
    if axis is None and node.op.__name__.startswith("cumulative"):
        axis = 0  # these want a name for it where there are more
    return running(node, axis)


@refines(method="accumulate")
def accumulated_cells(node: Node) -> Refined:
    """`ufunc.accumulate(a, axis=0)`."""
    return running(node, argument(node, 1, "axis", 0))


@refines(np.diff)
def difference_cells(node: Node) -> Refined:
    """Cell i of the n-th difference is made of cells i to i + n of its line, joined with others."""
    order, axis = int(named(node, "n")), int(named(node, "axis"))
    main = shape_of(node, node.args[0])
    if order == 0:
        return {i: found for i in slots(node.args[:1]) if (found := broadcasting(main, node.shape))}
    axis %= len(main)
    maps: dict[int, CellMap] = {}
    start = 0
    for part in (named(node, "prepend"), node.args[0], named(node, "append")):
        if part is np._NoValue:
            continue
        shape = shape_of(node, part)
        full = shape or (*main[:axis], 1, *main[axis + 1 :])  # a number is spread
        window = Window(full, axis, -start, order - start)
        for i in slots(part):
            spread = broadcasting(shape, full)
            maps[i] = window if shape == full or spread is None else Chain(window, full, spread)
        start += full[axis]
    return maps


@refines(np.gradient)
def gradient_cells(node: Node) -> Refined:
    """A cell rests on its neighbours along the result's axis, two away at the edges."""
    shape = node.inputs[0].shape
    if len(node.inputs) != 1 or node.shape != shape:
        return {}
    axis = normal_axes(named(node, "axis"), len(shape))[node.item or 0]
    reach = int(named(node, "edge_order") or 1)
    return {0: Window(shape, axis, -reach, reach)}


wide(
    np.gradient,
    reason="a cell is given itself, which even spacing leaves out, and tracked spacings its rows",
)
refines(np.ediff1d)(by_rows)
wide(np.ediff1d, reason="an array of several axes is flattened first, and answered by its rows")
refines(np.convolve, np.correlate)(by_rows)


@refines(method="reduceat")
def reduceat_cells(node: Node) -> Refined:
    """Cell i of a line is made of those from index i up to the next index."""
    axis = argument(node, 2, "axis", 0)
    if slots(node.args[:1]) != [0] or slots(axis):
        return {}
    shape = node.inputs[0].shape
    (at,) = normal_axes(axis, len(shape))
    indices = node.args[1]
    if slots(indices) and not isinstance(indices, Held):
        return {0: over_axes(shape, (at,), kept=True)}
    try:
        low = np.asarray(parameters(indices), dtype=np.int64)
    except LookupError:
        return {0: over_axes(shape, (at,), kept=True)}
    high = np.maximum(np.append(low[1:], shape[at]), low + 1)
    return {0: Segments(shape, at, low, high)}


@refines(np.packbits, np.unpackbits)
def bit_cells(node: Node) -> Refined:
    """Eight cells of a line to one, or one to eight; without an axis over the flat cells."""
    axis = named(node, "axis")
    if len(node.inputs) != 1:
        return {}
    shape = node.inputs[0].shape
    made = Packed if node.op is np.packbits else Unpacked
    if axis is not None and shape:
        return {0: made(shape, int(axis) % len(shape), 8)}
    flat = (prod(shape),)
    return {0: Chain(made(flat, 0, 8), flat, Reshaped(shape))}
