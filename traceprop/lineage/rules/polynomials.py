"""Polynomials as arrays of coefficients: values row by row, coefficients by their power."""

from __future__ import annotations

import numpy as np
import numpy.polynomial.polynomial as polynomial

from traceprop.lineage.graph.edge import Edge, opaque, opaque_in_extent
from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import slots
from traceprop.lineage.registry import CONSERVATIVE, implements
from traceprop.lineage.rowmap import All, Identity, Patch, RowMap, Slice
from traceprop.lineage.rules.elementwise import aligned, first_broadcast

implements(polynomial.polyval2d, family="polynomials", mixes=True)(first_broadcast(2))

implements(np.roots, np.poly, np.polyfit, family="polynomials", mixes=True)(opaque_in_extent)

implements(
    np.polymul, np.polydiv,
    family="polynomials", mixes=True, status=CONSERVATIVE,
    reason="leading zeros are cut off first, so that every row gets all rows",
)(opaque_in_extent)  # fmt: skip


@implements(np.polyval, family="polynomials", mixes=True)
def polyval_rows(node: Node) -> list[Edge]:
    """`polyval(p, x)`: each value is made of its point and all coefficients."""
    points = set(slots(node.args[1:2]))
    return [
        Edge(i, aligned(p.shape, node.shape) if i in points else All(node.n_rows, p.n_rows))
        for i, p in enumerate(node.inputs)
    ]


@implements(polynomial.polygrid2d, family="polynomials", mixes=True)
def polygrid_rows(node: Node) -> list[Edge]:
    """`polygrid2d(x, y, c)`: the points of `x` come first where `c` has no further axes."""
    first = slots(node.args[:1])
    edges = []
    for i, parent in enumerate(node.inputs):
        leads = i in first and np.ndim(node.args[2]) == 2 and len(parent.shape) == 1
        row_map: RowMap = Identity(node.n_rows) if leads else All(node.n_rows, parent.n_rows)
        edges.append(Edge(i, row_map))
    return edges


@implements(np.polyadd, np.polysub, family="polynomials", mixes=True)
def polyadd_rows(node: Node) -> list[Edge]:
    """Coefficients of equal power meet: both lists end with the constant term."""
    if any(len(parent.shape) != 1 for parent in node.inputs):
        return opaque(node)
    n = node.n_rows
    return [
        Edge(i, Patch(n - parent.n_rows, n, n, parent.n_rows))
        for i, parent in enumerate(node.inputs)
    ]


@implements(np.polyder, np.polyint, family="polynomials")
def shifted_rows(node: Node) -> list[Edge]:
    """Each coefficient stays in its place from the front, and changes its power."""
    parent = node.inputs[0]
    if len(node.inputs) > 1 or len(parent.shape) != 1 or node.n_rows < 1:
        return opaque(node)
    if node.op is np.polyder:
        return [Edge(0, Slice(0, 1, node.n_rows, parent.n_rows))]
    return [Edge(0, Patch(0, parent.n_rows, node.n_rows, parent.n_rows))]


@implements(np.vander, family="polynomials")
def vander_rows(node: Node) -> list[Edge]:
    """Row i holds the powers of x[i]."""
    return opaque(node) if len(node.inputs) > 1 else [Edge(0, Identity(node.n_rows))]
