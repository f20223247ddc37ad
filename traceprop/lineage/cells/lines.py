"""Work along axes: reductions, sorts, transforms, running results and differences.

A line is the cells along the axes that are worked on. Reductions, sorts and Fourier transforms
take whole lines, running results the line up to a cell, differences its next few cells.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from traceprop.lineage.cells.maps import (
    CellMap,
    Mask,
    Refined,
    after,
    broadcasting,
    normal_axes,
    over_axes,
)
from traceprop.lineage.cells.table import refines
from traceprop.lineage.node import Node
from traceprop.lineage.template import argument, named, slots


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
            maps[i] = after(main, along)
    for i in slots((node.kwargs or {}).get("out")):  # where `where=` leaves a cell as it was
        held = broadcasting(node.inputs[i].shape, node.shape)
        if held is not None:
            maps[i] = held
    return maps


@refines(
    np.sum, np.prod, np.mean, np.std, np.var, np.min, np.max, np.amin, np.amax, np.ptp, np.any,
    np.all, np.argmin, np.argmax, np.nansum, np.nanprod, np.nanmean, np.nanstd, np.nanvar,
    np.nanmin, np.nanmax, np.nanargmin, np.nanargmax, np.median, np.nanmedian, np.count_nonzero,
    np.linalg.norm, np.linalg.vector_norm,
)  # fmt: skip
def reduced_cells(node: Node) -> Refined:
    """Over the axes named."""
    return reduced(node, named(node, "axis"))


@refines(np.linalg.matrix_norm, np.linalg.trace)
def matrix_cells(node: Node) -> Refined:
    """Over the last two axes."""
    return reduced(node, (-2, -1))


@refines(np.trace)
def trace_cells(node: Node) -> Refined:
    """Over two axes; off the diagonal too, which is more than there is."""
    return reduced(node, (named(node, "axis1"), named(node, "axis2")))


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
    maps = dict(reduced(node, named(node, "axis")))
    if 0 in maps:
        shape = node.inputs[0].shape
        maps |= {i: maps[0] for i, parent in enumerate(node.inputs) if parent.shape == shape}
    return maps


def along(node: Node, axis: Any) -> Refined:
    """Let a cell rest on its line of the only input, along one axis or several."""
    if len(node.inputs) != 1 or slots(axis):
        return {}
    shape = node.inputs[0].shape
    if not shape or len(node.shape) != len(shape):
        return {}
    return {0: over_axes(shape, normal_axes(axis, len(shape)), kept=True)}


@refines(np.sort, np.argsort, np.partition, np.argpartition)
def sorted_cells(node: Node) -> Refined:
    """Which cell of the line it was is in values that aren't kept."""
    return along(node, named(node, "axis", -1))


@refines(
    np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft, np.fft.hfft, np.fft.ihfft,
)  # fmt: skip
def transformed_cells(node: Node) -> Refined:
    """Along one axis."""
    return along(node, named(node, "axis"))


@refines(method="reduceat")
def reduceat_cells(node: Node) -> Refined:
    """Along any axis but the first; there the row map says which rows each output row takes."""
    axis = argument(node, 2, "axis", 0)
    if slots(node.args[:1]) != [0] or slots(axis):
        return {}
    shape = node.inputs[0].shape
    axes = normal_axes(axis, len(shape))
    return {} if axes == (0,) else {0: over_axes(shape, axes, kept=True)}


def running(node: Node, axis: Any) -> Refined:
    """Let a cell rest on those of its line that come before it, and itself."""
    if len(node.inputs) != 1 or slots(axis):
        return {}
    shape = node.inputs[0].shape
    if node.shape != shape or not shape or (axis is None and len(shape) != 1):
        return {}
    number = int(axis or 0)

    def image(mask: Mask) -> Mask:
        backwards = np.flip(mask, number)
        return np.flip(np.logical_or.accumulate(backwards, axis=number), number)

    return {0: image}


@refines(
    np.cumsum, np.cumprod, np.nancumsum, np.nancumprod, np.unwrap,
    *[getattr(np, name) for name in ("cumulative_sum", "cumulative_prod") if hasattr(np, name)],
)  # fmt: skip
def cumulative_cells(node: Node) -> Refined:
    """Along the axis named; with an initial value in front by rows."""
    return running(node, named(node, "axis"))


@refines(method="accumulate")
def accumulated_cells(node: Node) -> Refined:
    """`ufunc.accumulate(a, axis=0)`."""
    return running(node, argument(node, 1, "axis", 0))


@refines(np.diff)
def difference_cells(node: Node) -> Refined:
    """Cell i of the n-th difference is made of cells i to i + n of its line."""
    order, axis = int(named(node, "n")), int(named(node, "axis"))
    shape = node.inputs[0].shape
    if len(node.inputs) != 1 or len(shape) != len(node.shape):
        return {}
    if node.shape[axis] != shape[axis] - order:
        return {}  # something was put in front or behind

    def image(mask: Mask) -> Mask:
        cells = np.zeros(shape, dtype=np.bool_)
        line, found = np.moveaxis(cells, axis, 0), np.moveaxis(mask, axis, 0)
        for shift in range(order + 1):
            line[shift : shift + len(found)] |= found
        return cells

    return {0: image}


@refines(np.gradient)
def gradient_cells(node: Node) -> Refined:
    """Give a cell its neighbours along the axis that the result is for, two away at the edges."""
    shape = node.inputs[0].shape
    if len(node.inputs) != 1 or node.shape != shape:
        return {}
    axis = normal_axes(named(node, "axis"), len(shape))[node.item or 0]
    reach = int(named(node, "edge_order") or 1)

    def image(mask: Mask) -> Mask:
        cells = np.zeros(shape, dtype=np.bool_)
        line, found = np.moveaxis(cells, axis, 0), np.moveaxis(mask, axis, 0)
        n = len(found)
        for shift in range(-reach, reach + 1):
            line[max(shift, 0) : n + min(shift, 0)] |= found[max(-shift, 0) : n - max(shift, 0)]
        return cells

    return {0: image}
