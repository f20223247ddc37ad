"""Tables as lists of rows, each cell with the source rows that it was made of.

A cell is `(value, rows)`: None for a missing value, and a frozenset of (source name, row).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

Cell = tuple[Any, frozenset[tuple[str, int]]]
Row = dict[str, Cell]
Rows = list[Row]

NOTHING: Cell = (None, frozenset())


def table(source: str, columns: dict[str, list[Any]]) -> Rows:
    count = len(next(iter(columns.values())))
    return [
        {name: (column[i], frozenset({(source, i)})) for name, column in columns.items()}
        for i in range(count)
    ]


def key_of(row: Row, by: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row[name][0] for name in by)


def join(left: Rows, right: Rows, on: Sequence[str], how: str, suffix: str = "_right") -> Rows:
    others = [name for name in right[0] if name not in on] if right else []
    joined = []
    for row in left:
        key = key_of(row, on)
        matches = [each for each in right if None not in key and key_of(each, on) == key]
        if not matches and how == "left":
            matches = [dict.fromkeys(others, NOTHING)]
        for match in matches:
            added = {name + suffix if name in row else name: match[name] for name in others}
            joined.append({**row, **added})
    return joined


def sort(rows: Rows, by: Sequence[str], descending: Sequence[bool]) -> Rows:
    ordered = list(rows)
    for name, falls in reversed(list(zip(by, descending, strict=True))):
        present = [row for row in ordered if row[name][0] is not None]
        absent = [row for row in ordered if row[name][0] is None]
        ordered = sorted(present, key=lambda row: row[name][0], reverse=falls) + absent
    return ordered


def group_by(rows: Rows, by: Sequence[str], wanted: dict[str, tuple[str, str] | str]) -> Rows:
    groups: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        groups.setdefault(key_of(row, by), []).append(row)
    result = []
    for key in sorted(groups, key=lambda key: [(part is None, part or 0) for part in key]):
        members = groups[key]
        group: Row = {}
        for name, part in zip(by, key, strict=True):
            group[name] = (part, together(members, name))
        for name, aggregate in wanted.items():
            if aggregate == "count":
                group[name] = (len(members), together(members, by[0]))
                continue
            column, function = aggregate
            present = [row[column] for row in members if row[column][0] is not None]
            if function in ("first", "last"):
                ends = [*present, NOTHING] if function == "first" else [NOTHING, *present]
                group[name] = ends[0 if function == "first" else -1]
            else:
                value = AGGREGATES[function]([cell[0] for cell in present])
                group[name] = (value, together(members, column))
        result.append(group)
    return result


def together(rows: Rows, column: str) -> frozenset[tuple[str, int]]:
    return frozenset().union(*(row[column][1] for row in rows))


def variance(values: list[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


AGGREGATES: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "sum": math.fsum,
    "mean": lambda values: math.fsum(values) / len(values) if values else None,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
    "var": variance,
    "std": lambda values: None if variance(values) is None else math.sqrt(variance(values)),
    "nunique": lambda values: len(set(values)),
}


def number(keys: Sequence[int | None]) -> list[int]:
    """Number distinct keys as they first appear, -1 for None."""
    seen: dict[int, int] = {}
    return [-1 if key is None else seen.setdefault(key, len(seen)) for key in keys]
