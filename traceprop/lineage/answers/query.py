"""Asking a node which rows it rests on.

Backward, a set of rows is carried from the node to its sources along the edges; at each node the
sets that arrive are joined, one per kind, before they go on. A path is as far from direct as its
farthest edge: through a mean it is a statistic, through a mask a control.
"""

from __future__ import annotations

from typing import Any, Final

from traceprop.errors import LineageError
from traceprop.lineage.answers.by_source import BySource
from traceprop.lineage.answers.compose import image_along
from traceprop.lineage.answers.origins import only_path
from traceprop.lineage.answers.survey import survey
from traceprop.lineage.graph.edge import CONTROL, DIRECT, EXTENT, STATISTIC
from traceprop.lineage.graph.memo import memo
from traceprop.lineage.graph.node import SOURCE, Node
from traceprop.lineage.rowmap import Identity, RowMap, Take
from traceprop.lineage.rowset import EMPTY, RowSet, union
from traceprop.lineage.source import Source

_KINDS: Final = (DIRECT, STATISTIC, CONTROL)

Sets = list[RowSet]  # one per kind


class SourceMap(BySource[RowSet]):
    """Rows of each source; a source is found by itself, or by its uri, path or name.

    Prints as `{credit_scores.csv: rows 0-5, 8}`.
    """

    __slots__ = ()


class Dependencies:
    """What a tensor rests on, apart by kind; a row can be in more than one.

    Attributes
    ----------
    direct : SourceMap
        Rows whose own values flow in.
    statistic : SourceMap
        Rows that are part of something computed over many rows, as a mean.
    control : SourceMap
        Rows that decided that another was kept, chosen or moved.
    """

    __slots__ = ("control", "direct", "statistic")

    def __init__(self, direct: SourceMap, statistic: SourceMap, control: SourceMap) -> None:
        self.direct = direct
        self.statistic = statistic
        self.control = control

    def asked_of(self, *nodes: Node) -> Dependencies:
        """Return the same for the user: how many rows there are is a count of what nodes hold."""
        kinds = (self.direct, self.statistic, self.control)
        return Dependencies(*(each.asked_of(*nodes) for each in kinds))

    def all(self) -> SourceMap:
        """Rows of any kind: what the tensor can change with."""
        merged: dict[Source, RowSet] = dict(self.direct._found)
        for part in (self.statistic, self.control):
            for source, rows in part._found.items():
                merged[source] = union(merged.get(source, EMPTY), rows)
        return SourceMap(merged).asked_of(*self.direct._asked)

    def __repr__(self) -> str:
        return f"direct {self.direct}, statistic {self.statistic}, control {self.control}"


def sources(node: Node) -> SourceMap:
    """Rows of each source that flow into `node` directly."""
    kept = memo(node)
    if kept.sources is None:
        whole = RowSet.span(0, node.n_rows)
        if kept.origins is not None:
            maps = kept.origins
            kept.sources = SourceMap({each: maps[each].image(whole).packed() for each in maps})
        elif (path := only_path(node)) is not None:
            source, along = path
            kept.sources = SourceMap({source: image_along(along, node.n_rows).packed()})
        else:
            found = reach(node, whole, direct_only=True)
            kept.sources = rows_by_source(found, DIRECT)
    return kept.sources  # type: ignore[no-any-return]


def dependencies(node: Node, rows: RowSet | None = None) -> Dependencies:
    """Rows that `node`, or some rows of it, rest on, by kind."""
    kept = memo(node)
    if rows is None and kept.dependencies is not None:
        return kept.dependencies  # type: ignore[no-any-return]
    found = reach(node, RowSet.span(0, node.n_rows) if rows is None else rows)
    answer = Dependencies(*(rows_by_source(found, kind) for kind in _KINDS))
    if rows is None:
        kept.dependencies = answer
    return answer


def rows_by_source(reached: dict[Node, Sets], kind: int) -> SourceMap:
    """Return the rows of the sources among the nodes that were reached, of one kind."""
    merged: dict[Source, RowSet] = {}
    for node, sets in reached.items():
        if node.op is SOURCE and len(sets[kind]):
            source, rows = node.args[0], sets[kind]
            if node.args[1] is not None:
                rows = Take(node.args[1], source.n_rows).image(rows)
            merged[source] = union(merged.get(source, EMPTY), rows)
    return SourceMap({source: rows.packed() for source, rows in merged.items()})


def reach(root: Node, rows: RowSet, direct_only: bool = False) -> dict[Node, Sets]:
    """Return every node that `rows` of `root` rest on, with the rows of it, by kind.

    Parameters
    ----------
    direct_only : bool
        Follow direct edges alone.
    """
    followed, waiting = survey(root, direct_only)
    reached: dict[Node, Sets] = {root: [rows, EMPTY, EMPTY]}
    ready = [root]
    while ready:
        node = ready.pop()
        sets = reached.get(node)
        inputs = node.inputs
        for i, row_map, kind, _aggregates in followed[node]:
            parent = inputs[i]
            left = waiting[parent] - 1
            if kind == EXTENT:
                _reach_all(parent, reached)
            elif sets is not None:
                if left == 0 and kind == DIRECT and type(row_map) is Identity:
                    before = reached.get(parent)
                    if before is None:
                        reached[parent] = sets  # the same rows, and nobody else adds to them
                    else:
                        reached[parent] = [union(a, b) for a, b in zip(before, sets, strict=True)]
                else:
                    _carry(sets, kind, row_map, reached, parent)
            if left:
                waiting[parent] = left
            else:
                ready.append(parent)
    return reached


def _reach_all(parent: Node, reached: dict[Node, Sets]) -> None:
    """All rows of `parent` decided how many rows there are."""
    there = reached.get(parent)
    if there is None:
        there = reached[parent] = [EMPTY, EMPTY, EMPTY]
    there[CONTROL] = RowSet.span(0, parent.n_rows)


def _carry(sets: Sets, kind: int, row_map: RowMap, reached: dict[Node, Sets], parent: Node) -> None:
    """Carry the rows of a node along one edge to its input."""
    for from_kind, rows in enumerate(sets):
        if not rows._length:
            continue
        found = row_map.image(rows)
        if not found._length:
            continue
        there = reached.get(parent)
        if there is None:
            there = reached[parent] = [EMPTY, EMPTY, EMPTY]
        to_kind = max(from_kind, kind)
        there[to_kind] = union(there[to_kind], found)


def node_of(asked: Any) -> Node:
    """Return the node of a tensor, or the first root of a loaded lineage.

    Raises
    ------
    LineageError
        When it has no lineage.
    """
    if hasattr(asked, "roots"):
        asked = asked.root()  # a LineageGraph
    node = asked if isinstance(asked, Node) else getattr(asked, "node", None)
    if not isinstance(node, Node):
        raise LineageError(
            f"{type(asked).__name__} has no lineage: give a tensor, or a lineage that was loaded."
        )
    return node
