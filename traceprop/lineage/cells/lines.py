"""Work along axes as a whole: reductions, sorts, transforms.

A line is the cells along the axes that are worked on.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from traceprop.lineage.cells.maps import (
    CellMap,
    Chain,
    Either,
    Everywhere,
    Labelled,
    Numbered,
    Refined,
    broadcasting,
    normal_axes,
    over_axes,
)
from traceprop.lineage.cells.table import refines, wide
from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import argument, named, slots
from traceprop.lineage.registry import rule_of


def reduced(node: Node, axis: Any, lead: int = 0) -> Refined:
    """Reduce the first input over `axis`; `lead` axes in front of the result are not its own."""
    if slots(node.args[:1]) != [0] or slots(axis):
        return {}
    shape = node.inputs[0].shape
    axes = normal_axes(axis, len(shape))
    kept = len(node.shape) - lead == len(shape) and bool(axes)
    if not kept and len(node.shape) - lead != len(shape) - len(set(axes)):
        return {}
    main = over_axes(shape, axes, kept)
    maps: dict[int, CellMap] = {0: main}
    for i in slots(named(node, "where")):
        along = broadcasting(node.inputs[i].shape, shape)
        if along is not None:
            maps[i] = Chain(main, shape, along)
    for i in slots((node.kwargs or {}).get("out")):  # where `where=` leaves a cell as it was
        held = broadcasting(node.inputs[i].shape, node.shape)
        if held is not None:
            maps[i] = held
    return maps


@refines(family="reduction")
def reduced_cells(node: Node) -> Refined:
    """Over the axes named."""
    return reduced(node, named(node, "axis"))


@refines(np.linalg.matrix_norm)
def matrix_cells(node: Node) -> Refined:
    """Over the last two axes."""
    return reduced(node, (-2, -1))


@refines(np.trace, np.linalg.trace)
def trace_cells(node: Node) -> Refined:
    """Sum along a diagonal."""
    axes = (-2, -1) if node.op is np.linalg.trace else (named(node, "axis1"), named(node, "axis2"))
    offset = named(node, "offset", 0)
    if len(node.inputs) != 1 or slots((axes, offset)):
        return {}
    shape = node.inputs[0].shape
    cells = np.arange(prod(shape)).reshape(shape)
    diagonal = np.diagonal(cells, int(offset), *map(int, axes))
    line = over_axes(diagonal.shape, (diagonal.ndim - 1,), kept=False)
    return {0: Chain(line, diagonal.shape, Numbered(diagonal, 0, shape))}


@refines(method="reduce")
def ufunc_reduced_cells(node: Node) -> Refined:
    """`ufunc.reduce(a, axis=0)`."""
    return reduced(node, argument(node, 1, "axis", 0))


@refines(np.percentile, np.quantile, np.nanpercentile, np.nanquantile)
def quantile_cells(node: Node) -> Refined:
    """Several quantiles stand in front of the axes that are left."""
    q = argument(node, 1, "q")
    return {} if slots(q) else reduced(node, named(node, "axis"), np.ndim(q))


@refines(np.average, np.trapezoid)
def weighted_cells(node: Node) -> Refined:
    """Weights and grids of the data's shape go with it; others are answered by rows."""
    if named(node, "returned"):
        return {}
    axis = named(node, "axis", -1 if node.op is np.trapezoid else None)
    maps = dict(reduced(node, axis))
    if 0 not in maps:
        return {}
    shape = node.inputs[0].shape
    for i, parent in enumerate(node.inputs):
        if parent.shape == shape:
            maps[i] = maps[0]
        elif len(parent.shape) == 1 and axis is not None and np.ndim(axis) == 0:
            along_it = Labelled(range(len(shape)), normal_axes(axis, len(shape)), parent.shape)
            maps[i] = Chain(maps[0], shape, along_it)
    return maps


wide(
    np.average, np.trapezoid,
    reason="weights of several axes, not the data's own, and returned=, are answered by rows",
)  # fmt: skip
wide(
    np.percentile, np.quantile, np.nanpercentile, np.nanquantile,
    reason="with tracked quantiles, cells are answered by rows",
)  # fmt: skip


def along(node: Node, axis: Any) -> Refined:
    """A cell rests on its line of the only input, along one axis or several."""
    if len(node.inputs) != 1 or slots(axis):
        return {}
    shape = node.inputs[0].shape
    if not shape or len(node.shape) != len(shape):
        return {}
    return {0: over_axes(shape, normal_axes(axis, len(shape)), kept=True)}


@refines(family="sorting")
def sorted_cells(node: Node) -> Refined:
    """Which cell of the line it was is in values that aren't kept."""
    return along(node, -1 if node.op is np.sort_complex else named(node, "axis", -1))


@refines(np.lexsort)
def ordered_cells(node: Node) -> Refined:
    """Keys are sorted along an axis together; stacked in one array they lie along its axis 0."""
    axis = named(node, "axis", -1)
    if slots(axis):
        return {}
    line = over_axes(node.shape, normal_axes(axis, len(node.shape)), kept=True)
    maps: dict[int, CellMap] = {}
    for i, parent in enumerate(node.inputs):
        if parent.shape == node.shape:
            maps[i] = line
        elif parent.shape[1:] == node.shape:
            keys = Labelled(range(len(node.shape)), range(-1, len(node.shape)), parent.shape)
            maps[i] = Chain(line, node.shape, keys)
    return maps


wide(
    family="sorting",
    reason="which cell of its line a sorted one was is in values that aren't kept",
)


@refines(family="transforms")
def transformed_cells(node: Node) -> Refined:
    """Along one axis, or several; None is all of them."""
    return along(node, named(node, rule_of(node.op).axis or "axis"))


@refines(np.apply_along_axis)
def applied_cells(node: Node) -> Refined:
    """`apply_along_axis(f, axis, a)`: a line makes what is in its place, the first one the type."""
    axis = named(node, "axis")
    if len(node.inputs) != 1 or slots(node.args[2:3]) != [0] or slots(axis):
        return {}
    shape = node.inputs[0].shape
    at = int(axis) % len(shape)
    result = len(node.shape) - len(shape) + 1  # axes of what the function returns
    before, behind = range(at), range(at + 1, len(shape))
    out = [*before, *(("result", k) for k in range(result)), *behind]
    first = np.zeros(shape, dtype=np.int64)
    first[tuple(slice(None) if k == at else 0 for k in range(len(shape)))] = 1
    return {0: Either(Labelled(out, range(len(shape)), shape), Everywhere(first > 0))}


wide(np.apply_along_axis, reason="the function's first result decides the type of all")
