"""A set of a source's cells: iterates positions, prints as rows and columns."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from math import prod

import numpy as np

from traceprop.lineage.rowset import RowSet, union

_MOST_GROUPS_PRINTED = 4

Trail = tuple[int, ...]
"""Lengths of the axes after the rows."""


class CellSet(Collection[tuple[int, ...]]):
    """An immutable set of a source's cells.

    Iterates positions `(row, column)`, or `(row,)` of a source without columns and `(row, j, k)`
    of one with more axes, in order. Prints as `rows 3-5, column income`.

    Parameters
    ----------
    cells : mapping
        Lengths of the axes after the rows → cells, counted row by row. More than one entry where
        parts of a source were loaded in several shapes.
    columns : tuple of str
        Names of the columns, as far as they are known.
    """

    __slots__ = ("_cells", "columns")

    def __init__(self, cells: Mapping[Trail, RowSet], columns: tuple[str, ...] = ()) -> None:
        self._cells = {trail: found for trail, found in sorted(cells.items()) if len(found)}
        self.columns = columns

    @property
    def rows(self) -> RowSet:
        """Rows that have a cell in the set."""
        found = RowSet()
        for trail, cells in self._cells.items():
            found = union(found, RowSet(cells.to_numpy() // prod(trail)))
        return found

    def __len__(self) -> int:
        return sum(len(cells) for cells in self._cells.values())

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        for trail, cells in self._cells.items():
            rows, places = np.divmod(cells.to_numpy(), prod(trail))
            axes = np.unravel_index(places, trail) if trail else ()
            yield from zip(rows.tolist(), *(axis.tolist() for axis in axes), strict=True)

    def __contains__(self, position: object) -> bool:
        if not isinstance(position, tuple) or not position:
            return False
        trail = next((each for each in self._cells if len(each) == len(position) - 1), None)
        if trail is None or not all(isinstance(each, (int, np.integer)) for each in position):
            return False
        place = int(position[0])
        for length, at in zip(trail, position[1:], strict=True):
            if not 0 <= at < length:
                return False
            place = place * length + int(at)
        return place in self._cells[trail]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, CellSet):
            return self._cells == other._cells
        if isinstance(other, (set, frozenset)):
            return len(self) == len(other) and all(each in other for each in self)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._cells))

    def __or__(self, other: CellSet) -> CellSet:
        """Cells in either set."""
        merged = dict(self._cells)
        for trail, cells in other._cells.items():
            merged[trail] = union(merged.get(trail, RowSet()), cells)
        return CellSet(merged, self.columns or other.columns)

    def in_words(self, row: str) -> str:
        """Say which cells these are; where they are in one row, it is called `row`."""
        if len(self.rows) != 1 or len(self._cells) != 1:
            return repr(self)
        ((trail, cells),) = self._cells.items()
        (text,) = self._texts(trail, cells, row)
        return text

    def __repr__(self) -> str:
        texts = [text for trail, cells in self._cells.items() for text in self._texts(trail, cells)]
        shown = texts[:_MOST_GROUPS_PRINTED]
        if len(texts) > len(shown):
            shown.append(f"… ({len(self)} cells)")
        return "; ".join(shown) or "no cells"

    def _texts(self, trail: Trail, cells: RowSet, row: str = "") -> Iterator[str]:
        """Columns that have the same rows in the set are named together."""
        if not trail:
            yield row or repr(cells)
            return
        rows, places = np.divmod(cells.to_numpy(), prod(trail))
        order = np.argsort(places, kind="stable")
        starts = np.flatnonzero(np.diff(places[order], prepend=-1))
        groups: dict[bytes, tuple[RowSet, list[int]]] = {}
        for part in np.split(order, starts[1:]):
            same = groups.setdefault(rows[part].tobytes(), (RowSet(rows[part]), []))
            same[1].append(int(places[part[0]]))
        for of_rows, columns in groups.values():
            names = ", ".join(self._name(trail, each) for each in columns)
            yield f"{row or repr(of_rows)}, column{'s' * (len(columns) > 1)} {names}"

    def _name(self, trail: Trail, place: int) -> str:
        if len(trail) == 1:
            return self.columns[place] if len(self.columns) == trail[0] else str(place)
        return str(tuple(map(int, np.unravel_index(place, trail))))
