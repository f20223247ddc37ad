"""Sums of products: rows of the first operand stay rows, the second is used whole."""

from __future__ import annotations

import numpy as np

from traceprop.lineage.graph.edge import Edge, Edges, opaque
from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import named, operands, slots
from traceprop.lineage.registry import CONSERVATIVE, implements, implements_ufuncs
from traceprop.lineage.rowmap import All, Blocks, Identity, RowMap, Take
from traceprop.lineage.rowset import first_rows
from traceprop.lineage.rules.subscripts import core_axes, subscripts, summed_axes


def _spread(node: Node, i: int) -> Edge:
    return Edge(i, All(node.n_rows, node.inputs[i].n_rows), aggregates=True)


def _edges(node: Node, kept: dict[int, RowMap]) -> list[Edge]:
    """Edges that say `kept` where given, and "all of it" for every other input."""
    return [Edge(i, kept[i]) if i in kept else _spread(node, i) for i in range(len(node.inputs))]


@implements(np.matmul, np.linalg.matmul, family="contraction", mixes=True)
def matmul_rows(node: Node) -> list[Edge]:
    """(…, n, k) @ (…, k, m): axis 0 is the stack, or the first operand's rows."""
    if node.kwargs and {"axes", "axis"} & node.kwargs.keys():
        return opaque(node)
    (a, a_shape), (b, b_shape) = operands(node)
    n = node.n_rows
    kept: dict[int, RowMap] = {}
    stack = max(len(a_shape), len(b_shape)) - 2
    if stack > 0:
        for i, shape in ((a, a_shape), (b, b_shape)):
            if i is not None and len(shape) - 2 == stack and shape[0] == n:
                kept[i] = Identity(n)
    elif a is not None and len(a_shape) == 2:
        kept[a] = Identity(n)
    return _edges(node, kept)


@implements(np.dot, family="contraction", mixes=True)
def dot_rows(node: Node) -> list[Edge]:
    """Rows of the first operand are the output's; a vector there is used whole."""
    (a, a_shape), (b, b_shape) = operands(node)
    n = node.n_rows
    kept: dict[int, RowMap] = {}
    if a is not None and (len(a_shape) >= 2 or (a_shape and not b_shape)):
        kept[a] = Identity(n)
    if b is not None and b_shape and not a_shape:
        kept[b] = Identity(n)
    return _edges(node, kept)


@implements(np.inner, family="contraction", mixes=True)
def inner_rows(node: Node) -> list[Edge]:
    """Rows of the first operand come first; a vector there leaves the second's."""
    (a, a_shape), (b, b_shape) = operands(node)
    n = node.n_rows
    kept: dict[int, RowMap] = {}
    if a is not None and (len(a_shape) >= 2 or (a_shape and not b_shape)):
        kept[a] = Identity(n)
    if b is not None and len(a_shape) < 2 and (len(b_shape) >= 2 or (b_shape and not a_shape)):
        kept[b] = Identity(n)
    return _edges(node, kept)


@implements(np.outer, np.linalg.outer, family="contraction", mixes=True)
def outer_rows(node: Node) -> list[Edge]:
    """Output row i is cell i of the flattened first operand times all of the second."""
    (a, a_shape), _ = operands(node)
    if a is None:
        return _edges(node, {})
    width = int(np.prod(a_shape[1:])) if a_shape else 1
    return _edges(node, {a: Blocks(1, max(width, 1), node.n_rows, node.inputs[a].n_rows)})


@implements(np.kron, family="contraction", mixes=True)
def kron_rows(node: Node) -> list[Edge]:
    """Output row r is row r // n of the first times row r % n of the second, n its rows."""
    (a, a_shape), (b, b_shape) = operands(node)
    if len(a_shape) != len(b_shape) or not a_shape:
        return opaque(node)
    rows = first_rows(node.n_rows)
    kept: dict[int, RowMap] = {}
    if a is not None:
        kept[a] = Take(rows // max(b_shape[0], 1), a_shape[0])
    if b is not None:
        kept[b] = Take(rows % max(b_shape[0], 1), b_shape[0])
    return _edges(node, kept)


@implements(np.tensordot, np.linalg.tensordot, family="contraction", mixes=True)
def tensordot_rows(node: Node) -> list[Edge]:
    """Axis 0 of the output is the first axis of the first operand that isn't summed over."""
    (a, a_shape), (b, b_shape) = operands(node)
    summed_a, summed_b = summed_axes(node, len(a_shape), len(b_shape))
    n = node.n_rows
    kept: dict[int, RowMap] = {}
    if a is not None and a_shape and 0 not in summed_a:
        kept[a] = Identity(n)
    if b is not None and b_shape and len(summed_a) == len(a_shape) and 0 not in summed_b:
        kept[b] = Identity(n)
    return _edges(node, kept)


@implements(np.linalg.multi_dot, family="contraction", mixes=True)
def multi_dot_rows(node: Node) -> list[Edge]:
    """Rows of the first matrix are the output's; a vector there is used whole."""
    first = slots(node.args[0][:1]) if isinstance(node.args[0], (tuple, list)) else []
    if first and len(node.inputs[first[0]].shape) == 2:
        return _edges(node, {first[0]: Identity(node.n_rows)})
    return _edges(node, {})


@implements(np.einsum, family="contraction", mixes=True)
def einsum_rows(node: Node) -> list[Edge]:
    """Rows of an operand stay rows if its first axis has the output's first label."""
    read = subscripts(node)
    if read is None:
        return opaque(node)
    terms, out = read
    kept: dict[int, RowMap] = {}
    for own, value in terms:
        for i in slots(value):
            if own and out and own[0] == out[0] and node.inputs[i].n_rows == node.n_rows:
                kept[i] = Identity(node.n_rows)
    return _edges(node, kept)


@implements(np.vdot, family="contraction", mixes=True)
def vdot_rows(node: Node) -> list[Edge]:
    """One number of everything."""
    return _edges(node, {})


@implements(
    np.cross, np.linalg.cross,
    family="contraction", mixes=True, status=CONSERVATIVE,
    reason="with axes other than the last, every row gets all rows",
)  # fmt: skip
def cross_rows(node: Node) -> list[Edge]:
    """Vectors along the last axis: the other axes broadcast."""
    axes = {named(node, name, -1) for name in ("axis", "axisa", "axisb", "axisc")} - {None}
    if axes != {-1} or not node.shape:
        return opaque(node)
    kept: dict[int, RowMap] = {}
    for i, parent in enumerate(node.inputs):
        if len(parent.shape) >= 2 and parent.n_rows == node.n_rows:
            others = [len(p.shape) for p in node.inputs]
            if len(parent.shape) == max(others):
                kept[i] = Identity(node.n_rows)
    return _edges(node, kept)


@implements_ufuncs("gufunc", family="gufunc", mixes=True)
def gufunc_rows(node: Node) -> Edges:
    """Any gufunc: leading axes are a stack that broadcasts; core axes mix whole."""
    read = core_axes(node)
    if read is None or "?" in getattr(node.op, "signature", ""):  # not every operand has the axis
        return opaque(node)
    core, core_out = read
    stack = len(node.shape) - len(core_out)
    kept: dict[int, RowMap] = {}
    for value, axes in zip(node.args, core, strict=False):
        for i in slots(value):
            shape = node.inputs[i].shape
            if stack > 0 and len(shape) - len(axes) == stack and shape[0] == node.shape[0]:
                kept[i] = Identity(node.n_rows)
    return _edges(node, kept)


implements(np.vecdot, family="contraction", mixes=True)(gufunc_rows)


@implements(np.linalg.vecdot, family="contraction", mixes=True)
def vecdot_rows(node: Node) -> list[Edge]:
    """Other axes than the one that is summed over broadcast."""
    ndims = [len(shape) for _, shape in operands(node)]
    if int(named(node, "axis")) % max(ndims) == 0 or min(ndims) != max(ndims):
        return opaque(node)
    return [
        Edge(i, Identity(node.n_rows)) if parent.n_rows == node.n_rows else _spread(node, i)
        for i, parent in enumerate(node.inputs)
    ]


if hasattr(np, "matvec"):  # NumPy 2.2
    implements(np.matvec, np.vecmat, family="contraction", mixes=True)(gufunc_rows)
