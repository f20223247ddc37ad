"""Cell by cell: output row i comes from row i of every input, and from all of what is broadcast."""

from __future__ import annotations

import numpy as np

from traceprop.lineage.graph.edge import (
    CONTROL,
    DIRECT,
    Edge,
    Edges,
    Rule,
    extent_of,
    opaque,
    row_by_row,
)
from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import argument, named, slots
from traceprop.lineage.registry import implements, implements_ufuncs
from traceprop.lineage.rowmap import All, Identity, RowMap


def aligned(shape: tuple[int, ...], out: tuple[int, ...]) -> RowMap:
    """Row map of an input of `shape` that broadcasts to `out`."""
    n_out = out[0] if out else 1
    n_in = shape[0] if shape else 1
    if len(shape) == len(out) and n_in == n_out:
        return Identity(n_out)
    return All(n_out, n_in)


@implements_ufuncs("call", family="elementwise", mixes=True)
def elementwise_rows(node: Node) -> Edges:
    """All inputs broadcast together; `where=` decides which cells are written."""
    shape = node.shape
    if node.kwargs is None:
        if len(node.inputs) == 1 and node.inputs[0].shape == shape and shape:
            return row_by_row(shape[0])
        return [Edge(i, aligned(parent.shape, shape)) for i, parent in enumerate(node.inputs)]
    deciding = set(slots(node.kwargs.get("where")))
    return [
        Edge(i, aligned(parent.shape, shape), CONTROL if i in deciding else DIRECT)
        for i, parent in enumerate(node.inputs)
    ]


def first_broadcast(count: int) -> Rule:
    """Rule of a function whose first `count` arguments broadcast; it looks the others up."""

    def rows(node: Node) -> list[Edge]:
        together = set(slots(node.args[:count]))
        return [
            Edge(i, aligned(parent.shape, node.shape))
            if i in together
            else Edge(i, All(node.n_rows, parent.n_rows))
            for i, parent in enumerate(node.inputs)
        ]

    return rows


implements(
    np.angle, np.around, np.round, np.fix, np.nan_to_num, np.isneginf, np.isposinf, np.isclose,
    np.sinc, np.i0, np.clip,
    family="elementwise", mixes=True,
)(elementwise_rows)  # fmt: skip
implements(np.real, family="elementwise", mixes=True, quiet=True)(elementwise_rows)
implements(np.copy, family="elementwise", quiet=True, shape_from_values=None)(elementwise_rows)


@implements(np.imag, np.iscomplex, np.isreal, family="elementwise")
def imaginary_rows(node: Node) -> Edges:
    """Real numbers all have the same imaginary part."""
    return row_by_row(node.n_rows) if node.inputs[0].dtype.kind in "cO" else []


def cast_rows(node: Node) -> Edges:
    """`astype(a, dtype)`: the unit of dates made of texts is the finest that one of them needs."""
    edges = first_broadcast(1)(node)
    if node.dtype.kind not in "mM" or node.inputs[0].dtype.kind in "mMiufb":
        return edges
    unit, _ = np.datetime_data(np.dtype(argument(node, 1, "dtype")))
    return [*edges, *extent_of(node, (0,))] if unit == "generic" else edges


if hasattr(np, "astype"):  # NumPy 2.1
    implements(np.astype, family="elementwise", shape_from_values=None)(cast_rows)


@implements(
    np.emath.sqrt, np.emath.log, np.emath.log2, np.emath.log10, np.emath.logn, np.emath.power,
    np.emath.arccos, np.emath.arcsin, np.emath.arctanh,
    family="elementwise", mixes=True,
)  # fmt: skip
@implements(np.real_if_close, family="elementwise", mixes=True, returns_argument=True)
def cells_of_one_type(node: Node) -> list[Edge]:
    """One cell out of range makes all of them complex: every row has a say in the type."""
    return [*elementwise_rows(node), *extent_of(node, range(len(node.inputs)))]


implements(np.is_busday, np.datetime_as_string, family="elementwise")(first_broadcast(1))
implements(np.busday_offset, np.busday_count, family="elementwise", mixes=True)(first_broadcast(2))
implements(np.unravel_index, np.ravel_multi_index, family="elementwise")(first_broadcast(1))
implements(np.interp, np.digitize, family="searching", mixes=True)(first_broadcast(1))


@implements(np.isin, family="searching", mixes=True)
def isin_rows(node: Node) -> Edges:
    """Row by row, but where the elements are said to be unique: then they are sorted together."""
    return opaque(node) if named(node, "assume_unique") else first_broadcast(1)(node)
