"""polars in and out; a column of row numbers goes along, so that rows are found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprop.interop.arrow import from_arrow, to_arrow
from traceprop.lazy import needing_extras

if TYPE_CHECKING:
    import polars

    from traceprop.sources.table import Table
    from traceprop.sources.table.base import ColumnStore


def to_polars(table: ColumnStore, rows: bool = True) -> polars.DataFrame:
    """Return a table's values as a polars data frame, text as categories."""
    with needing_extras():
        import polars as pl

    frame = pl.from_arrow(to_arrow(table, rows))
    assert isinstance(frame, pl.DataFrame)
    return frame


def from_polars(frame: polars.DataFrame | polars.LazyFrame, source: str | None = None) -> Table:
    """Make a table of a polars data frame, of rows of a table where they carry their numbers."""
    with needing_extras():
        import polars as pl

    return from_arrow(
        frame.collect() if isinstance(frame, pl.LazyFrame) else frame, source, "polars"
    )
