"""Choosing between values cell by cell: what decides is a control, what is chosen flows in."""

from __future__ import annotations

import numpy as np

from traceprop.lineage.graph.edge import CONTROL, DIRECT, Edge, opaque_in_extent
from traceprop.lineage.graph.node import Held, Node, Slot
from traceprop.lineage.graph.template import slots
from traceprop.lineage.registry import CONSERVATIVE, implements
from traceprop.lineage.rowmap import All
from traceprop.lineage.rules.elementwise import aligned


def _chosen(node: Node, deciding: set[int]) -> list[Edge]:
    return [
        Edge(i, aligned(parent.shape, node.shape), CONTROL if i in deciding else DIRECT)
        for i, parent in enumerate(node.inputs)
    ]


@implements(
    np.where,
    family="choosing", mixes=True, status=CONSERVATIVE,
    reason="with one argument, a position is given all rows; a row is given both its candidates",
)  # fmt: skip
def where_rows(node: Node) -> list[Edge]:
    """`where(condition, a, b)`."""
    return opaque_in_extent(node) if len(node.args) < 3 else _chosen(node, set(slots(node.args[0])))


@implements(
    np.choose, np.select,
    family="choosing", mixes=True, status=CONSERVATIVE, reason="a row is given all its candidates",
)  # fmt: skip
def choose_rows(node: Node) -> list[Edge]:
    """`choose(which, choices)` and `select(conditions, choices, default)` broadcast together.

    One array in place of a list of choices, or of conditions, has them along its axis 0.
    """
    whole = {value.index for value in node.args[:2] if isinstance(value, (Slot, Held))}
    if node.op is np.choose:
        whole -= set(slots(node.args[:1]))
    return [
        edge._replace(map=All(node.n_rows, node.inputs[edge.input].n_rows))
        if edge.input in whole
        else edge
        for edge in _chosen(node, set(slots(node.args[:1])))
    ]
