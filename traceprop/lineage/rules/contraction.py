"""Sums of products: rows of the first operand stay rows, the second is used whole."""

from __future__ import annotations

from typing import Any

import numpy as np

from traceprop.lineage.graph.edge import Edge, Edges, opaque
from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import named, slots
from traceprop.lineage.registry import CONSERVATIVE, implements, implements_ufuncs
from traceprop.lineage.rowmap import All, Blocks, Identity, RowMap, Take
from traceprop.lineage.rowset import first_rows


def _spread(node: Node, i: int) -> Edge:
    return Edge(i, All(node.n_rows, node.inputs[i].n_rows), aggregates=True)


def _operands(node: Node, count: int = 2) -> list[tuple[int | None, tuple[int, ...]]]:
    """Input number (None where plain) and shape of each of the first operands."""
    operands = []
    for value in node.args[:count]:
        place = slots(value)
        shape = node.inputs[place[0]].shape if place else np.shape(value)
        operands.append((place[0] if place else None, shape))
    return operands


def _edges(node: Node, kept: dict[int, RowMap]) -> list[Edge]:
    """Edges that say `kept` where given, and "all of it" for every other input."""
    return [Edge(i, kept[i]) if i in kept else _spread(node, i) for i in range(len(node.inputs))]


@implements(np.matmul, np.linalg.matmul, family="contraction", mixes=True)
def matmul_rows(node: Node) -> list[Edge]:
    """(…, n, k) @ (…, k, m): axis 0 is the stack, or the first operand's rows."""
    if node.kwargs and {"axes", "axis"} & node.kwargs.keys():
        return opaque(node)
    (a, a_shape), (b, b_shape) = _operands(node)
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
    (a, a_shape), (b, b_shape) = _operands(node)
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
    (a, a_shape), (b, b_shape) = _operands(node)
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
    (a, a_shape), _ = _operands(node)
    if a is None:
        return _edges(node, {})
    width = int(np.prod(a_shape[1:])) if a_shape else 1
    return _edges(node, {a: Blocks(1, max(width, 1), node.n_rows, node.inputs[a].n_rows)})


@implements(np.kron, family="contraction", mixes=True)
def kron_rows(node: Node) -> list[Edge]:
    """Output row r is row r // n of the first times row r % n of the second, n its rows."""
    (a, a_shape), (b, b_shape) = _operands(node)
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
    (a, a_shape), (b, b_shape) = _operands(node)
    axes = named(node, "axes", 2)
    summed_a, summed_b = _summed_axes(axes, len(a_shape), len(b_shape))
    n = node.n_rows
    kept: dict[int, RowMap] = {}
    if a is not None and a_shape and 0 not in summed_a:
        kept[a] = Identity(n)
    if b is not None and b_shape and len(summed_a) == len(a_shape) and 0 not in summed_b:
        kept[b] = Identity(n)
    return _edges(node, kept)


def _summed_axes(axes: Any, a_ndim: int, b_ndim: int) -> tuple[set[int], set[int]]:
    if isinstance(axes, (int, np.integer)):
        count = int(axes)
        return set(range(a_ndim - count, a_ndim)), set(range(count))
    first, second = (np.atleast_1d(each).tolist() for each in axes)
    return {each % a_ndim for each in first}, {each % b_ndim for each in second}


@implements(np.linalg.multi_dot, family="contraction", mixes=True)
def multi_dot_rows(node: Node) -> list[Edge]:
    """Rows of the first matrix are the output's; a vector there is used whole."""
    first = slots(node.args[0][:1]) if isinstance(node.args[0], (tuple, list)) else []
    if first and len(node.inputs[first[0]].shape) == 2:
        return _edges(node, {first[0]: Identity(node.n_rows)})
    return _edges(node, {})


@implements(
    np.einsum,
    family="contraction", mixes=True, status=CONSERVATIVE,
    reason="with an ellipsis, or operands given as lists of axes, every row gets all rows",
)  # fmt: skip
def einsum_rows(node: Node) -> list[Edge]:
    """Rows of an operand stay rows if its first axis has the output's first label."""
    subscripts = node.args[0]
    if not isinstance(subscripts, str) or "." in subscripts:
        return opaque(node)
    terms, arrow, out = subscripts.replace(" ", "").partition("->")
    if not arrow:
        letters = terms.replace(",", "")
        out = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    kept: dict[int, RowMap] = {}
    for term, value in zip(terms.split(","), node.args[1:], strict=False):
        place = slots(value)
        if place and out and term[:1] == out[0]:
            parent = node.inputs[place[0]]
            if parent.n_rows == node.n_rows:
                kept[place[0]] = Identity(node.n_rows)
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
    signature = getattr(node.op, "signature", None)
    if signature is None or node.kwargs or "?" in signature:
        return opaque(node)  # "?": an axis that not every operand has
    inputs, _, outputs = signature.partition("->")
    core = [term.count(",") + 1 if term.strip("() ") else 0 for term in inputs.split("),")]
    core_out = outputs.split("),")[0]
    stack = len(node.shape) - (core_out.count(",") + 1 if core_out.strip("() ") else 0)
    kept: dict[int, RowMap] = {}
    for value, axes in zip(node.args, core, strict=False):
        for i in slots(value):
            shape = node.inputs[i].shape
            if stack > 0 and len(shape) - axes == stack and shape[0] == node.shape[0]:
                kept[i] = Identity(node.n_rows)
    return _edges(node, kept)


implements(np.vecdot, family="contraction", mixes=True)(gufunc_rows)


@implements(np.linalg.vecdot, family="contraction", mixes=True)
def vecdot_rows(node: Node) -> list[Edge]:
    """Other axes than the one that is summed over broadcast."""
    ndims = [len(shape) for _, shape in _operands(node)]
    if int(named(node, "axis")) % max(ndims) == 0 or min(ndims) != max(ndims):
        return opaque(node)
    return [
        Edge(i, Identity(node.n_rows)) if parent.n_rows == node.n_rows else _spread(node, i)
        for i, parent in enumerate(node.inputs)
    ]


if hasattr(np, "matvec"):  # NumPy 2.2
    implements(np.matvec, np.vecmat, family="contraction", mixes=True)(gufunc_rows)
