"""A Parquet file that was loaded, as a source: its row groups, and its values once more.

A row is named by its number in the file. A file that changed since is reported, never cited:
`ParquetSource.read` and `check` refuse it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.lineage.answers.verdict import RowVerdict
from traceprop.lineage.graph.counted import source_count_asked
from traceprop.lineage.source import Source
from traceprop.sources.columns import Column
from traceprop.sources.identity.typed_hashes import hash_table
from traceprop.sources.identity.verify import UNREAD, Present, verify_rows
from traceprop.sources.inputs import files
from traceprop.sources.inputs.progress import wait_with_bar
from traceprop.sources.inputs.resolve import Input, stored_input
from traceprop.sources.parquet import read as reading

Selection = Sequence[str | int] | None


class ParquetSource(Source):
    """A Parquet file that was loaded.

    Attributes
    ----------
    numeric : bool
        Whether it was loaded as one float64 matrix (`load_parquet`) or column by column
        (`read_parquet`).
    row_hashes : uint64 array, shape (n_rows,)
        Over the values of the columns that were loaded; see `identity.typed_hashes`.
    """

    __slots__ = ("_group_starts", "_input", "numeric")

    kind: ClassVar[str] = "parquet"

    def __init__(
        self, uri: str, *, numeric: bool, group_starts: npt.NDArray[np.int64], **fields: Any
    ) -> None:
        super().__init__(uri, **fields)
        self.numeric = numeric
        self._group_starts = group_starts
        self._input: Input | None = None

    @classmethod
    def load(cls, file: Input, selection: Selection, *, numeric: bool) -> tuple[ParquetSource, Any]:
        """Read a file whole: the source, and its values as a float64 matrix or a pyarrow.Table."""
        with files.Hasher() as hasher:
            stored, _ = file.read(hasher)
            opened, values, hashes = _read(stored, file.name, selection, numeric=numeric)
            source = cls._of(file, opened, hasher.hexdigest(), numeric=numeric)
        source.row_hashes = hashes
        return source, values

    @classmethod
    def stream(
        cls, file: Input, selection: Selection, size: int, *, numeric: bool
    ) -> Iterator[tuple[ParquetSource, Any, int]]:
        """Read a file in pieces of `size` rows, the last of what is left.

        Yields
        ------
        source : ParquetSource
            The same one each time.
        piece : pyarrow.Table
        start : int
            The row at which it begins.

        Raises
        ------
        SourceError
            Where the file changes between the first byte that is hashed and the last row.
        """
        before = file.stamp()
        sha256, _ = file.digest()
        with file.open() as stream:
            opened = reading.open_parquet(stream, file.name, selection, numeric=numeric)
            source = cls._of(file, opened, sha256, numeric=numeric)
            source.row_hashes = np.full(opened.n_rows, UNREAD)
            start = 0
            for piece in reading.pieces(opened, size):
                source.row_hashes[start : start + piece.num_rows] = hash_table(piece)
                yield source, piece, start
                start += piece.num_rows
        if not _same(before, file.stamp()):
            raise SourceError(
                f"{file.name} changed while it was read; load it again when nothing writes to it"
            )

    @classmethod
    def _of(
        cls, file: Input, opened: reading.OpenParquet, sha256: str, *, numeric: bool
    ) -> ParquetSource:
        source = cls(
            file.uri,
            path=file.path,
            name=file.name,
            n_rows=opened.n_rows,
            sha256=sha256,
            columns=opened.columns,
            numeric=numeric,
            group_starts=opened.group_starts,
        )
        source._input = file
        return source

    def row_groups(
        self, rows: Iterable[int]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Row group of each row, from 0, and the row's position within it.

        Raises
        ------
        RowError
            Where a row isn't in the file.
        """
        wanted = np.fromiter(rows, np.int64)
        self.check_rows(wanted)
        groups = np.searchsorted(self._group_starts, wanted, side="right") - 1
        return groups.astype(np.int64), wanted - self._group_starts[groups]

    def place(self, row: int) -> str | None:
        """Say in which row group a row stands and where; None where there is one group only."""
        groups, positions = self.row_groups([row])
        if len(self._group_starts) == 1:
            return None
        return f"row group {groups[0]}, position {positions[0]}"

    def check(self) -> None:
        """Hash the file as it is now and compare with what was loaded.

        Raises
        ------
        SourceError
            Where the file is gone, or its bytes aren't the recorded ones; names both digests.
        """
        self._compare(self._file().digest()[0])

    def read(self, column: str | None = None) -> npt.NDArray[Any]:
        """Read the file again, as it was loaded.

        Parameters
        ----------
        column : str, optional
            The column wanted of a file that was loaded as a table; text comes as category codes.

        Returns
        -------
        ndarray
            The float64 matrix (n_rows, columns), or the column (n_rows,).

        Raises
        ------
        SourceError
            Where the file is gone, or changed since it was loaded.
        """
        source_count_asked(self, "read")
        wanted = self.columns if column is None else (column,)
        if column is None and not self.numeric:
            raise SourceError(f"{self.name} was loaded as a table; say which column to read")
        stored, _ = self._file().read()
        self._compare(files.digest(stored))
        _, values, _ = _read(stored, self.name, wanted, numeric=self.numeric)
        if not self.numeric:
            return reading.as_column(values.column(column), wanted[0], self.name).values
        matrix: npt.NDArray[Any] = values
        return matrix if column is None else matrix[:, 0]

    def read_columns(self, names: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
        """Read several columns of a table again in one pass; errors as for `read`."""
        source_count_asked(self, "read_columns")
        if self.numeric:
            return super().read_columns(names)
        return {name: column.values for name, column in self._columns_again(names).items()}

    def categories(self, names: Iterable[str]) -> dict[str, tuple[str, ...] | None]:
        """Return what text columns' codes number, from the file; errors as for `read`."""
        source_count_asked(self, "categories")
        if self.numeric:
            return super().categories(names)
        return {name: column.categories for name, column in self._columns_again(names).items()}

    def _columns_again(self, names: Iterable[str]) -> dict[str, Column]:
        wanted = tuple(names)
        stored, _ = self._file().read()
        self._compare(files.digest(stored))
        _, table, _ = _read(stored, self.name, wanted, numeric=False)
        return {name: reading.as_column(table.column(name), name, self.name) for name in wanted}

    def verify(self, rows: Iterable[int]) -> list[RowVerdict]:
        """Open the file again and say what became of rows, found by their hash wherever they are.

        Parameters
        ----------
        rows : iterable of int

        Raises
        ------
        RowError
            Where a row isn't one of the source's.
        """
        return verify_rows(self, rows, self._present)

    def to_json(self) -> dict[str, Any]:
        """Return what a saved lineage keeps; `Source.from_json` takes it back."""
        source_count_asked(self, "to_json")
        return {
            **super().to_json(),
            "numeric": self.numeric,
            "group_starts": self._group_starts.tolist(),
        }

    @classmethod
    def restore(cls, stored: dict[str, Any]) -> ParquetSource:
        """Make the source that `to_json` described; the file is opened when it is asked for."""
        return cls(
            stored["uri"],
            path=stored["path"],
            name=stored["name"],
            n_rows=stored["n_rows"],
            sha256=stored["sha256"],
            columns=stored["columns"],
            numeric=bool(stored["numeric"]),
            group_starts=np.array(stored["group_starts"], np.int64),
        )

    def _file(self) -> Input:
        """Return the file that was loaded, or the one that a saved lineage names."""
        if self._input is None:
            self._input = stored_input(self.path, self.name)
        return self._input

    def _present(self) -> Present:
        stored, _ = self._file().read()
        sha256 = files.digest(stored)
        if sha256 == self.sha256:
            return Present(sha256, np.empty(0, np.uint64))
        _, _, hashes = _read(stored, self.name, self.columns, numeric=False)
        return Present(sha256, hashes)

    def _compare(self, sha256: str) -> None:
        if sha256 != self.sha256:
            raise SourceError(
                f"{self.name} changed since it was loaded: its SHA-256 was {self.sha256} and is "
                f"{sha256} now; put back the file that was loaded ({self.path}), or load it anew"
            )


def _read(
    stored: npt.NDArray[np.uint8], name: str, selection: Selection, *, numeric: bool
) -> tuple[reading.OpenParquet, Any, npt.NDArray[np.uint64]]:
    """Read bytes as Parquet: footer, values, hashes of the rows."""
    import pyarrow as pa

    buffer = pa.BufferReader(pa.py_buffer(stored))
    opened = reading.open_parquet(buffer, name, selection, numeric=numeric)
    read, done = reading.read_matrix if numeric else reading.read_table, reading.Done()
    with ThreadPoolExecutor(1, thread_name_prefix="traceprop-parquet") as pool:
        work = pool.submit(read, opened, done)
        values, hashes = wait_with_bar(work, lambda: done.rows, opened.n_rows, name, unit=" rows")
        return opened, values, hashes


def _same(before: Any, after: Any) -> bool:
    """Whether a file wasn't written to between two stamps, as far as these tell."""
    if isinstance(before, files.FileStamp):
        kept = (before.size, before.modified_ns, before.inode)
        return isinstance(after, files.FileStamp) and kept == (
            after.size,
            after.modified_ns,
            after.inode,
        )
    return bool(before == after)
