"""What was worked out from a node, so that asking again is a look-up; and what was noted on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traceprop.lineage.graph.counted import CountDoor
    from traceprop.lineage.graph.edge import Edge
    from traceprop.lineage.graph.node import Node


class Memo:
    """Answers kept on a node; each is None until somebody asked.

    Two are no answers: `escapes` has a bit for each place where values left (`graph.escaped`), and
    `counted` is where a number of rows left first, once the operation was there (`graph.counted`).
    """

    __slots__ = (
        "columns",
        "counted",
        "dependencies",
        "edges",
        "escapes",
        "made_of",
        "ops",
        "origins",
        "pipelines",
        "raw",
        "row_axes",
        "sources",
    )

    def __init__(self) -> None:
        self.raw: tuple[Edge, ...] | None = None
        self.edges: tuple[Edge, ...] | None = None
        self.made_of: int | None = None
        self.sources: Any = None
        self.dependencies: Any = None
        self.origins: Any = None
        self.ops: Any = None
        self.columns: Any = None
        self.pipelines: dict[Any, Any] | None = None
        self.counted: CountDoor | None = None
        self.row_axes: dict[int, bool] | None = None
        self.escapes = 0


def memo(node: Node) -> Memo:
    """Return the node's memo, made at the first question."""
    kept = node.memo
    if kept is None:
        kept = node.memo = Memo()
    return kept
