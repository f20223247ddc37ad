"""A CSV file that was loaded, as a source: where its rows stand, and its values once more.

Promise: a file that changed since is reported, never cited; `locate`, `read` and `check` refuse it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.lineage.answers.verdict import RowVerdict
from traceprop.lineage.graph.counted import source_count_asked
from traceprop.lineage.source import Source
from traceprop.sources import columns as arrow_columns
from traceprop.sources.csv.format import CsvFormat
from traceprop.sources.csv.index import IndexedFile, SparseIndex, index_file
from traceprop.sources.csv.parse import IndexedCsv, ParsedCsv, index_csv, parse_csv
from traceprop.sources.identity.row_index import RowIndex
from traceprop.sources.identity.verify import Present, verify_rows
from traceprop.sources.inputs.resolve import Input, Stamp, stored_input

Selection = Sequence[str | int] | None


class CsvSource(Source):
    """A CSV file that was loaded.

    Attributes
    ----------
    format : CsvFormat
        How it was read.
    numeric : bool
        Whether it was loaded as one float64 matrix (`load_csv`) or column by column (`read_csv`).
    streamed : bool
        Whether it was loaded in batches; its rows are looked up without reading it into memory.

    Notes
    -----
    The digest is of the file's bytes as they are stored, compressed ones included. Lines and byte
    offsets are those of the text inside, in the file's own encoding.
    """

    __slots__ = (
        "_index",
        "_input",
        "_selection",
        "_stamp",
        "_width",
        "format",
        "numeric",
        "streamed",
    )

    kind: ClassVar[str] = "csv"

    def __init__(
        self,
        uri: str,
        *,
        format: CsvFormat,
        selection: Selection,
        numeric: bool,
        streamed: bool,
        **fields: Any,
    ) -> None:
        super().__init__(uri, **fields)
        self.format = format
        self.numeric = numeric
        self.streamed = streamed
        self._selection = selection
        self._input: Input | None = None
        self._index: RowIndex | SparseIndex | None = None
        self._width = 1  # bytes of a unit, which the index counts
        self._stamp: Stamp | None = None

    @classmethod
    def open(
        cls, file: Input, format: CsvFormat, selection: Selection, *, numeric: bool
    ) -> tuple[CsvSource, ParsedCsv]:
        """Read a file whole and describe it."""
        parsed = parse_csv(file, format, selection, numeric=numeric)
        return cls._of(file, parsed, selection, numeric=numeric), parsed

    @classmethod
    def index(
        cls, file: Input, format: CsvFormat, selection: Selection, *, numeric: bool
    ) -> tuple[CsvSource, IndexedFile]:
        """Pass over a file and describe it; its values are read later, in batches."""
        indexed = index_file(file, format, selection)
        return cls._of(file, indexed, selection, numeric=numeric), indexed

    @classmethod
    def _of(
        cls, file: Input, found: ParsedCsv | IndexedFile, selection: Selection, *, numeric: bool
    ) -> CsvSource:
        source = cls(
            file.uri,
            path=file.path,
            name=file.name,
            n_rows=found.index.n_rows,
            sha256=found.sha256,
            columns=found.text.chosen,
            format=found.text.format,
            selection=selection,
            numeric=numeric,
            streamed=isinstance(found, IndexedFile),
        )
        source._input = file
        source._keep(found.index, found.text.encoding.width, found.stamp)
        return source

    def check(self) -> None:
        """Hash the file as it is now and compare with what was loaded.

        Raises
        ------
        SourceError
            Where the file is gone, or its bytes aren't the recorded ones; names both digests.
        """
        sha256, stamp = self._file().digest()
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
            1-based line on which each row begins, and the byte at which it does: in the text that
            a compressed file holds.

        Raises
        ------
        RowError
            Where a row isn't in the file.
        SourceError
            Where the file is gone or changed, so that its lines are no longer those rows'.
        """
        wanted = np.fromiter(rows, np.int64)
        self.check_rows(wanted)
        lines, offsets = self._current_index().locate(wanted)
        return lines, offsets * self._width

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
        parsed = self._parsed()
        if self.numeric:
            matrix: npt.NDArray[np.float64] = parsed.values
            return matrix if column is None else matrix[:, self.columns.index(column)]
        if column is None:
            raise SourceError(f"{self.name} was loaded as a table; say which column to read")
        return arrow_columns.column(parsed.values.column(column)).values

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

    def _columns_again(self, names: Iterable[str]) -> dict[str, arrow_columns.Column]:
        table = self._parsed().values
        return {name: arrow_columns.column(table.column(name)) for name in names}

    def _parsed(self) -> ParsedCsv:
        """Parse the file again, once it is certain that it is the one that was loaded."""
        try:
            parsed = parse_csv(self._file(), self.format, self._selection, numeric=self.numeric)
        except SourceError:
            self.check()  # a changed file is said to be changed, whatever else is wrong with it
            raise
        self._compare(parsed.sha256)
        return parsed

    def verify(self, rows: Iterable[int]) -> list[RowVerdict]:
        """Open the file again and say what became of rows, found by their hash wherever they are.

        Parameters
        ----------
        rows : iterable of int

        Raises
        ------
        RowError
            Where a row isn't in the file that was loaded.
        """
        return verify_rows(self, rows, self._present)

    def to_json(self) -> dict[str, Any]:
        """Return what a saved lineage keeps; `Source.from_json` takes it back."""
        source_count_asked(self, "to_json")
        selection = self._selection
        return {
            **super().to_json(),
            "format": self.format.to_json(),
            "selection": None if selection is None else list(selection),
            "numeric": self.numeric,
            "streamed": self.streamed,
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
            streamed=bool(stored["streamed"]),
        )

    def _file(self) -> Input:
        """Return the file that was loaded, or the one that a saved lineage names."""
        if self._input is None:
            self._input = stored_input(self.path, self.name)
        return self._input

    def _keep(self, index: RowIndex | SparseIndex, width: int, stamp: Stamp) -> None:
        self._index, self._width, self._stamp = index, width, stamp
        self.row_hashes = index.hashes

    def _current_index(self) -> RowIndex | SparseIndex:
        """Return the rows' index once it is certain that the file is the one that was loaded."""
        if self._index is None:
            try:
                found = self._find_rows()
            except SourceError:
                self.check()
                raise
            self._compare(found.sha256)
            self._keep(found.index, found.text.encoding.width, found.stamp)
            return found.index
        if self._stamp is None or not self._stamp.vouches_for(self._file().stamp()):
            self.check()
        return self._index

    def _present(self) -> Present:
        """Index the file as it is now."""
        found = self._find_rows()
        index = found.index
        return Present(found.sha256, index.hashes, lambda rows: index.locate(rows)[0])

    def _find_rows(self) -> IndexedFile | IndexedCsv:
        """Index the file anew, in constant memory where it was too large to be loaded whole."""
        if self.streamed:
            return index_file(self._file(), self.format, self._selection)
        return index_csv(self._file(), self.format)

    def _compare(self, sha256: str) -> None:
        if sha256 != self.sha256:
            raise SourceError(
                f"{self.name} changed since it was loaded: its SHA-256 was {self.sha256} and is "
                f"{sha256} now; put back the file that was loaded ({self.path}), or load it anew"
            )
