"""Load Parquet files: `load_parquet` gives a numeric tensor, `read_parquet` a table of columns.

Row i of what is loaded is row i of its file; the file, a source, knows the row's row group and the
digest of the bytes that were decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np

from traceprop.errors import SourceError
from traceprop.lineage.rowset import row_dtype
from traceprop.sources.inputs.arguments import batch_size, column_selection
from traceprop.sources.inputs.resolve import Named, resolve
from traceprop.sources.parquet import read as reading
from traceprop.sources.parquet.source import ParquetSource
from traceprop.sources.table import Table

if TYPE_CHECKING:
    from traceprop.lineage import ProvenanceTensor

Columns = str | Sequence[str | int] | None


@overload
def load_parquet(
    path: Named, columns: Columns = ..., *, batch_rows: None = ..., filesystem: Any = ...
) -> ProvenanceTensor: ...
@overload
def load_parquet(
    path: Named, columns: Columns = ..., *, batch_rows: int, filesystem: Any = ...
) -> Iterator[ProvenanceTensor]: ...
def load_parquet(
    path: Named,
    columns: Columns = None,
    *,
    batch_rows: int | None = None,
    filesystem: Any = None,
) -> ProvenanceTensor | Iterator[ProvenanceTensor]:
    """Load the numbers of Parquet files as one tensor whose rows know where they stand.

    Parameters
    ----------
    path : path, or sequence of paths
        A file, several, a glob (``data/*.parquet``), or URLs that fsspec opens. Several files must
        have the same columns; their rows come one file after the other.
    columns : sequence of str or int, optional
        The columns wanted, by name or 0-based position, in the order wanted; default all.
    batch_rows : int, optional
        Give the rows in tensors of so many, one after the other, the last of what is left: for
        files larger than memory. No tensor holds rows of two files.
    filesystem : fsspec.AbstractFileSystem, optional
        Opens the files, instead of the one that fsspec makes for a URL; never saved.

    Returns
    -------
    ProvenanceTensor, float64, shape (rows, columns)
        With `.columns`; missing values are NaN, truth values 0 and 1, decimals the nearest
        float64. With `batch_rows`, an iterator of such.

    Raises
    ------
    SourceError
        Where a file can't be read, a chosen column isn't numbers, or holds an integer that no
        float64 is exactly; it names file and column.

    Examples
    --------
    >>> import traceprop as tp
    >>> X = tp.load_parquet("loans.parquet", columns=["age", "amount"])  # doctest: +SKIP
    >>> print(X[4821].trace())  # doctest: +SKIP
    loans.parquet row 4821
    """
    selection = column_selection(columns)
    if batch_rows is not None:
        return _tensors(path, selection, filesystem, batch_size(batch_rows))
    from traceprop.lineage import from_source

    tensors = [
        from_source(matrix, source, columns=source.columns)
        for source, matrix in _sources(path, selection, filesystem, numeric=True)
    ]
    return tensors[0] if len(tensors) == 1 else cast("ProvenanceTensor", np.concatenate(tensors))


@overload
def read_parquet(
    path: Named, columns: Columns = ..., *, batch_rows: None = ..., filesystem: Any = ...
) -> Table: ...
@overload
def read_parquet(
    path: Named, columns: Columns = ..., *, batch_rows: int, filesystem: Any = ...
) -> Iterator[Table]: ...
def read_parquet(
    path: Named,
    columns: Columns = None,
    *,
    batch_rows: int | None = None,
    filesystem: Any = None,
) -> Table | Iterator[Table]:
    """Read Parquet files of any flat columns as a table whose rows know where they stand.

    Parameters
    ----------
    path, columns, batch_rows, filesystem
        As for `load_parquet`.

    Returns
    -------
    Table
        Named columns: numbers, truth values, dates, moments (those with a time zone in UTC), times
        of day, and text as categories. Missing values are kept. With `batch_rows`, an iterator of
        tables, each with the categories of its own rows.

    Raises
    ------
    SourceError
        Where a file can't be read, or a chosen column is nested or binary; it names file and
        column.

    Examples
    --------
    >>> import traceprop as tp
    >>> table = tp.read_parquet("loans/*.parquet")  # doctest: +SKIP
    >>> X = table.to_tensor(["age", "purpose"])  # doctest: +SKIP
    """
    selection = column_selection(columns)
    if batch_rows is not None:
        return _tables(path, selection, filesystem, batch_size(batch_rows))
    tables = [
        Table.from_columns(source, _columns(source, table))
        for source, table in _sources(path, selection, filesystem, numeric=False)
    ]
    return tables[0] if len(tables) == 1 else Table.concat(tables)


def _sources(
    path: Named, selection: list[str | int] | None, filesystem: Any, *, numeric: bool
) -> Iterator[tuple[ParquetSource, Any]]:
    """Read the files that a user names, one after the other."""
    first: ParquetSource | None = None
    for file in resolve(path, filesystem):
        source, values = ParquetSource.load(file, selection, numeric=numeric)
        first = _same_columns(first, source)
        yield source, values


def _batches(
    path: Named, selection: list[str | int] | None, filesystem: Any, size: int, *, numeric: bool
) -> Iterator[tuple[ParquetSource, Any, Any]]:
    """Read the files in pieces: the source, the piece, and its rows in the source."""
    first: ParquetSource | None = None
    for file in resolve(path, filesystem):
        for source, piece, start in ParquetSource.stream(file, selection, size, numeric=numeric):
            first = _same_columns(first, source)
            rows = np.arange(start, start + piece.num_rows, dtype=row_dtype(source.n_rows))
            yield source, piece, rows


def _tensors(
    path: Named, selection: list[str | int] | None, filesystem: Any, size: int
) -> Iterator[ProvenanceTensor]:
    from traceprop.lineage import from_source

    for source, piece, rows in _batches(path, selection, filesystem, size, numeric=True):
        matrix = np.empty((piece.num_rows, piece.num_columns))
        reading.copy_floats(piece, matrix, source.name)
        yield from_source(matrix, source, columns=source.columns, rows=rows)


def _tables(
    path: Named, selection: list[str | int] | None, filesystem: Any, size: int
) -> Iterator[Table]:
    known: dict[str, tuple[str, str]] = {}
    for source, piece, rows in _batches(path, selection, filesystem, size, numeric=False):
        _check_kinds(known, piece.schema, source.name)
        yield Table.from_columns(source, _columns(source, piece), rows)


def _check_kinds(known: dict[str, tuple[str, str]], schema: Any, file: str) -> None:
    """Refuse a column of another kind than in a file before; `known` has kinds and files so far."""
    for field in schema:
        kind = reading.kind_of(field.type)
        if kind is None:
            continue
        expected, first = known.setdefault(field.name, (kind, file))
        if kind != expected:
            raise SourceError(
                f"column {field.name!r} is {expected} in {first} and {kind} in {file}; leave it "
                "out with columns=, or load such files apart"
            )


def _columns(source: ParquetSource, table: Any) -> dict[str, Any]:
    return {
        name: reading.as_column(table.column(name), name, source.name) for name in source.columns
    }


def _same_columns(first: ParquetSource | None, source: ParquetSource) -> ParquetSource:
    """Refuse a file whose columns aren't those of the first one, which is returned."""
    if first is None or first.columns == source.columns:
        return first or source
    for ours, theirs in ((first, source), (source, first)):
        lacking = [column for column in ours.columns if column not in theirs.columns]
        if lacking:
            raise SourceError(
                f"{theirs.name} has no column {lacking[0]!r}, which {ours.name} has; choose the "
                "common columns with columns=, or load such files apart"
            )
    raise SourceError(
        f"{first.name} and {source.name} have their columns in another order; say which with "
        "columns="
    )
