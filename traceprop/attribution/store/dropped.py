"""At which preprocessing step a source row fell out of the training data."""

from __future__ import annotations

from traceprop.lineage import LineageGraph
from traceprop.lineage.graph.edge import DIRECT
from traceprop.lineage.graph.edges import edges
from traceprop.lineage.graph.node import SOURCE, Node, ancestors, inputs_first
from traceprop.lineage.rowmap import Take
from traceprop.lineage.rowset import EMPTY, RowSet, union
from traceprop.lineage.source import Source


def dropping_step(graph: LineageGraph, source: Source, row: int) -> str | None:
    """Name the first step that a row of a source didn't survive.

    Parameters
    ----------
    graph : LineageGraph
        The lineage of the training inputs (root 0).
    source : Source
    row : int

    Returns
    -------
    str or None
        The step as `ops` names it; None where the row was not even loaded, or reached the end.
    """
    root = graph.roots[0]
    alive = _descendants(root, source, row)
    for node, rows in alive.items():
        arrived = any(len(alive[parent]) for parent in _direct_inputs(node))
        if arrived and not len(rows):
            # A step may be made of several operations: it is the first that ends at or after.
            ends = (str(step) for step in graph.ops() if node in ancestors(step.node))
            return next(ends, node.name)
    return None


def _descendants(root: Node, source: Source, row: int) -> dict[Node, RowSet]:
    """Rows of each node on the direct paths to `root` that a source row flowed into."""
    on_path, stack = {root}, [root]
    while stack:
        for parent in _direct_inputs(stack.pop()):
            if parent not in on_path:
                on_path.add(parent)
                stack.append(parent)
    alive: dict[Node, RowSet] = {}
    for node in (node for node in inputs_first(root) if node in on_path):
        found = EMPTY
        if node.op is SOURCE and node.args[0] == source:
            own, start = node.args[1], RowSet([row])
            found = start if own is None else Take(own, source.n_rows).preimage(start)
        for edge in edges(node):
            if edge.kind == DIRECT:
                found = union(found, edge.map.preimage(alive[node.inputs[edge.input]]))
        alive[node] = found
    return alive


def _direct_inputs(node: Node) -> list[Node]:
    return [node.inputs[edge.input] for edge in edges(node) if edge.kind == DIRECT]
