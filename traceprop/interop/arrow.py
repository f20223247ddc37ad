"""Arrow in and out: `pyarrow.Table`, and whatever speaks the Arrow C stream (polars, DuckDB, …).

A column of row numbers goes along, so that rows are found again when the data comes back, filtered,
sorted or otherwise (`traceprop.interop.returned`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from traceprop.errors import DataError
from traceprop.interop.returned import MARK, own_source, returned, sent, sent_as
from traceprop.lineage.rowset import row_dtype
from traceprop.lineage.tensor import values
from traceprop.sources.columns import Column
from traceprop.sources.columns import column as as_column

if TYPE_CHECKING:
    import pyarrow

    from traceprop.sources.table import Table
    from traceprop.sources.table.base import ColumnStore
    from traceprop.sources.table.stored import Stored


def to_arrow(table: ColumnStore, rows: bool = True) -> pyarrow.Table:
    """Return a table's values as Arrow columns, text as dictionaries, missing values as nulls."""
    import pyarrow as pa

    arrays = {name: _to_array(column) for name, column in table._columns.items()}
    if rows:
        arrays[sent(table)] = pa.array(np.arange(len(table), dtype=row_dtype(len(table))))
    return pa.table(arrays)


def _to_array(column: Stored) -> Any:
    import pyarrow as pa

    plain = values(column.tensor())
    if column.categories is None:
        return pa.array(plain, from_pandas=True)  # NaN is a missing value
    codes = pa.array(plain, mask=plain < 0)
    return pa.DictionaryArray.from_arrays(codes, pa.array(column.categories, pa.string()))


def from_arrow(data: Any, source: str | None = None, library: str = "arrow") -> Table:
    """Make a table of Arrow data; of rows of a table where they carry their numbers."""
    import pyarrow as pa

    data = pa.table(data)
    marks = [name for name in data.column_names if name.startswith(MARK)]
    plain = data.drop_columns(marks) if marks else data
    columns = as_columns(plain)
    if not columns:
        raise DataError("the data has no columns; a table needs one at least")
    if not marks:
        return own_source(columns, data.num_rows, source, library)
    table = sent_as(marks[0])
    numbers = data.column(marks[0])
    known = len(marks) == 1 and not numbers.null_count and pa.types.is_integer(numbers.type)
    rows = numbers.to_numpy() if known else None
    if rows is not None and len(rows) and not 0 <= rows.min() <= rows.max() < len(table):
        rows = None
    return returned(table, rows, columns, library)


def as_columns(data: pyarrow.Table) -> dict[str, Column]:
    """Turn Arrow columns into NumPy ones of a table's kinds.

    Raises
    ------
    DataError
        Where a column is of another kind: lists, structs, binary; or two have one name.
    """
    names = data.column_names
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"two columns are called {twice[0]!r}; rename one")
    return {name: _as_column(name, data.column(name)) for name in names}


def _as_column(name: str, chunked: pyarrow.ChunkedArray) -> Column:
    import pyarrow as pa
    import pyarrow.types as kinds

    kind = chunked.type
    if kinds.is_dictionary(kind):
        if _is_text(kind.value_type):
            return as_column(_words(chunked))
        chunked, kind = chunked.cast(kind.value_type), kind.value_type
    if _is_text(kind):
        return as_column(chunked.cast(pa.string()).dictionary_encode())
    numeric = kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind)
    if numeric or kinds.is_temporal(kind) or kinds.is_null(kind):
        found = as_column(chunked)
        return Column(np.array(found.values), found.categories)  # of our own, not Arrow's memory
    if kinds.is_decimal(kind):
        return Column(np.array(chunked.cast(pa.float64()).to_numpy()), None)
    raise DataError(
        f"column {name!r} holds {kind}; a table holds numbers, dates and text: leave it out, or "
        "make one of these of it first"
    )


def _words(chunked: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Return texts as pyarrow's own kind of dictionary; polars and DuckDB have other ones."""
    import pyarrow as pa

    chunks = [
        pa.DictionaryArray.from_arrays(
            chunk.indices.cast(pa.int32()), chunk.dictionary.cast(pa.string())
        )
        for chunk in chunked.chunks
    ]
    return pa.chunked_array(chunks, pa.dictionary(pa.int32(), pa.string()))


def _is_text(kind: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))
