"""A lineage as a graph: all the operations that some tensors rest on. It is also what is saved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from traceprop.lineage import drawing
from traceprop.lineage.idioms import Step, steps
from traceprop.lineage.node import SOURCE, Node, inputs_first
from traceprop.lineage.origins import Origin, origins_of
from traceprop.lineage.query import Dependencies, SourceMap, dependencies, reach, sources
from traceprop.lineage.rowset import RowSet
from traceprop.lineage.source import Source
from traceprop.lineage.trace import Trace

if TYPE_CHECKING:
    import networkx


class LineageGraph:
    """The operations beneath one or more tensors.

    Parameters
    ----------
    nodes : list of Node
        Every node that the roots rest on, and the roots.
    roots : tuple of Node
        The tensors' own nodes. The queries take the position of one of them, 0 by default.

    Notes
    -----
    Iterating yields nodes, inputs first.
    """

    __slots__ = ("nodes", "roots")

    def __init__(self, roots: tuple[Node, ...], nodes: list[Node]) -> None:
        self.roots = roots
        self.nodes = nodes

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(inputs_first(*self.roots))

    def __contains__(self, node: object) -> bool:
        return node in self.nodes

    @property
    def leaves(self) -> list[Source]:
        """The sources at the bottom, each once."""
        found = {node.args[0]: None for node in self if node.op is SOURCE}
        return list(found)

    def edges(self) -> Iterator[tuple[Node, Node]]:
        """Yield (input, operation) pairs."""
        for node in self:
            for parent in node.inputs:
                yield parent, node

    def mermaid(self) -> str:
        """Draw the graph as a Mermaid flowchart."""
        return drawing.mermaid(self)

    def graphviz(self) -> str:
        """Draw the graph in Graphviz's DOT language."""
        return drawing.graphviz(self)

    def networkx(self) -> networkx.MultiDiGraph[Any]:
        """Turn the graph into one of networkx; needs the extra `[graph]`."""
        return drawing.to_networkx(self)

    def sources(self, root: int = 0) -> SourceMap:
        """Rows of each source that flow into a root directly."""
        return sources(self.roots[root])

    def dependencies(self, root: int = 0) -> Dependencies:
        """Rows that a root rests on, apart by kind."""
        return dependencies(self.roots[root])

    def ops(self, raw: bool = False, root: int = 0) -> list[Step]:
        """Return the steps from the sources to a root."""
        return steps(self.roots[root], raw)

    def origins(self, root: int = 0) -> list[Origin]:
        """For each row of a root, the source rows that it came from."""
        return origins_of(self.roots[root])

    def trace(self, row: int, root: int = 0) -> Trace:
        """Where a row of a root came from."""
        return trace_rows(self.roots[root], RowSet([row]))

    def __repr__(self) -> str:
        names = ", ".join(map(str, self.leaves)) or "no source"
        return f"<LineageGraph of {len(self)} operations on {names}>"


def trace_rows(node: Node, rows: RowSet) -> Trace:
    """Trace some rows of a node to their source rows and steps."""
    reached = reach(node, rows, direct_only=True)
    from traceprop.lineage.query import _by_source

    return Trace(_by_source(reached, 0), steps(node, reached=reached))
