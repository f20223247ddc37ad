"""A query that was loaded, as a source: its rows' keys and hashes, and asking the database again.

Promise: what the database gives now is handed out as the source's rows only where its digest is the
one of the load. A row is found again by its key, wherever it stands now.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.lineage.answers.verdict import RowVerdict
from traceprop.lineage.graph.counted import source_count_asked
from traceprop.lineage.source import Source
from traceprop.sources.identity.verify import Present, verify_rows
from traceprop.sources.sql import values as sql_values
from traceprop.sources.sql.columns import matrix_of, table_column
from traceprop.sources.sql.connection import Database, describe, is_postgres, opened
from traceprop.sources.sql.digest import ResultDigest, encode, row_hashes
from traceprop.sources.sql.keys import Keys
from traceprop.sources.sql.query import SqlQuery
from traceprop.sources.sql.result import Arrays, Result, run_query

Hashes = npt.NDArray[np.uint64]


class SqlSource(Source):
    """A query that was loaded.

    Attributes
    ----------
    query : SqlQuery
        What was asked.
    complete : bool
        Whether its result was read to the end; a source that is read in batches grows until then,
        and is the rows that were read so far.
    """

    __slots__ = ("_connection", "_database", "_keys", "_room", "complete", "query")

    kind: ClassVar[str] = "sql"

    def __init__(self, query: SqlQuery, database: Database, **fields: Any) -> None:
        super().__init__(
            f"{database.uri};query={query.digest[:16]}",
            path=database.address or database.uri,
            name=f"{query.text.table or f'query {query.digest[:8]}'} ({database.name})",
            **fields,
        )
        self.query = query
        self.complete = False
        self._database = database
        self._connection: Any = None
        self._keys: list[Keys] = []  # of successive rows
        self._room: Hashes = np.empty(0, np.uint64)  # `row_hashes` and space to grow
        self.row_hashes = self._room

    @classmethod
    def load(cls, connection: Any, query: SqlQuery) -> tuple[SqlSource, dict[str, Any]]:
        """Run a query to its end: the source, and each chosen column as a pyarrow.ChunkedArray."""
        found = list(cls.stream(connection, query, None))
        source = found[0][0]  # the same in all; a query without rows is refused
        columns = zip(
            source.columns, zip(*(arrays for _, arrays in found), strict=True), strict=True
        )
        return source, {name: sql_values.joined(each, name) for name, each in columns}

    @classmethod
    def stream(
        cls, connection: Any, query: SqlQuery, size: int | None
    ) -> Iterator[tuple[SqlSource, Arrays]]:
        """Run a query, and yield the source as it is with each batch, and the batch's columns.

        Raises
        ------
        SourceError
            Where the query fails or gives no row, and where its key doesn't identify each row.
        """
        database = describe(connection)
        source = cls(query, database, n_rows=0, sha256="")
        with source._session(connection) as session, source._run(session) as result:
            source.columns, wanted = query.choose(result.columns)
            digest = ResultDigest(wanted)
            for arrays in result.batches(wanted, size):
                source._grow(arrays, wanted, digest)
                yield source, arrays[: len(source.columns)]
        if not source.n_rows:
            raise SourceError(
                f"{source.name}: the query gives no row; check its conditions and the database"
            )
        if source.keys is not None:
            source.keys.check(source.name)
        source.complete = True

    @property
    def keys(self) -> Keys | None:
        """The rows' key values; None where no key was given."""
        if len(self._keys) > 1:
            self._keys = [Keys.joined(self._keys)]
        return self._keys[0] if self._keys else None

    def connect(self, connection: Any) -> None:
        """Say how the database is reached, to read or verify rows again.

        Parameters
        ----------
        connection : path, URI or connection
            As `load_sql` takes it. A connection that you opened stays open.
        """
        if isinstance(connection, str | os.PathLike):
            self._database = replace(self._database, address=describe(connection).address)
            self._connection = None
        else:
            describe(connection)  # refuses what is no connection
            self._connection = connection

    def place(self, row: int) -> str | None:
        """Return a row's key, as ``id=4711``; None where there is none."""
        return None if self.keys is None else self.keys.label(row)

    def check(self) -> None:
        """Run the query again and compare its result with what was loaded.

        Raises
        ------
        SourceError
            Where the database can't be asked, or the result isn't the recorded one.
        """
        self._read_again()

    def read(self, column: str | None = None) -> npt.NDArray[Any]:
        """Run the query again: its rows as they were loaded, in the same order.

        Parameters
        ----------
        column : str, optional
            The column wanted of a query that was loaded as a table; text comes as category codes.

        Returns
        -------
        ndarray
            The float64 matrix (n_rows, columns), or the column (n_rows,).

        Raises
        ------
        SourceError
            Where the database can't be asked, or its rows changed since they were loaded.
        """
        source_count_asked(self, "read")
        columns = self._read_again()
        if self.query.numeric:
            matrix = matrix_of(columns, self.name)
            return matrix if column is None else matrix[:, self.columns.index(column)]
        if column is None:
            raise SourceError(f"{self.name} was loaded as a table; say which column to read")
        return table_column(columns[column], column).values

    def read_columns(self, names: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
        """Run the query again for several columns of a table; errors as for `read`."""
        source_count_asked(self, "read_columns")
        if self.query.numeric:
            return super().read_columns(names)
        columns = self._read_again()
        return {name: table_column(columns[name], name).values for name in names}

    def categories(self, names: Iterable[str]) -> dict[str, tuple[str, ...] | None]:
        """Return what text columns' codes number, from the query; errors as for `read`."""
        source_count_asked(self, "categories")
        if self.query.numeric:
            return super().categories(names)
        columns = self._read_again()
        return {name: table_column(columns[name], name).categories for name in names}

    def verify(self, rows: Iterable[int]) -> list[RowVerdict]:
        """Run the query again and say what became of rows: found by key, else by their content.

        Parameters
        ----------
        rows : iterable of int

        Raises
        ------
        RowError
            Where a row isn't one of the source's.

        Notes
        -----
        The query runs to its end, since not every query can be narrowed; that takes the memory of
        one batch and 8 bytes a row.
        """
        wanted = np.asarray(self.check_rows(rows).to_numpy(), np.int64)
        return verify_rows(self, rows, lambda: self._present(wanted))

    def to_json(self) -> dict[str, Any]:
        """Return what a saved lineage keeps; `Source.from_json` takes it back."""
        source_count_asked(self, "to_json")
        return {
            **super().to_json(),
            "query": self.query.to_json(),
            "database": asdict(self._database),
            "complete": self.complete,
            "keys": None if self.keys is None else self.keys.to_json(),
        }

    @classmethod
    def restore(cls, stored: dict[str, Any]) -> SqlSource:
        """Make the source that `to_json` described; the database is asked when rows are needed."""
        address = stored["database"]["address"]
        if address is not None and not is_postgres(address) and not _is_full_path(address):
            raise SourceError(
                f"a saved lineage names {address!r}, which is no absolute path; it is damaged, or "
                "was altered"
            )
        source = cls(
            SqlQuery.from_json(stored["query"]),
            Database(**stored["database"]),
            n_rows=stored["n_rows"],
            sha256=stored["sha256"],
            columns=stored["columns"],
        )
        if stored["keys"] is not None:
            source._keys = [Keys.from_json(stored["keys"], source.query.key, source.n_rows)]
        source.complete = bool(stored["complete"])
        source.row_hashes = None  # kept beside this record, if at all
        return source

    def __reduce__(self) -> Any:
        return _unpickled, (self.to_json(), self.row_hashes)  # an open connection isn't passed on

    @contextmanager
    def _session(self, connection: Any = None) -> Iterator[Any]:
        """Give the user's connection, or open one and close it at the end."""
        given = self._connection if connection is None else connection
        if given is not None and not isinstance(given, str | os.PathLike):
            yield given
        elif self._database.address is None:
            raise SourceError(
                f"{self.name} was loaded over a connection of yours, which isn't kept; call "
                "source.connect(connection) first, with source from X.sources()"
            )
        else:
            with opened(self._database) as session:
                yield session

    def _grow(self, arrays: Arrays, names: Sequence[str], digest: ResultDigest) -> None:
        """Take in one more batch of rows."""
        encoded = [encode(array) for array in arrays]
        digest.add(encoded)
        self._remember(row_hashes(encoded))
        if self.query.key:
            keys = self._keys_of(arrays, names)
            keys.check(self.name, self.n_rows)
            # A copy: a column of ADBC's keeps the memory of all of its batch.
            self._keys.append(keys.take(np.arange(len(keys))))
        self.n_rows, self._sha256 = digest.n_rows, digest.hexdigest()

    def _remember(self, hashes: Hashes) -> None:
        """Put the hashes of the next rows behind those of the rows so far."""
        end = self.n_rows + len(hashes)
        if end > len(self._room):
            room = np.empty(max(end, 2 * len(self._room)), np.uint64)
            room[: self.n_rows] = self._room[: self.n_rows]
            self._room = room
        self._room[self.n_rows : end] = hashes
        self.row_hashes = self._room[:end]

    def _keys_of(self, arrays: Sequence[Any], names: Sequence[str]) -> Keys:
        key = self.query.key
        return Keys(key, [arrays[names.index(name)] for name in key])

    def _run(self, session: Any) -> AbstractContextManager[Result]:
        query = self.query
        return run_query(session, query.text, query.params, self._database.name)

    def _read_again(self) -> dict[str, Any]:
        """Return the chosen columns as they are in the database, once they are what they were."""
        with self._session() as session, self._run(session) as result:
            _, names = self.query.choose(result.columns)
            parts = list(self._recorded(result.batches(names)))
        if not parts:
            raise self._changed(np.empty(0, np.uint64), None)
        columns = [
            sql_values.joined(each, name)
            for each, name in zip(zip(*parts, strict=True), names, strict=True)
        ]
        keys = None
        if self.keys is not None:
            keys = self._keys_of(columns, names)
            order = self.keys.positions_in(keys)
            if len(keys) == self.n_rows and order.min() >= 0:
                keys, columns = None, [column.take(order) for column in columns]
        digest, hashes = _digest_of(columns, names)
        if digest != self.sha256:
            raise self._changed(hashes, keys)
        return dict(zip(self.columns, columns, strict=False))

    def _present(self, rows: npt.NDArray[np.int64]) -> Present:
        """Run the query again, batch by batch, and find some rows in its result by their key."""
        sought = None if self.keys is None else self.keys.take(rows)
        at = np.full(len(rows), -1, np.int64)
        hashes: list[Hashes] = []
        with self._session() as session, self._run(session) as result:
            _, names = self.query.choose(result.columns)
            digest = ResultDigest(names)
            for arrays in self._recorded(result.batches(names)):
                if sought is not None:
                    found = sought.positions_in(self._keys_of(arrays, names))
                    at[found >= 0] = found[found >= 0] + digest.n_rows
                encoded = [encode(array) for array in arrays]
                digest.add(encoded)
                hashes.append(row_hashes(encoded))
        present = np.concatenate([np.empty(0, np.uint64), *hashes])
        return Present(digest.hexdigest(), present, at=None if sought is None else at)

    def _recorded(self, batches: Iterable[Arrays]) -> Iterator[Arrays]:
        """Pass on a result's rows; of one that wasn't read to its end, as many as were read."""
        left = sys.maxsize if self.complete else self.n_rows
        for arrays in batches:
            if left:
                yield [array.slice(0, left) for array in arrays]
            left -= min(left, len(arrays[0]))

    def _changed(self, hashes: Hashes, keys: Keys | None) -> SourceError:
        """Say what is different in the rows that the database gives now.

        Parameters
        ----------
        hashes : uint64 array
            Of those rows; in the order of the load where `keys` is None.
        keys : Keys, optional
            Where they aren't the keys that were loaded.
        """
        what = f"it gave {self.n_rows:,} rows and gives {len(hashes):,} now"
        if self.keys is not None and keys is not None:
            gone = np.flatnonzero(self.keys.positions_in(keys) < 0)
            new = len(keys) - (self.n_rows - len(gone))
            first = f" (the first: {self.keys.label(int(gone[0]))})" if len(gone) else ""
            what = f"rows gone: {len(gone)}{first}, rows that are new: {new}"
        elif len(hashes) == self.n_rows and self.row_hashes is not None:
            changed = np.flatnonzero(hashes != self.row_hashes)
            what = f"rows changed: {len(changed)}, the first is row {changed[0]}"
            what += f" ({self.place(int(changed[0]))})" if self.keys else ""
        return SourceError(
            f"{self.name} changed since it was loaded: {what}; load it anew, or restore the rows"
        )


def _digest_of(columns: Sequence[Any], names: Sequence[str]) -> tuple[str, Hashes]:
    """Return digest and row hashes of columns that were joined."""
    import pyarrow as pa

    digest, hashes = ResultDigest(names), []
    table = pa.Table.from_arrays(list(columns), names=[str(i) for i in range(len(names))])
    for batch in table.to_batches():
        encoded = [encode(array) for array in batch.columns]
        digest.add(encoded)
        hashes.append(row_hashes(encoded))
    return digest.hexdigest(), np.concatenate(hashes)


def _unpickled(stored: dict[str, Any], hashes: Hashes | None) -> SqlSource:
    source = SqlSource.restore(stored)
    source.row_hashes = hashes
    return source


def _is_full_path(path: str) -> bool:
    return os.path.isabs(path) and os.path.normpath(path) == path
