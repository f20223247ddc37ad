"""A lineage drawn: as Mermaid text, as Graphviz text, or as a networkx graph.

Labels are whatever files and operations are called, so each form escapes them: no name can end a
label or add an edge.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from traceprop.lazy import needing_extras
from traceprop.lineage.graph.node import SOURCE, Node

if TYPE_CHECKING:
    import networkx

    from traceprop.lineage.graph.lineage_graph import LineageGraph


def mermaid(graph: LineageGraph) -> str:
    """Draw a lineage as a Mermaid flowchart, for Markdown pages and notebooks.

    Parameters
    ----------
    graph : LineageGraph

    Returns
    -------
    str
        Sources are round, operations square, with the shape of their result.
    """
    lines = ["flowchart TD"]
    for name, node in _named(graph):
        # Mermaid takes HTML entities in its own spelling: #quot; for &quot;.
        label = html.escape(_label(node), quote=True).replace("&", "#")
        left, right = ('(["', '"])') if node.op is SOURCE else ('["', '"]')
        lines.append(f"    {name}{left}{label}{right}")
    lines += [f"    {parent} --> {child}" for parent, child in _links(graph)]
    return "\n".join(lines) + "\n"


def graphviz(graph: LineageGraph) -> str:
    """Draw a lineage in Graphviz's DOT language, for `dot -Tsvg`.

    Parameters
    ----------
    graph : LineageGraph

    Returns
    -------
    str
    """
    lines = ["digraph lineage {", "    node [shape=box];"]
    for name, node in _named(graph):
        label = _label(node).replace("\\", "\\\\").replace('"', '\\"')
        shape = " shape=ellipse" if node.op is SOURCE else ""
        lines.append(f'    {name} [label="{label}"{shape}];')
    lines += [f"    {parent} -> {child};" for parent, child in _links(graph)]
    return "\n".join([*lines, "}"]) + "\n"


def to_networkx(graph: LineageGraph) -> networkx.MultiDiGraph[Any]:
    """Turn a lineage into a networkx graph; its nodes carry `operation`, `shape` and `dtype`.

    Parameters
    ----------
    graph : LineageGraph

    Returns
    -------
    networkx.MultiDiGraph
        Edges lead from inputs to results; an input that an operation takes twice has two.

    Raises
    ------
    MissingExtraError
        networkx is not installed.
    """
    with needing_extras():
        import networkx
    drawn: networkx.MultiDiGraph[Any] = networkx.MultiDiGraph()
    for name, node in _named(graph):
        source = str(node.args[0]) if node.op is SOURCE else None
        drawn.add_node(
            name, operation=node.name, shape=node.shape, dtype=str(node.dtype), source=source
        )
    drawn.add_edges_from(_links(graph))
    return drawn


def _named(graph: LineageGraph) -> Iterator[tuple[str, Node]]:
    """Each node with a name that is the same whenever the same lineage is drawn."""
    return ((f"n{number}", node) for number, node in enumerate(graph))


def _links(graph: LineageGraph) -> list[tuple[str, str]]:
    names = {node: name for name, node in _named(graph)}
    return [(names[parent], names[child]) for parent, child in graph.edges()]


def _label(node: Node) -> str:
    what = str(node.args[0]) if node.op is SOURCE else node.name
    what = " ".join(what.split())  # one line
    return f"{what} {'×'.join(map(str, node.shape)) or 'scalar'}"
