"""Tables out to pandas, polars and Arrow, and in again, with their rows.

The work is done in `traceprop.interop`, imported when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traceprop.sources.table.base import ColumnStore

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from traceprop.sources.table.table import Table


class Exchange(ColumnStore):
    """What a table has to do with other libraries' tables."""

    __slots__ = ()

    @classmethod
    def from_pandas(cls, frame: pandas.DataFrame, source: str | None = None) -> Table:
        """Make a table of a pandas data frame.

        Parameters
        ----------
        frame : pandas.DataFrame
            Made by `to_pandas`, it is known again: rows by the index, and every column that still
            holds their values keeps its lineage. A column that was made or changed in pandas
            depends on the whole table, and is an escape (`LineageEscapeWarning`). Any other data
            frame is a source of its own, row i its i-th row; a named index becomes a column.
        source : str, optional
            What to call a source of its own; makes it one in any case.

        Raises
        ------
        DataError
            Where a column can't be one of a table.
        """
        from traceprop.interop.pandas import from_pandas

        return from_pandas(frame, source)

    def to_pandas(self) -> pandas.DataFrame:
        """Return the values as a pandas data frame; text as categories, missing values as such.

        Its index numbers the source's rows where there is one source and each row has its own of
        it, and the table's rows otherwise. `from_pandas` finds the rows by it again.
        """
        from traceprop.interop.pandas import to_pandas

        self._count_left("to_pandas")
        return to_pandas(self)

    @classmethod
    def from_polars(
        cls, frame: polars.DataFrame | polars.LazyFrame, source: str | None = None
    ) -> Table:
        """Make a table of a polars data frame; as `from_arrow`."""
        from traceprop.interop.polars import from_polars

        return from_polars(frame, source)

    def to_polars(self, rows: bool = True) -> polars.DataFrame:
        """Return the values as a polars data frame; as `to_arrow`."""
        from traceprop.interop.polars import to_polars

        self._count_left("to_polars")
        return to_polars(self, rows)

    @classmethod
    def from_arrow(cls, data: Any, source: str | None = None) -> Table:
        """Make a table of a `pyarrow.Table` or anything that has an Arrow C stream.

        Parameters
        ----------
        data : pyarrow.Table or object with ``__arrow_c_stream__``
            With the column of row numbers that `to_arrow` puts in, rows are known again, and
            every column that still holds their values keeps its lineage; others depend on the
            whole table, and are an escape (`LineageEscapeWarning`). Without it, the data is a
            source of its own.
        source : str, optional
            What to call a source of its own.

        Raises
        ------
        DataError
            Where a column can't be one of a table, or its row numbers are of a table that is gone.
        """
        from traceprop.interop.arrow import from_arrow

        return from_arrow(data, source)

    def to_arrow(self, rows: bool = True) -> pyarrow.Table:
        """Return the values as a `pyarrow.Table`.

        Parameters
        ----------
        rows : bool
            Put in a column ``traceprop_row_…`` of row numbers, by which `from_arrow` and
            `from_polars` find the rows again as long as this table lives.
        """
        from traceprop.interop.arrow import to_arrow

        self._count_left("to_arrow")
        return to_arrow(self, rows)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Hand the values, and the column of row numbers, to any library that speaks Arrow."""
        self._count_left("__arrow_c_stream__")
        return self.to_arrow().__arrow_c_stream__(requested_schema)
