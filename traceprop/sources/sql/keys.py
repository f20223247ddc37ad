"""The key values of a query's rows: what names a row of a database years later.

Promise: a key that doesn't identify each row is refused, with the first values that it fails for.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.sources.sql.values import joined, kind_of

_ROW, _AT = "\0row", "\0at"  # names that no column has


class Keys:
    """The values of the key's columns, row by row.

    Parameters
    ----------
    names : sequence of str
    columns : sequence of pyarrow.Array or ChunkedArray
        Of the kinds of `sql_values`; as long as there are rows.
    """

    __slots__ = ("_columns", "names")

    def __init__(self, names: Sequence[str], columns: Sequence[Any]) -> None:
        self.names = tuple(names)
        self._columns = list(columns)

    def __len__(self) -> int:
        return len(self._columns[0])

    def label(self, row: int) -> str:
        """Return a row's key for people: ``id=4711``."""
        values = [column[row].as_py() for column in self._columns]
        return ", ".join(
            f"{name}={int(value) if isinstance(value, float) and value.is_integer() else value}"
            for name, value in zip(self.names, values, strict=True)
        )

    def take(self, rows: npt.NDArray[np.int64]) -> Keys:
        """Return the keys of some rows."""
        return Keys(self.names, [column.take(rows) for column in self._columns])

    def check(self, source: str, first_row: int = 0) -> None:
        """Refuse missing and repeated keys.

        Parameters
        ----------
        source : str
            How messages call the query.
        first_row : int
            The number of the first row.

        Raises
        ------
        SourceError
        """
        for name, column in zip(self.names, self._columns, strict=True):
            if column.null_count:
                row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
                raise SourceError(
                    f"the key column {name!r} of {source} is NULL in row {first_row + row}; leave "
                    "such rows out, or name a key that every row has"
                )
        twice = self._repeated()
        if twice is not None:
            first, second = twice
            raise SourceError(
                f"key={list(self.names)} doesn't identify a row of {source}: {self.label(first)} "
                f"is in row {first_row + first} and in row {first_row + second}; name the columns "
                "that do, or leave key= out and order the query"
            )

    def _repeated(self) -> tuple[int, int] | None:
        """Return the first two rows that have one key."""
        counted = (
            _numbered(self.names, self._columns, _ROW)
            .group_by(list(self.names), use_threads=False)
            .aggregate([(_ROW, "min")])
        )
        firsts = np.sort(counted[f"{_ROW}_min"].to_numpy())
        if len(firsts) == len(self):
            return None
        is_first = np.zeros(len(self), bool)
        is_first[firsts] = True
        second = int(np.flatnonzero(~is_first)[0])
        found = self.take(np.array([second])).positions_in(self.take(firsts))
        return int(firsts[found[0]]), second

    @classmethod
    def joined(cls, parts: Sequence[Keys]) -> Keys:
        """Return the keys of successive rows as one."""
        names = parts[0].names
        columns = zip(*(part._columns for part in parts), strict=True)
        return cls(
            names,
            [
                joined([chunk for part in column for chunk in _chunks(part)], name)
                for name, column in zip(names, columns, strict=True)
            ],
        )

    def positions_in(self, others: Keys) -> npt.NDArray[np.int64]:
        """Return for each row the row of `others` that has the same key, -1 where none has."""
        import pyarrow as pa

        positions = np.full(len(self), -1, np.int64)
        ours, theirs = self._columns, others._columns
        pairs = list(zip(ours, theirs, strict=True))
        if any(kind_of(a) != kind_of(b) for a, b in pairs):
            return positions  # a number is never a text's equal
        if any(a.type != b.type for a, b in pairs):  # whole numbers and others
            ours = [a if a.type == b.type else a.cast(pa.float64()) for a, b in pairs]
            theirs = [b if a.type == b.type else b.cast(pa.float64()) for a, b in pairs]
        left, right = _numbered(self.names, ours, _ROW), _numbered(self.names, theirs, _AT)
        found = left.join(right, list(self.names), join_type="inner", use_threads=False)
        positions[found[_ROW].to_numpy()] = found[_AT].to_numpy()
        return positions

    def to_json(self) -> str:
        """Return what a saved lineage keeps: a compressed Arrow stream in base64."""
        import pyarrow as pa

        table = pa.Table.from_arrays(self._columns, names=list(self.names))
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
            writer.write_table(table)
        return base64.b64encode(sink.getvalue()).decode()

    @classmethod
    def from_json(cls, stored: str, names: Iterable[str], n_rows: int) -> Keys:
        """Take back what `to_json` gave.

        Raises
        ------
        SourceError
            Where it is damaged, or not of these columns and as many rows.
        """
        import pyarrow as pa

        names = tuple(names)
        try:
            table = pa.ipc.open_stream(base64.b64decode(stored, validate=True)).read_all()
            table.validate(full=True)
        except (binascii.Error, pa.ArrowException, OSError) as error:
            raise SourceError(f"the keys in the saved lineage are damaged ({error})") from None
        if tuple(table.column_names) != names or table.num_rows != n_rows:
            raise SourceError(
                "the keys in the saved lineage aren't those of its rows; it is damaged"
            )
        return cls(names, table.columns)


def _numbered(names: Sequence[str], columns: Sequence[Any], numbers: str) -> Any:
    """Return a pyarrow.Table of columns and, named `numbers`, the rows' numbers."""
    import pyarrow as pa

    rows = pa.array(np.arange(len(columns[0])))
    return pa.Table.from_arrays([*columns, rows], names=[*names, numbers])


def _chunks(column: Any) -> list[Any]:
    return list(getattr(column, "chunks", [column]))
