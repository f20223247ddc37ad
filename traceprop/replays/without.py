"""Which rows a replay leaves out, and whether a value left the lineage that they have a part in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from traceprop.errors import LineageError
from traceprop.lineage.graph.escaped import Escape, escapes_of
from traceprop.lineage.graph.node import SOURCE, Node
from traceprop.lineage.rowset import RowSet
from traceprop.lineage.source import Source, SourceRows, find_source


def rows_left_out(nodes: Iterable[Node], without: Any) -> dict[Source, RowSet]:
    """Return the rows that `without` names, by source, those without rows left out.

    Parameters
    ----------
    nodes : iterable of Node
        The lineage, in which the sources are found by name.
    without : mapping, SourceRows, iterable of SourceRows, or what has such a mapping as `rows`

    Raises
    ------
    UnknownNameError, SourceError
        When the lineage has no such source, or several of that name.
    RowError
        When a source has no such row.
    """
    if without is None:
        return {}
    known = list({node.args[0]: None for node in nodes if node.op is SOURCE})
    found: dict[Source, RowSet] = {}
    for name, rows in _pairs(without):
        source = find_source(known, name)
        wanted = source.check_rows(rows)
        if len(wanted):
            found[source] = found[source] | wanted if source in found else wanted
    return found


def _pairs(without: Any) -> list[tuple[Any, Any]]:
    if isinstance(without, SourceRows):
        return [(without.source, without.rows)]
    if isinstance(without, Mapping):
        return list(without.items())
    if isinstance(getattr(without, "rows", None), Mapping):  # a forget set
        return list(without.rows.items())
    if isinstance(without, (list, tuple)) and all(isinstance(e, SourceRows) for e in without):
        return [(each.source, each.rows) for each in without]
    raise LineageError(
        f"without={without!r:.60} names no source: give {{'file.csv': [4821]}}, "
        "source.rows([4821]) or a forget set."
    )


def check_escapes(
    nodes: Iterable[Node], gone: Mapping[Source, RowSet], roots: Iterable[Node]
) -> None:
    """Refuse to leave rows out of what a number may rest on that left the lineage and came back.

    Raises
    ------
    LineageError
        Naming the first door, with its file and line.
    """
    leaves = [node for node in nodes if node.op is SOURCE and node.args[0] in gone]
    for node in (*roots, *leaves):
        for escape in escapes_of(node):
            _refuse(escape)


def _refuse(escape: Escape) -> None:
    raise LineageError(
        f"The tensor can't be replayed without rows: values left its lineage through {escape}, and "
        "may have come back as numbers that these rows have a part in. Keep to NumPy functions "
        "there; take values that don't come back, to print them, with "
        "traceprop.lineage.values(X)."
    )
