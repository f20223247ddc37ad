"""Choosing between values cell by cell: what decides is a control, what is chosen flows in."""

from __future__ import annotations

import numpy as np

from traceprop.lineage.edges import CONTROL, DIRECT, Edge, opaque_in_extent
from traceprop.lineage.node import Node
from traceprop.lineage.registry import CONSERVATIVE, implements
from traceprop.lineage.rules.elementwise import aligned
from traceprop.lineage.template import slots


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
    """`choose(which, choices)` and `select(conditions, choices, default)` broadcast together."""
    return _chosen(node, set(slots(node.args[:1])))
