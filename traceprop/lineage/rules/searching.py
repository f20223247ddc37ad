"""Search and bins: what is looked up keeps its rows, the table it is looked up in is used whole."""

from __future__ import annotations

import numpy as np

from traceprop.lineage.edges import Edge
from traceprop.lineage.node import Node
from traceprop.lineage.registry import implements
from traceprop.lineage.rowmap import All
from traceprop.lineage.rules.elementwise import aligned
from traceprop.lineage.template import argument, slots


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
