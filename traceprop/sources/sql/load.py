"""Queries as sources: `load_sql` gives a numeric tensor, `read_sql` a table of named columns.

Row i of what is loaded is row i of the query's result; its name is the key's values, where a key is
given. The source's digest is that of the result (`sql_digest`), so that rows that were changed or
deleted since are reported, never cited. A password is never kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from traceprop.errors import SourceWarning
from traceprop.lineage.rowset import row_dtype
from traceprop.sources.inputs.arguments import batch_size
from traceprop.sources.sql import values as sql_values
from traceprop.sources.sql.columns import matrix_of, table_column
from traceprop.sources.sql.query import Columns, Key, SqlQuery
from traceprop.sources.sql.result import Params
from traceprop.sources.sql.source import SqlSource
from traceprop.sources.table import Table

if TYPE_CHECKING:
    from traceprop.lineage import ProvenanceTensor


@overload
def load_sql(
    query: str,
    connection: Any,
    key: Key = ...,
    columns: Columns = ...,
    *,
    params: Params = ...,
    batch_rows: None = ...,
) -> ProvenanceTensor: ...
@overload
def load_sql(
    query: str,
    connection: Any,
    key: Key = ...,
    columns: Columns = ...,
    *,
    params: Params = ...,
    batch_rows: int,
) -> Iterator[ProvenanceTensor]: ...
def load_sql(
    query: str,
    connection: Any,
    key: Key = None,
    columns: Columns = None,
    *,
    params: Params = None,
    batch_rows: int | None = None,
) -> ProvenanceTensor | Iterator[ProvenanceTensor]:
    """Load the numbers that a query gives as one tensor whose rows know their key.

    Parameters
    ----------
    query : str
        One SELECT, WITH, VALUES or TABLE statement.
    connection : path, URI or connection
        A SQLite file's path, ``sqlite:///orders.db``, ``postgresql://user@host:port/database``
        (opened for reading, and closed), or an open ADBC or DBAPI 2 connection, which stays open.
    key : str or sequence of str, optional
        The columns whose values identify a row, together. Without, a row is its ordinal, and the
        query must end in an ORDER BY that leaves no two rows equal.
    columns : sequence of str or int, optional
        The columns wanted, by name or 0-based position; default all but the key's.
    params : sequence or mapping, optional
        What the query's placeholders stand for, in the driver's own form: ``?`` or ``:name`` for
        SQLite, ``$1`` for a ``postgresql://`` URI and ADBC, ``%s`` for psycopg.
    batch_rows : int, optional
        Give the result in tensors of so many rows, the last of fewer, in the memory of one, rather
        than at once. Their row numbers go on; the source is the rows that were read so far.

    Returns
    -------
    ProvenanceTensor, float64, shape (rows, columns)
        With `.columns`; NULL is NaN, a decimal the nearest float64. With `batch_rows`, an iterator
        of such tensors.

    Raises
    ------
    SourceError
        Where the query or connection fails, gives no row, or a chosen column isn't numeric; where
        the key doesn't identify each row.
    MissingExtraError
        Where a ``postgresql://`` URI is given without the extra [sql].

    Warns
    -----
    SourceWarning
        Where the query is not ordered and no key is given: its rows may come otherwise next time.

    Examples
    --------
    >>> import traceprop as tp
    >>> query = "SELECT id, age, amount FROM loans"
    >>> X = tp.load_sql(query, "orders.db", key="id")  # doctest: +SKIP
    >>> print(X[12].trace())  # doctest: +SKIP
    loans (orders.db) row 12 (id=4711)
    """
    from traceprop.lineage import from_source

    asked = _asked(query, params, key, columns, numeric=True)
    if batch_rows is not None:
        return _tensors(connection, asked, batch_size(batch_rows))
    source, read = SqlSource.load(connection, asked)
    return from_source(matrix_of(read, source.name), source, columns=source.columns)


@overload
def read_sql(
    query: str,
    connection: Any,
    key: Key = ...,
    columns: Columns = ...,
    *,
    params: Params = ...,
    batch_rows: None = ...,
) -> Table: ...
@overload
def read_sql(
    query: str,
    connection: Any,
    key: Key = ...,
    columns: Columns = ...,
    *,
    params: Params = ...,
    batch_rows: int,
) -> Iterator[Table]: ...
def read_sql(
    query: str,
    connection: Any,
    key: Key = None,
    columns: Columns = None,
    *,
    params: Params = None,
    batch_rows: int | None = None,
) -> Table | Iterator[Table]:
    """Read what a query gives, of any kinds, as a table whose rows know their key.

    Parameters
    ----------
    query, connection, key, params, batch_rows
        As for `load_sql`.
    columns : sequence of str or int, optional
        The columns wanted, by name or 0-based position; default all, with the key's.

    Returns
    -------
    Table
        Named columns: numbers, booleans, dates, moments (those with a time zone in UTC), times of
        day, and text as categories. Missing values are kept. With `batch_rows`, an iterator of
        tables, each with the categories of its own rows.

    Raises
    ------
    SourceError, MissingExtraError
        As for `load_sql`.

    Warns
    -----
    SourceWarning
        As for `load_sql`.

    Examples
    --------
    >>> import traceprop as tp
    >>> table = tp.read_sql("SELECT * FROM loans WHERE year = ?", "orders.db", key="id",
    ...                     params=[2024])  # doctest: +SKIP
    """
    asked = _asked(query, params, key, columns, numeric=False)
    if batch_rows is not None:
        return _tables(connection, asked, batch_size(batch_rows))
    source, read = SqlSource.load(connection, asked)
    return Table.from_columns(source, {name: table_column(read[name], name) for name in read})


def _asked(query: str, params: Params, key: Key, columns: Columns, *, numeric: bool) -> SqlQuery:
    """Check what is asked, and warn where rows would have no lasting name."""
    asked = SqlQuery.make(query, params, key, columns, numeric=numeric)
    if not asked.key and not asked.text.ordered:
        warnings.warn(
            f"{asked.text.first_words!r} has no ORDER BY, so its rows may come in another order "
            "next time and can't be told apart; give key=, or order the query",
            SourceWarning,
            stacklevel=3,
        )
    return asked


def _tensors(connection: Any, asked: SqlQuery, size: int) -> Iterator[ProvenanceTensor]:
    """Yield the result in tensors of `size` rows."""
    from traceprop.lineage import from_source

    for source, arrays in SqlSource.stream(connection, asked, size):
        matrix = matrix_of(_named(source, arrays), source.name)
        yield from_source(matrix, source, source.columns, _last_rows(source, len(matrix)))


def _tables(connection: Any, asked: SqlQuery, size: int) -> Iterator[Table]:
    """Yield the result in tables of `size` rows."""
    for source, arrays in SqlSource.stream(connection, asked, size):
        columns = {
            name: table_column(values, name) for name, values in _named(source, arrays).items()
        }
        yield Table.from_columns(source, columns, _last_rows(source, len(arrays[0])))


def _named(source: SqlSource, arrays: list[Any]) -> dict[str, Any]:
    pairs = zip(source.columns, arrays, strict=True)
    return {name: sql_values.joined([array], name) for name, array in pairs}


def _last_rows(source: SqlSource, count: int) -> Any:
    return np.arange(source.n_rows - count, source.n_rows, dtype=row_dtype(source.n_rows))
