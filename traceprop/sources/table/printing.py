"""How a table prints: its first rows, and which rows of which sources each of them is."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from traceprop.lineage.graph.lineage_graph import trace_rows
from traceprop.lineage.graph.node import Node
from traceprop.lineage.rowset import EMPTY, RowSet
from traceprop.sources.table.stored import pick_rows

if TYPE_CHECKING:
    from traceprop.lineage import Source
    from traceprop.sources.table.base import ColumnStore
    from traceprop.sources.table.stored import Stored

_ROWS: Final = 8
_COLUMNS: Final = 10
_WIDEST: Final = 24  # characters of a cell
_MISSING: Final = "–"


def text(table: ColumnStore) -> str:
    """Say what the table is, then show its first rows with their sources."""
    kinds = (f"{name}: {_kind(column)}" for name, column in table._columns.items())
    title = f"Table of {table._name()}, {_count(table)} ({', '.join(kinds)})"
    header, *lines = _grid(table)
    widths = [max(map(len, cells)) for cells in zip(header, *lines, strict=True)]
    shown = [
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in (header, *lines)
    ]
    return "\n".join([title, *shown, *_left_out(table)])


def _kind(column: Stored) -> str:
    if column.categories is None:
        return str(column.dtype)
    return "1 category" if len(column.categories) == 1 else f"{len(column.categories)} categories"


def html(table: ColumnStore) -> str:
    """Return the same for a notebook."""
    header, *lines = _grid(table)
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines
    )
    notes = " · ".join([f"{_count(table)} of {table._name()}", *_left_out(table)])
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<small>{escape(notes)}</small>"
    )


def _count(table: ColumnStore) -> str:
    return "1 row" if len(table) == 1 else f"{len(table)} rows"


def _left_out(table: ColumnStore) -> list[str]:
    more_rows, more_columns = len(table) - _ROWS, len(table._columns) - _COLUMNS
    return [
        *([f"… {more_rows} more rows"] if more_rows > 0 else []),
        *([f"… {more_columns} more columns"] if more_columns > 0 else []),
    ]


def _grid(table: ColumnStore) -> list[list[str]]:
    """Return the header and the first rows as cells of text, the rows' sources first."""
    columns = pick_rows(table._columns, slice(min(_ROWS, len(table))))
    shown = dict(list(columns.items())[:_COLUMNS])
    nodes = [column.tensor().node for column in columns.values()]
    cells = [_cells(column) for column in shown.values()]
    alone = len(table._leaves()) == 1
    lines = [
        [_place(nodes, i, alone), *(column[i] for column in cells)]
        for i in range(min(_ROWS, len(table)))
    ]
    return [["", *shown], *lines]


def _place(nodes: Iterable[Node], row: int, alone: bool) -> str:
    """Name the source rows that a row is made of."""
    found: dict[Source, RowSet] = {}
    for node in nodes:
        for source, rows in trace_rows(node, RowSet([row])).rows.items():
            found[source] = found.get(source, EMPTY) | rows
    return "; ".join(
        f"{rows!r}" if alone else f"{source} {rows!r}" for source, rows in found.items()
    )


def _cells(column: Stored) -> list[str]:
    from traceprop.lineage import values

    found = values(column.tensor())
    if column.categories is not None:
        return [_MISSING if code < 0 else _short(column.categories[code]) for code in found]
    return [_cell(value) for value in found]


def _cell(value: Any) -> str:
    if (isinstance(value, np.floating) and np.isnan(value)) or (
        isinstance(value, np.datetime64 | np.timedelta64) and np.isnat(value)
    ):
        return _MISSING
    return f"{value:.6g}" if isinstance(value, np.floating) else _short(str(value))


def _short(text: str) -> str:
    text = text.replace("\n", "\\n")
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
