"""The methods of ufuncs: `reduce`, `reduceat`, `outer` and `at` (`accumulate` is a scan)."""

from __future__ import annotations

import numpy as np

from traceprop.lineage.graph.edge import CONTROL, Edge, opaque
from traceprop.lineage.graph.node import Held, Node
from traceprop.lineage.graph.template import argument, shape_of, slots
from traceprop.lineage.recording.kept_arrays import check_unchanged
from traceprop.lineage.registry import implements_ufuncs
from traceprop.lineage.rowmap import All, Groups, Identity, RowMap, Spans
from traceprop.lineage.rowset import row_dtype
from traceprop.lineage.rules.reduction import reduce_rows


@implements_ufuncs("reduce", family="reduction", mixes=True)
def ufunc_reduce_rows(node: Node) -> list[Edge]:
    """`ufunc.reduce(a, axis=0)`."""
    return reduce_rows(node, argument(node, 1, "axis", 0))


@implements_ufuncs("outer", family="contraction", mixes=True)
def ufunc_outer_rows(node: Node) -> list[Edge]:
    """Axes of the first operand come first: its rows are the output's."""
    edges = []
    first = slots(node.args[:1])
    leads = set(first) if shape_of(node, node.args[0]) else set(slots(node.args[1:2]))
    for i, parent in enumerate(node.inputs):
        if i in leads and parent.shape and parent.n_rows == node.n_rows:
            edges.append(Edge(i, Identity(node.n_rows)))
        else:
            edges.append(Edge(i, All(node.n_rows, parent.n_rows)))
    return edges


@implements_ufuncs("reduceat", family="reduction", mixes=True)
def reduceat_rows(node: Node) -> list[Edge]:
    """Row i is made of the rows from index i up to the next index."""
    axis = argument(node, 2, "axis", 0)
    parent = node.inputs[0]
    indices = node.args[1]
    if slots(node.args[:1]) != [0] or slots(axis) or _is_unknown(indices):
        return opaque(node)
    controls = [
        Edge(i, All(node.n_rows, p.n_rows), CONTROL) for i, p in enumerate(node.inputs) if i
    ]
    if int(axis) not in (0, -len(parent.shape)):
        return [Edge(0, Identity(node.n_rows)), *controls]
    if isinstance(indices, Held):
        try:
            check_unchanged(indices)
        except LookupError:
            return opaque(node)
        indices = indices.array
    low = np.asarray(indices, dtype=np.int64)
    high = np.append(low[1:], parent.n_rows)
    high = np.maximum(high, low + 1)
    return [Edge(0, Spans(low, high, parent.n_rows), aggregates=True), *controls]


def _is_unknown(chooser: object) -> bool:
    """Whether a mask or index was not kept."""
    return isinstance(chooser, Held) and chooser.array is None


@implements_ufuncs("at", family="mutators", mixes=True)
def at_rows(node: Node) -> list[Edge]:
    """`ufunc.at(a, indices, b)`: rows named by the indices take in rows of b."""
    edges = [Edge(0, Identity(node.n_rows))]
    key = node.args[1]
    values = slots(node.args[2:])
    for i, parent in enumerate(node.inputs):
        if i == 0:
            continue
        if i in values:
            edges.append(Edge(i, _landed(node, key, parent), aggregates=True))
        else:
            edges.append(Edge(i, All(node.n_rows, parent.n_rows), CONTROL))
    return edges


def _landed(node: Node, key: object, value: Node) -> RowMap:
    """Which rows of the value each row of the target took in."""
    n = node.n_rows
    if (
        isinstance(key, Held)
        and not _is_unknown(key)
        and np.ndim(key.array) == 1
        and key.array.dtype.kind in "iu"
    ):
        try:
            check_unchanged(key)
        except LookupError:
            return All(n, value.n_rows)
        rows = key.array.astype(np.int64)
        if len(rows) == value.n_rows and len(value.shape) == len(node.shape):
            rows = np.where(rows < 0, rows + n, rows)
            order = np.argsort(rows, kind="stable")
            indptr = np.zeros(n + 1, dtype=np.int64)
            np.cumsum(np.bincount(rows, minlength=n), out=indptr[1:])
            return Groups(indptr, order.astype(row_dtype(value.n_rows)), value.n_rows)
    return All(n, value.n_rows)
