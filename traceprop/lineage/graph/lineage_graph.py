"""A lineage as a graph: all the operations that some tensors rest on. It is also what is saved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from traceprop.errors import LineageError, RowError
from traceprop.lineage.answers.idioms import Step, steps
from traceprop.lineage.answers.origins import Origin, origins_of
from traceprop.lineage.answers.query import (
    Dependencies,
    SourceMap,
    dependencies,
    reach,
    rows_by_source,
    sources,
)
from traceprop.lineage.answers.trace import Trace
from traceprop.lineage.graph import drawing
from traceprop.lineage.graph.counted import count_asked
from traceprop.lineage.graph.edge import DIRECT
from traceprop.lineage.graph.escaped import Escape, escapes_of
from traceprop.lineage.graph.node import SOURCE, Node, ancestors, inputs_first
from traceprop.lineage.rowset import RowSet
from traceprop.lineage.source import Source

if TYPE_CHECKING:
    import networkx

    from traceprop.lineage.cells import Cells


class LineageGraph:
    """The operations beneath one or more tensors.

    Parameters
    ----------
    roots : tuple of Node
        The tensors' own nodes. The queries take the position of one of them, 0 by default.

    Attributes
    ----------
    nodes : list of Node
        Every node that the roots rest on, and the roots.

    Notes
    -----
    Iterating yields nodes, inputs first.
    """

    __slots__ = ("_nodes", "_roots")

    def __init__(self, roots: tuple[Node, ...]) -> None:
        self._roots = roots
        self._nodes = ancestors(*roots)

    @property
    def nodes(self) -> list[Node]:
        """Every node that the roots rest on, and the roots."""
        count_asked(self._roots, "nodes")
        return self._nodes

    @property
    def roots(self) -> tuple[Node, ...]:
        """The tensors' own nodes."""
        count_asked(self._roots, "roots")
        return self._roots

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        count_asked(self._roots, "nodes")
        return iter(inputs_first(*self._roots))

    def __contains__(self, node: object) -> bool:
        return node in self.nodes

    @property
    def leaves(self) -> list[Source]:
        """The sources at the bottom, each once."""
        found = {node.args[0]: None for node in self if node.op is SOURCE}
        return list(found)

    def edges(self) -> Iterator[tuple[Node, Node]]:
        """Return (input, operation) pairs, one by one."""
        count_asked(self._roots, "edges")
        return ((parent, node) for node in self for parent in node.inputs)

    def mermaid(self) -> str:
        """Draw the graph as a Mermaid flowchart."""
        return drawing.mermaid(self)

    def graphviz(self) -> str:
        """Draw the graph in Graphviz's DOT language."""
        return drawing.graphviz(self)

    def networkx(self) -> networkx.MultiDiGraph[Any]:
        """Turn the graph into one of networkx; needs the extra `[graph]`."""
        count_asked(self._roots, "networkx")
        return drawing.to_networkx(self)

    def root(self, number: int = 0) -> Node:
        """Return a root by its number.

        Raises
        ------
        LineageError
            When there is no such root.
        """
        count_asked(self._roots, "root")
        if not -len(self._roots) <= number < len(self.roots):
            raise LineageError(
                f"This lineage is that of {len(self.roots)} tensors: there is no root {number}."
            )
        return self.roots[number]

    def sources(self, root: int = 0) -> SourceMap:
        """Rows of each source that flow into a root directly."""
        node = self.root(root)
        return sources(node).asked_of(node)

    def dependencies(self, root: int = 0) -> Dependencies:
        """Rows that a root rests on, apart by kind."""
        node = self.root(root)
        return dependencies(node).asked_of(node)

    def ops(self, raw: bool = False, root: int = 0) -> list[Step]:
        """Return the steps from the sources to a root."""
        return steps(self.root(root), raw)

    def origins(self, root: int = 0) -> list[Origin]:
        """For each row of a root, the source rows that it came from."""
        count_asked(self._roots, "origins")
        return origins_of(self.root(root))

    def escapes(self, root: int = 0) -> list[Escape]:
        """Where values of a root, or of what was made of the same sources, left the lineage."""
        return escapes_of(self.root(root))

    def trace(self, row: int, root: int = 0) -> Trace:
        """Where a row of a root came from; a negative one is counted from the end."""
        node = self.root(root)
        if not -node.n_rows <= row < node.n_rows:
            raise RowError(f"There is no row {row}: the tensor has {node.n_rows} rows.")
        return trace_rows(node, RowSet([row % node.n_rows]))

    def cells(self, index: Any = None, root: int = 0) -> Cells:
        """Cells of each source that cells of a root rest on: see `ProvenanceTensor.cells`."""
        from traceprop.lineage.cells import cells_of

        count_asked(self._roots, "cells")
        return cells_of(self.root(root), index)

    def __repr__(self) -> str:
        names = ", ".join(map(str, self.leaves)) or "no source"
        return f"<LineageGraph of {len(self)} operations on {names}>"


def trace_rows(node: Node, rows: RowSet) -> Trace:
    """Trace some rows of a node to their source rows and steps."""
    reached = reach(node, rows, direct_only=True)
    return Trace(rows_by_source(reached, DIRECT).asked_of(node), steps(node, reached=reached))
