"""Some cells of a source, named by rows and columns, to ask what came of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from traceprop.errors import LineageError
from traceprop.lineage.cells.maps import Mask
from traceprop.lineage.graph.node import Node
from traceprop.lineage.rowset import RowSet
from traceprop.lineage.source import Source

if TYPE_CHECKING:
    from traceprop.lineage.cells.cellset import CellSet
    from traceprop.lineage.graph.lineage_graph import LineageGraph
    from traceprop.lineage.recording.tracked import Tracked

Column = str | int | tuple[int, ...]


class SourceCells:
    """Cells of a source: some rows, in some columns or in all. Made by `Source.cells`.

    Attributes
    ----------
    source : Source
    rows : RowSet
    columns : tuple or None
        Names, numbers, or positions (tuples) behind the row; None for all.
    """

    __slots__ = ("columns", "rows", "source")

    def __init__(self, source: Source, rows: RowSet, columns: tuple[Column, ...] | None) -> None:
        self.source = source
        self.rows = rows
        self.columns = columns

    @classmethod
    def of(
        cls,
        source: Source,
        rows: Iterable[int] | None,
        columns: Column | Iterable[Column] | None,
    ) -> SourceCells:
        """Check what the user named."""
        chosen = RowSet.span(0, source.n_rows) if rows is None else source.check_rows(rows)
        if columns is None:
            return cls(source, chosen, None)
        single = isinstance(columns, (str, int, np.integer, tuple))
        listed: Sequence[Column] = [columns] if single else list(columns)  # type: ignore[list-item,arg-type]
        return cls(source, chosen, tuple(_checked(source, each) for each in listed))

    def descendants(self, tensor: Tracked | LineageGraph) -> CellSet:
        """Cells of `tensor` that depend on these cells in any way: direct, statistic or control.

        Returns
        -------
        CellSet
            Positions in `tensor`; prints as `rows 3-5, column income`. A scalar counts as one row.
        """
        from traceprop.lineage.answers.query import node_of
        from traceprop.lineage.cells.query import cell_descendants

        return cell_descendants(node_of(tensor), self)

    def mask_over(self, leaf: Node) -> Mask:
        """Return a mask over the cells of a leaf of this source."""
        own_rows = leaf.args[1]
        rows = self.rows.mask(self.source.n_rows)
        rows = rows if own_rows is None else rows[own_rows]
        places: Mask = np.zeros(leaf.shape[1:], dtype=np.bool_)
        if self.columns is None:
            places[...] = True
        else:
            names = leaf.leaf_columns
            for column in self.columns:
                _mark(places, self._place(column, names, leaf), self.source)
        shaped = rows.reshape(leaf.shape[:1] + (1,) * (len(leaf.shape) - 1))
        return shaped & places

    def _place(self, column: Column, names: tuple[str, ...], leaf: Node) -> tuple[int, ...] | None:
        """Return a column's place behind the rows of a leaf, None where the leaf lacks it."""
        if isinstance(column, tuple):
            return column
        known = self.source.columns
        if not isinstance(column, str) and known and len(leaf.shape) <= 2:
            column = known[column]
        if not isinstance(column, str):
            return (column,)
        if column not in names:
            return None
        return () if len(leaf.shape) == 1 else (names.index(column),)

    def __repr__(self) -> str:
        if self.columns is None:
            return f"{self.source} {self.rows!r}, all columns"
        many = "columns" if len(self.columns) > 1 else "column"
        return f"{self.source} {self.rows!r}, {many} {', '.join(map(str, self.columns))}"


def _checked(source: Source, column: Column) -> Column:
    """Return a column as it is looked up later; complain about one that there isn't."""
    if isinstance(column, str):
        if column not in source.columns:
            known = ", ".join(source.columns) or "no named columns"
            raise LineageError(f"{source} has no column {column!r}. It has {known}.")
        return column
    if isinstance(column, tuple):
        return tuple(int(each) for each in column)
    if isinstance(column, (bool, np.bool_)) or not isinstance(column, (int, np.integer)):
        raise LineageError(f"{column!r} is no column of {source}: give names, or numbers from 0.")
    if column < 0 or (source.columns and column >= len(source.columns)):
        raise LineageError(
            f"{source} has no column {column}: they are 0 to {len(source.columns) - 1}."
        )
    return int(column)


def _mark(places: Mask, place: tuple[int, ...] | None, source: Source) -> None:
    if place is None:
        return
    try:
        places[place] = True
    except IndexError as wrong:
        named = place[0] if len(place) == 1 else place
        raise LineageError(
            f"{source} has no column {named}: a row of it has the shape {places.shape}."
        ) from wrong
