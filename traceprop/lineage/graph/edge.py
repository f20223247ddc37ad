"""One edge of a node: how one input's rows reach the output's, and the edges that are common.

What a row rule (`traceprop.lineage.rules`) answers with. Which rule answers for a node, and which
of its edges are statistics, is worked out in `graph.edges`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from traceprop.lineage.graph.node import Node
from traceprop.lineage.rowmap import All, Identity, RowMap

DIRECT: Final = 0
STATISTIC: Final = 1
CONTROL: Final = 2
EXTENT: Final = 3
"""The input's values decide how many rows there are, as a mask's do. Everything made of the result
can depend on that, even where no row is left to say so; it counts as a control."""


class Edge(NamedTuple):
    """How one input's rows reach the output's.

    Attributes
    ----------
    input : int
        Position among the node's inputs; a position may occur twice.
    map : RowMap
    kind : int
        DIRECT, STATISTIC, CONTROL or EXTENT. A path is as far from direct as its farthest edge.
    aggregates : bool
        An output row mixes many input rows into one value, as a sum does.
    """

    input: int
    map: RowMap
    kind: int = DIRECT
    aggregates: bool = False


Edges = Sequence[Edge]
Rule = Callable[[Node], Edges]


def opaque(node: Node) -> list[Edge]:
    """Return the sound answer where shapes are given: every row depends on every input row."""
    return [
        Edge(i, All(node.n_rows, parent.n_rows), DIRECT, aggregates=True)
        for i, parent in enumerate(node.inputs)
    ]


def opaque_in_extent(node: Node) -> list[Edge]:
    """Return the sound answer about the unknown: the number of rows depends on values too."""
    return [*opaque(node), *extent_of(node, range(len(node.inputs)))]


def extent_of(node: Node, inputs: Iterable[int]) -> list[Edge]:
    """Return edges that say that these inputs decide how many rows there are."""
    return [Edge(i, All(node.n_rows, node.inputs[i].n_rows), EXTENT) for i in inputs]


_identity_edges: dict[int, tuple[Edge, ...]] = {}


def row_by_row(n: int) -> tuple[Edge, ...]:
    """Return the edges of an operation on one input that leaves its `n` rows in place."""
    edges = _identity_edges.get(n)
    if edges is None:
        if len(_identity_edges) > 256:
            _identity_edges.clear()
        edges = _identity_edges[n] = (Edge(0, Identity(n)),)
    return edges
