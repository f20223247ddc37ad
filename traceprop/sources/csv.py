"""CSV files as sources: `load_csv` gives a numeric tensor, `read_csv` a table of named columns.

Row i of what is loaded is data row i of the file; the source knows the row's physical line and byte
offset, and the digest of the bytes that were parsed. A file that changed since is reported, never
cited: `CsvSource.locate`, `read` and `check` refuse it.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.lineage.source import Source
from traceprop.sources import columns as arrow_columns
from traceprop.sources import files
from traceprop.sources.csv_format import CsvFormat
from traceprop.sources.csv_parse import ParsedCsv, index_csv, parse_csv
from traceprop.sources.row_index import RowIndex
from traceprop.sources.table import Table

if TYPE_CHECKING:
    from traceprop.lineage import ProvenanceTensor

Columns = str | Sequence[str | int]
Path = str | os.PathLike[str]


class CsvSource(Source):
    """A CSV file that was loaded.

    Attributes
    ----------
    format : CsvFormat
        How it was read.
    numeric : bool
        Whether it was loaded as one float64 matrix (`load_csv`) or column by column (`read_csv`).
    """

    __slots__ = ("_index", "_selection", "_stamp", "format", "numeric")

    kind: ClassVar[str] = "csv"

    def __init__(
        self,
        uri: str,
        *,
        format: CsvFormat,
        selection: Sequence[str | int] | None,
        numeric: bool,
        **fields: Any,
    ) -> None:
        super().__init__(uri, **fields)
        self.format = format
        self.numeric = numeric
        self._selection = selection
        self._index: RowIndex | None = None
        self._stamp: files.FileStamp | None = None

    @classmethod
    def open(
        cls, path: Path, format: CsvFormat, selection: Columns | None, *, numeric: bool
    ) -> tuple[CsvSource, ParsedCsv]:
        """Read a file and describe it."""
        uri, selection = os.fspath(path), _plain(selection)
        location, name = os.path.abspath(uri), os.path.basename(uri) or uri
        parsed = parse_csv(location, name, format, selection, numeric=numeric)
        source = cls(
            uri,
            path=location,
            name=name,
            n_rows=parsed.index.n_rows,
            sha256=parsed.sha256,
            columns=parsed.table.column_names,
            format=format,
            selection=selection,
            numeric=numeric,
        )
        source._index, source._stamp = parsed.index, parsed.stamp
        return source, parsed

    def check(self) -> None:
        """Hash the file as it is now and compare with what was loaded.

        Raises
        ------
        SourceError
            Where the file is gone, or its bytes aren't the recorded ones; names both digests.
        """
        sha256, stamp = files.file_digest(self.path, self.name)
        self._compare(sha256)
        self._stamp = stamp

    def locate(self, rows: Iterable[int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Physical line and byte offset of data rows.

        Parameters
        ----------
        rows : iterable of int
            0-based data rows, in any order.

        Returns
        -------
        lines, offsets : int64 arrays, shape (len(rows),)
            1-based line on which each row begins, and the byte at which it does.

        Raises
        ------
        RowError
            Where a row isn't in the file.
        SourceError
            Where the file is gone or changed, so that its lines are no longer those rows'.
        """
        wanted = np.fromiter(rows, np.int64)
        self.check_rows(wanted)
        return self._current_index().locate(wanted)

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
        try:
            parsed = parse_csv(
                self.path, self.name, self.format, self._selection, numeric=self.numeric
            )
        except SourceError:
            self.check()  # a changed file is said to be changed, whatever else is wrong with it
            raise
        self._compare(parsed.sha256)
        if self.numeric:
            matrix = arrow_columns.matrix(parsed.table)
            return matrix if column is None else matrix[:, self.columns.index(column)]
        if column is None:
            raise SourceError(f"{self.name} was loaded as a table; say which column to read")
        return arrow_columns.column(parsed.table.column(column)).values

    def to_json(self) -> dict[str, Any]:
        """Return what a saved lineage keeps; `Source.from_json` takes it back."""
        selection = self._selection
        return {
            **super().to_json(),
            "format": self.format.to_json(),
            "selection": None if selection is None else list(selection),
            "numeric": self.numeric,
        }

    @classmethod
    def restore(cls, stored: dict[str, Any]) -> CsvSource:
        """Make the source that `to_json` described; the file is opened when a row is looked up."""
        return cls(
            stored["uri"],
            path=stored["path"],
            name=stored["name"],
            n_rows=stored["n_rows"],
            sha256=stored["sha256"],
            columns=stored["columns"],
            format=CsvFormat.from_json(stored["format"]),
            selection=stored["selection"],
            numeric=bool(stored["numeric"]),
        )

    def _current_index(self) -> RowIndex:
        """Return the rows' index once it is certain that the file is the one that was loaded."""
        if self._index is None:
            try:
                index, sha256, stamp = index_csv(self.path, self.name, self.format)
            except SourceError:
                self.check()
                raise
            self._compare(sha256)
            self._index, self._stamp = index, stamp
        elif self._stamp is None or not self._stamp.vouches_for(
            files.stamp_file(self.path, self.name)
        ):
            self.check()
        return self._index

    def _compare(self, sha256: str) -> None:
        if sha256 != self.sha256:
            raise SourceError(
                f"{self.name} changed since it was loaded: its SHA-256 was {self.sha256} and is "
                f"{sha256} now; put back the file that was loaded ({self.path}), or load it anew"
            )


def load_csv(
    path: Path,
    columns: Columns | None = None,
    *,
    delimiter: str = ",",
    header: bool = True,
    missing: str | Sequence[str] | None = None,
    encoding: str = "utf-8",
) -> ProvenanceTensor:
    """Load the numbers of a CSV file as one tensor whose rows know where they stand.

    Parameters
    ----------
    path : str or path
        The file. Its name is kept as the source's uri, its absolute path to open it again.
    columns : sequence of str or int, optional
        The columns wanted, by name or 0-based position, in the order wanted; default all. Without
        a header, a list of str names all columns, in the file's order.
    delimiter : str
        One ASCII character. With a space after it (``", "``), spaces where a value begins don't
        belong to it. A space alone means any number of them.
    header : bool
        Whether the first row names the columns; without, they are ``f0``, ``f1``, … or as
        `columns` names them.
    missing : str or sequence of str, optional
        Cells that mean a missing value, besides the empty one; default the usual ones (``NA``,
        ``NaN``, ``null`` …).
    encoding : str
        The file's encoding, one that extends ASCII.

    Returns
    -------
    ProvenanceTensor, float64, shape (rows, columns)
        With `.columns`; missing values are NaN.

    Raises
    ------
    SourceError
        Where the file can't be read, or a chosen column holds text; it names file, line and column.

    Examples
    --------
    >>> import traceprop as tp
    >>> table = tp.load_csv("credit_scores.csv")  # doctest: +SKIP
    >>> X, y = table[:, :-1], table[:, -1]  # doctest: +SKIP
    """
    from traceprop.lineage import from_source

    format = CsvFormat.make(delimiter, header, missing, encoding)
    source, parsed = CsvSource.open(path, format, columns, numeric=True)
    return from_source(arrow_columns.matrix(parsed.table), source, columns=source.columns)


def read_csv(
    path: Path,
    columns: Columns | None = None,
    *,
    delimiter: str = ",",
    header: bool = True,
    missing: str | Sequence[str] | None = None,
    encoding: str = "utf-8",
) -> Table:
    """Read a CSV file of any columns as a table whose rows know where they stand.

    Parameters
    ----------
    path, columns, delimiter, header, missing, encoding
        As for `load_csv`.

    Returns
    -------
    Table
        Named columns: numbers, dates, and text as categories. Missing values are kept.

    Raises
    ------
    SourceError
        Where the file can't be read; it names file, line and column.

    Examples
    --------
    >>> import traceprop as tp
    >>> table = tp.read_csv("adult.data", header=False, delimiter=", ",
    ...                     missing="?")  # doctest: +SKIP
    >>> X = table.to_tensor(["f0", "f1"])  # doctest: +SKIP
    """
    format = CsvFormat.make(delimiter, header, missing, encoding)
    source, parsed = CsvSource.open(path, format, columns, numeric=False)
    read = {name: arrow_columns.column(parsed.table.column(name)) for name in source.columns}
    return Table.from_columns(source, read)


def _plain(columns: Columns | None) -> list[str | int] | None:
    """Return the `columns` argument as a list of str and int that JSON can hold."""
    if columns is None:
        return None
    if isinstance(columns, str):
        return [columns]
    return [column if isinstance(column, str) else operator.index(column) for column in columns]
