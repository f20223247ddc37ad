"""Many cells to one: a reduction over axis 0 takes every row into every output row."""

from __future__ import annotations

from typing import Any

import numpy as np

from traceprop.lineage.graph.edge import CONTROL, DIRECT, Edge, opaque, opaque_in_extent
from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import named, slots
from traceprop.lineage.registry import implements
from traceprop.lineage.rowmap import All, Identity
from traceprop.lineage.rules.elementwise import aligned


def reduces_rows(axis: Any, ndim: int) -> bool:
    """Whether `axis`, as the user gave it, takes axis 0 in."""
    if axis is None or ndim == 0:
        return True
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    return any(int(each) in (0, -ndim) for each in axes)


def reduce_rows(node: Node, axis: Any = "axis") -> list[Edge]:
    """Reduce the first input over `axis`; weights go with it and `where=` decides."""
    axis = named(node, "axis") if axis == "axis" else axis
    main = node.inputs[0]
    if slots(node.args[:1]) != [0] or slots(axis):
        return opaque(node)
    collapses = reduces_rows(axis, len(main.shape)) or main.n_rows != node.n_rows
    deciding = set(slots(named(node, "where")))
    edges = []
    for i, parent in enumerate(node.inputs):
        kind = CONTROL if i in deciding else DIRECT
        if collapses:
            edges.append(Edge(i, All(node.n_rows, parent.n_rows), kind, aggregates=True))
        elif i == 0:
            edges.append(Edge(0, Identity(node.n_rows)))
        else:
            edges.append(Edge(i, aligned(parent.shape, main.shape), kind))
    return edges


implements(
    np.sum, np.prod, np.mean, np.std, np.var, np.min, np.max, np.amin, np.amax, np.ptp, np.any,
    np.all,
    np.argmin, np.argmax, np.nansum, np.nanprod, np.nanmean, np.nanstd, np.nanvar, np.nanmin,
    np.nanmax, np.nanargmin, np.nanargmax, np.median, np.nanmedian, np.count_nonzero,
    family="reduction", mixes=True,
)(reduce_rows)  # fmt: skip


@implements(
    np.percentile, np.quantile, np.nanpercentile, np.nanquantile, family="reduction", mixes=True
)
def quantile_rows(node: Node) -> list[Edge]:
    """With one quantile it is a reduction; with several, axis 0 counts the quantiles."""
    q = node.args[1] if len(node.args) > 1 else named(node, "q")
    if slots(q) or np.ndim(q):
        # Where all is NaN the result has the data's type, else that of the quantiles.
        typed = node.op in (np.nanpercentile, np.nanquantile)
        return opaque_in_extent(node) if typed else opaque(node)
    return reduce_rows(node)


@implements(np.average, np.trapezoid, family="reduction", mixes=True)
def weighted_rows(node: Node) -> list[Edge]:
    """Weights, or the grid, that have fewer axes than the data go into every row alike."""
    if named(node, "returned"):
        return opaque(node)
    edges = reduce_rows(node)
    main = node.inputs[0]
    return [
        edge
        if node.inputs[edge.input].shape == main.shape or type(edge.map) is All
        else edge._replace(map=All(node.n_rows, node.inputs[edge.input].n_rows))
        for edge in edges
    ]


@implements(
    np.linalg.norm, np.linalg.vector_norm, np.linalg.matrix_norm, np.trace, np.linalg.trace,
    family="reduction", mixes=True,
)  # fmt: skip
def norm_rows(node: Node) -> list[Edge]:
    """Norms and traces: over the axes named, or the ones that the function means by itself."""
    if node.op is np.trace:
        axes = (named(node, "axis1"), named(node, "axis2"))
        return reduce_rows(node, axes)
    if node.op in (np.linalg.matrix_norm, np.linalg.trace):
        return reduce_rows(node, (-2, -1))
    return reduce_rows(node)
