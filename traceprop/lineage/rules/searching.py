"""Search and bins: what is looked up keeps its rows, the table it is looked up in is used whole."""

from __future__ import annotations

import numpy as np

from traceprop.lineage.graph.edge import Edge, opaque_in_extent
from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import argument, slots
from traceprop.lineage.registry import implements
from traceprop.lineage.rowmap import All, Identity
from traceprop.lineage.rules.elementwise import aligned


@implements(np.searchsorted, family="searching", mixes=True)
def searchsorted_rows(node: Node) -> list[Edge]:
    """`searchsorted(a, v)`: row i is where row i of `v` belongs among all of `a`."""
    sought = set(slots(argument(node, 1, "v")))
    return [
        Edge(i, aligned(parent.shape, node.shape))
        if i in sought
        else Edge(i, All(node.n_rows, parent.n_rows), aggregates=True)
        for i, parent in enumerate(node.inputs)
    ]


@implements(np.ix_, family="searching")
def open_mesh_rows(node: Node) -> list[Edge]:
    """Result k is argument k along axis k; a mask becomes the numbers that it chooses."""
    axis = node.item or 0
    own = slots(node.args[axis])
    if any(node.inputs[i].dtype == bool for i in own):
        return opaque_in_extent(node)
    n = node.n_rows
    return [Edge(i, All(n, node.inputs[i].n_rows) if axis else Identity(n)) for i in own]
