"""Rows of a table held against the lines of text that their source says they are."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import traceprop as tp
from traceprop.lineage import values


def unlike_their_text(
    path: Path, table: tp.Table, delimiter: str, rows: Iterable[int]
) -> list[int]:
    """Those of some rows, one line each, whose line or offset in the file holds other values."""
    text = path.read_bytes()
    physical = text.decode().splitlines()
    rows = list(rows)
    lines, offsets = table.source.locate(rows)
    columns = {
        name: values(table.codes(name) if name in table.categories else table[name])
        for name in table.columns
    }
    wrong = []
    for row, line, offset in zip(rows, lines, offsets, strict=True):
        (cells,) = csv.reader(
            [physical[line - 1].rstrip(" ")], delimiter=delimiter[0], skipinitialspace=True
        )
        found = [_text(columns[name][row], table.categories.get(name)) for name in table.columns]
        same = all(
            cell == value if isinstance(value, str) else float(cell) == value
            for cell, value in zip(cells, found, strict=True)
        )
        if not same or not text[offset:].startswith(physical[line - 1].encode()):
            wrong.append(int(row))
    return wrong


def _text(value: float, categories: tuple[str, ...] | None) -> str | float:
    """A cell as text where its column is text, a missing one as ``?``, else the number."""
    if categories is None:
        return value
    return "?" if value < 0 else categories[int(value)]
