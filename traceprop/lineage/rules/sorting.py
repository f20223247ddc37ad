"""Sorting: a sorted cell may have come from any row; along another axis rows stay rows."""

from __future__ import annotations

import numpy as np

from traceprop.lineage.graph.edge import Edge
from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import named, slots
from traceprop.lineage.registry import CONSERVATIVE, implements
from traceprop.lineage.rowmap import All, Identity

WHY = "a sorted row is given all rows: which one it was is in values that aren't kept"


def along_axis(node: Node, axis: object, aggregates: bool = False) -> list[Edge]:
    """Rows stay rows unless the work is along axis 0, or over the flattened cells."""
    edges = []
    for i, parent in enumerate(node.inputs):
        ndim = len(parent.shape)
        across = isinstance(axis, (int, np.integer)) and int(axis) not in (0, -ndim) and ndim > 1
        if across and parent.n_rows == node.n_rows:
            edges.append(Edge(i, Identity(node.n_rows)))
        else:
            edges.append(Edge(i, All(node.n_rows, parent.n_rows), aggregates=aggregates))
    return edges


@implements(
    np.sort, np.argsort, np.partition, np.argpartition,
    family="sorting", status=CONSERVATIVE, reason=WHY,
)  # fmt: skip
def sort_rows(node: Node) -> list[Edge]:
    """Along the axis named; only the first input is sorted."""
    if len(node.inputs) > 1:
        return along_axis(node, None)
    return along_axis(node, named(node, "axis", -1))


@implements(np.lexsort, family="sorting", status=CONSERVATIVE, reason=WHY)
def lexsort_rows(node: Node) -> list[Edge]:
    """Keys are sorted along their last axis; they may be stacked in axis 0."""
    return along_axis(node, None)


@implements(np.sort_complex, family="sorting", status=CONSERVATIVE, reason=WHY)
def sort_complex_rows(node: Node) -> list[Edge]:
    """Along the last axis."""
    return along_axis(node, -1 if not slots(node.args[1:]) else None)
