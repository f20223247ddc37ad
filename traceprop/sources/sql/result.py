"""The result of one query, batch after batch, from any driver.

An ADBC connection gives Arrow batches; any other is asked for rows by DBAPI 2, of PostgreSQL
through a cursor on the server, so that a result larger than memory can be read. Every batch has
the kinds of `sql_values`, the same in all.
"""

from __future__ import annotations

import inspect
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

from traceprop.errors import SourceError
from traceprop.sources.sql import values as sql_values
from traceprop.sources.sql.connection import is_sqlite3, refusals, vendor
from traceprop.sources.sql.text import QueryText

_FETCHED = 10_000  # rows that DBAPI is asked for at once
_POSTGRES_FLOAT4 = 700

Params = Sequence[Any] | Mapping[str, Any] | None
Arrays = list[Any]  # one pyarrow.Array a column

_cursor_numbers = itertools.count(1)


class Result:
    """What a query gives.

    Attributes
    ----------
    columns : tuple of str
        Their names, all different.
    """

    def __init__(self, names: Sequence[str], query: QueryText) -> None:
        self.columns = tuple(names)
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise SourceError(
                f"{query.first_words!r} gives two columns named {twice[0]!r}; name one of them "
                "otherwise with AS"
            )

    def batches(self, chosen: Sequence[str], size: int | None = None) -> Iterator[Arrays]:
        """Yield the rows in order, as one Arrow array for each chosen column.

        Parameters
        ----------
        chosen : sequence of str
        size : int, optional
            Rows of a batch; the last one may have fewer. Default: as the driver gives them.

        Raises
        ------
        SourceError
            Where a column has values that can't be loaded, or of two kinds.
        """
        positions = [self.columns.index(name) for name in chosen]
        batches = _checked(self._read(positions), chosen)
        return batches if size is None else _resized(batches, chosen, size)

    def _read(self, positions: Sequence[int]) -> Iterator[Arrays]:
        raise NotImplementedError


@contextmanager
def run_query(connection: Any, query: QueryText, params: Params, database: str) -> Iterator[Result]:
    """Run a query on an open connection to what people call `database`.

    Raises
    ------
    SourceError
        Where the database refuses it or the connection is lost, also while the result is read; it
        names the query's first words and the database, and has the database's message.
    """
    if inspect.iscoroutinefunction(getattr(connection, "commit", None)):
        raise SourceError(
            f"a {type(connection).__name__} is asynchronous; give an ordinary connection"
        )
    failed = f"the query {query.first_words!r} failed in {database}"
    with refusals(connection, failed), _cursor(connection) as it:
        gives_arrow = hasattr(it, "fetch_record_batch")
        # Asked now: once a result is being read, PostgreSQL takes no other question.
        is_sqlite = gives_arrow and vendor(connection) == "sqlite"
        if params is None:
            it.execute(query.text)
        else:
            it.execute(query.text, params)
        if gives_arrow:
            check = partial(_check_sqlite_kinds, connection, query, params) if is_sqlite else None
            yield _ArrowResult(it, query, check)
        else:
            yield _RowsResult(it, query)


@contextmanager
def _cursor(connection: Any) -> Iterator[Any]:
    """Open a cursor that gives plain tuples in batches."""
    if type(connection).__module__.partition(".")[0] == "psycopg":
        from psycopg.rows import tuple_row

        name = f"traceprop_{next(_cursor_numbers)}"
        with (
            connection.transaction(),  # within the user's own, if there is one
            connection.cursor(name, row_factory=tuple_row) as cursor,
        ):
            yield cursor
        return
    with closing(connection.cursor()) as cursor:
        if is_sqlite3(connection):
            cursor.row_factory = None
        yield cursor


class _RowsResult(Result):
    """Rows of Python objects by DBAPI 2."""

    def __init__(self, cursor: Any, query: QueryText) -> None:
        self._cursor = cursor
        super().__init__([column[0] for column in cursor.description], query)

    def _read(self, positions: Sequence[int]) -> Iterator[Arrays]:
        first_row = 0
        while rows := self._cursor.fetchmany(_FETCHED):
            yield [self._array(rows, position, first_row) for position in positions]
            first_row += len(rows)

    def _array(self, rows: Sequence[Any], position: int, first_row: int) -> Any:
        import pyarrow as pa

        values = [row[position] for row in rows]
        array = sql_values.from_python(values, self.columns[position], first_row)
        if getattr(self._cursor.description[position], "type_code", None) == _POSTGRES_FLOAT4:
            # psycopg reads the shortest decimals; the value is the 32-bit one they stand for.
            return array.cast(pa.float32(), safe=False).cast(pa.float64())
        return array


class _ArrowResult(Result):
    """Arrow batches, as ADBC gives them."""

    def __init__(
        self, cursor: Any, query: QueryText, check: Callable[[Sequence[str]], None] | None
    ) -> None:
        self._reader = cursor.fetch_record_batch()
        self._check = check
        super().__init__(self._reader.schema.names, query)

    def _read(self, positions: Sequence[int]) -> Iterator[Arrays]:
        if self._check is not None:
            self._check([self.columns[i] for i in positions])
        schema = self._reader.schema
        types = [(field.metadata or {}).get(b"POSTGRESQL:type", b"").decode() for field in schema]
        for batch in self._reader:
            if len(batch):
                yield [
                    sql_values.from_arrow(batch.column(i), self.columns[i], types[i])
                    for i in positions
                ]


def _check_sqlite_kinds(
    connection: Any, query: QueryText, params: Params, columns: Sequence[str]
) -> None:
    """Refuse columns of two kinds: ADBC's SQLite driver makes texts of them, less digits."""
    asked = ", ".join(f"typeof({_quoted(column)})" for column in columns)
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"SELECT DISTINCT {asked} FROM (\n{query.text}\n)", params)
        found = cursor.fetchall()
    for column, types in zip(columns, zip(*found, strict=True), strict=False):
        kinds = {"number" if each in ("integer", "real") else each for each in types} - {"null"}
        if "blob" in kinds:
            raise sql_values.unfit(column, "bytes", None)
        if len(kinds) > 1:
            raise sql_values.mixed(column, min(kinds), max(kinds))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _checked(batches: Iterator[Arrays], columns: Sequence[str]) -> Iterator[Arrays]:
    """Refuse a column whose kind changes from one batch to a later one."""
    kinds = dict.fromkeys(columns, sql_values.NOTHING)
    first_row = 0
    for batch in batches:
        for column, array in zip(columns, batch, strict=True):
            kind, before = sql_values.kind_of(array), kinds[column]
            if sql_values.NOTHING not in (kind, before) and kind != before:
                row = next(i for i, value in enumerate(array) if value.is_valid)
                value = array[row].as_py()
                raise sql_values.mixed(column, before, kind, first_row + row, value)
            if kind != sql_values.NOTHING:
                kinds[column] = kind
        yield batch
        first_row += len(batch[0])


def _resized(batches: Iterator[Arrays], columns: Sequence[str], size: int) -> Iterator[Arrays]:
    """Cut and join batches so that each has `size` rows, but for the last."""
    held: list[Arrays] = []
    n_held = 0
    for batch in batches:
        held.append(batch)
        n_held += len(batch[0])
        if n_held < size:
            continue
        whole = _concatenated(held, columns)
        starts = range(0, n_held - n_held % size, size)
        for start in starts:
            yield [array.slice(start, size) for array in whole]
        n_held -= len(starts) * size
        held = [[array.slice(len(starts) * size) for array in whole]] if n_held else []
    if n_held:
        yield _concatenated(held, columns)


def _concatenated(batches: Sequence[Arrays], columns: Sequence[str]) -> Arrays:
    parts = zip(*batches, strict=True)
    return [
        sql_values.joined(each, column).combine_chunks()
        for each, column in zip(parts, columns, strict=True)
    ]
