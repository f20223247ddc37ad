"""Which edges a question follows from a node down to its sources, worked out in one walk."""

from __future__ import annotations

from traceprop.lineage.graph.edge import CONTROL, DIRECT, Edge
from traceprop.lineage.graph.edges import edges
from traceprop.lineage.graph.node import Node
from traceprop.lineage.rowmap import Nothing

Followed = dict[Node, tuple[Edge, ...]]


def survey(root: Node, direct_only: bool) -> tuple[Followed, dict[Node, int]]:
    """Return the edges to follow from each node that `root` rests on, and how many lead to each.

    A node that takes only the shape of another has no edge to it, and yet depends on what decided
    that shape: such an input gets an edge that carries no rows.
    """
    followed: Followed = {}
    waiting: dict[Node, int] = {root: 0}
    stack = [root]
    while stack:
        node = stack.pop()
        found = edges(node)
        inputs = node.inputs
        if direct_only:
            if len(found) > 1 or (found and found[0].kind):
                found = tuple([edge for edge in found if edge.kind == DIRECT])
        elif len(found) != len(inputs) or len(inputs) > 1:
            found = _with_shapes(node, found)
        followed[node] = found
        for edge in found:
            parent = inputs[edge[0]]
            if parent in waiting:
                waiting[parent] += 1
            else:
                waiting[parent] = 1
                stack.append(parent)
    return followed, waiting


def _with_shapes(node: Node, found: tuple[Edge, ...]) -> tuple[Edge, ...]:
    """Add edges without rows to the inputs that have none."""
    missing = set(range(len(node.inputs))) - {edge.input for edge in found}
    if not missing:
        return found
    shapes = [Edge(i, Nothing(node.n_rows, node.inputs[i].n_rows), CONTROL) for i in missing]
    return (*found, *shapes)
