"""At which preprocessing step a source row fell out of the training data."""

from __future__ import annotations

from traceprop.lineage import LineageGraph
from traceprop.lineage.answers.forward import forward
from traceprop.lineage.answers.idioms import direct_inputs
from traceprop.lineage.graph.node import ancestors
from traceprop.lineage.rowset import RowSet
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
    alive = forward(root, source, RowSet([row]), direct_only=True)
    for node, rows in alive.items():
        arrived = any(len(alive[parent]) for parent in direct_inputs(node))
        if arrived and not len(rows):
            # A step may be made of several operations: it is the first that ends at or after.
            ends = (str(step) for step in graph.ops() if node in ancestors(step.node))
            return next(ends, node.name)
    return None
