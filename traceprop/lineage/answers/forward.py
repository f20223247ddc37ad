"""Forward: what rows of a source flowed into, on the way to a node."""

from __future__ import annotations

from traceprop.lineage.answers.survey import survey
from traceprop.lineage.graph.edge import EXTENT
from traceprop.lineage.graph.node import SOURCE, Node, inputs_first
from traceprop.lineage.rowmap import Take
from traceprop.lineage.rowset import EMPTY, RowSet, union
from traceprop.lineage.source import Source


def forward(
    root: Node, source: Source, rows: RowSet, direct_only: bool = False
) -> dict[Node, RowSet]:
    """Return the rows of each node beneath `root` that depend on rows of a source, inputs first.

    Parameters
    ----------
    root : Node
    source : Source
    rows : RowSet
        Of the source.
    direct_only : bool
        Follow direct edges alone, through the nodes whose own values flow into `root`.

    Notes
    -----
    Where the rows decided how many rows a node has, all rows of `root` depend on them, and only
    that is returned.
    """
    followed, _ = survey(root, direct_only)
    reached: dict[Node, RowSet] = {}
    for node in inputs_first(root):
        if node not in followed:
            continue
        found = _rows_of_leaf(node, source, rows) if node.op is SOURCE else EMPTY
        for edge in followed[node]:
            before = reached[node.inputs[edge.input]]
            if len(before):
                if edge.kind == EXTENT:
                    return {root: RowSet.span(0, root.n_rows)}
                found = union(found, edge.map.preimage(before))
        reached[node] = found
    return reached


def passed_through(root: Node, step: Node) -> RowSet:
    """Return the rows of `root` whose own values went through `step`, by direct edges alone."""
    followed, _ = survey(root, direct_only=True)
    if step not in followed:
        return EMPTY
    reached: dict[Node, RowSet] = {step: RowSet.span(0, step.n_rows)}
    for node in inputs_first(root):
        if node not in followed or node is step:
            continue
        found = EMPTY
        for edge in followed[node]:
            before = reached[node.inputs[edge.input]]
            if len(before):
                found = union(found, edge.map.preimage(before))
        reached[node] = found
    return reached[root]


def _rows_of_leaf(leaf: Node, source: Source, rows: RowSet) -> RowSet:
    """Return the rows of a leaf that are these rows of a source."""
    if leaf.args[0] != source:
        return EMPTY
    own = leaf.args[1]
    return rows if own is None else Take(own, source.n_rows).preimage(rows)


def descendants(node: Node, source: Source, rows: RowSet) -> RowSet:
    """Rows of `node` that depend on `rows` of `source` in any way."""
    return forward(node, source, rows)[node]
