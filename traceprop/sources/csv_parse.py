"""Read a CSV file once: its values by pyarrow, its digest and the index of its rows beside that.

The bytes that are parsed are the bytes that are hashed. Hashing, the line scan and pyarrow's parse
run at the same time; all three release the interpreter lock. The number of rows that the scan
found must be the number that pyarrow read, else nothing is returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.sources import files
from traceprop.sources.csv_errors import check_encoding, encoding_error, explain
from traceprop.sources.csv_format import QUOTE, CsvFormat
from traceprop.sources.csv_text import CsvText, open_text, scan_error
from traceprop.sources.progress import wait_with_bar
from traceprop.sources.row_index import RowIndex, ScanProblem, scan_rows, squeezed

_BLOCK_BYTES = 1 << 20
_MAX_INT32 = 2**31 - 1
_CR = 13


@dataclass(frozen=True, slots=True)
class ParsedCsv:
    """What one reading of a CSV file gave.

    Attributes
    ----------
    table : pyarrow.Table
        The chosen columns; text as dictionaries.
    sha256 : str
        Digest of the file's bytes.
    stamp : FileStamp
    index : RowIndex
        Where each data row stands.
    """

    table: Any
    sha256: str
    stamp: files.FileStamp
    index: RowIndex


def parse_csv(
    path: str,
    name: str,
    format: CsvFormat,
    columns: Sequence[str | int] | None,
    *,
    numeric: bool,
) -> ParsedCsv:
    """Read a CSV file whole.

    Parameters
    ----------
    path : str
        Where the file is.
    name : str
        How messages call it.
    format : CsvFormat
    columns : sequence of str or int, optional
        See `open_text`.
    numeric : bool
        Whether every chosen column must be a float64; else types are inferred.

    Raises
    ------
    SourceError
        Where the file can't be read so; it names file, line and column where they are known.
    """
    data, stamp = files.read_file(path, name)
    text = open_text(data, name, format, columns)
    with ThreadPoolExecutor(3, thread_name_prefix="traceprop-csv") as pool:
        sha256 = pool.submit(files.digest, data)
        index = pool.submit(_index, text)
        reader = _Reader(text, numeric)
        table = pool.submit(reader.read, index)
        result = wait_with_bar(table, reader.position, data.size, name)
        return ParsedCsv(result, sha256.result(), stamp, index.result())


def index_csv(path: str, name: str, format: CsvFormat) -> tuple[RowIndex, str, files.FileStamp]:
    """Index the rows of a CSV file again: its index, its present digest and its stamp."""
    data, stamp = files.read_file(path, name)
    text = open_text(data, name, format, None)
    return _index(text), files.digest(data), stamp


def _index(text: CsvText) -> RowIndex:
    try:
        index = scan_rows(text.data, text.body, text.body_line, text.format.grammar)
    except ScanProblem as problem:
        raise scan_error(problem, text.name, text.data, text.format) from None
    if not index.n_rows:
        raise SourceError(f"{text.name} has a header but no data row; is it the right file?")
    return index


class _Reader:
    """pyarrow's reading of the data rows."""

    def __init__(self, text: CsvText, numeric: bool) -> None:
        self._text = text
        self._numeric = numeric
        self._blocks: _Blocks | None = None

    def position(self) -> int:
        """Bytes that pyarrow has taken so far."""
        return 0 if self._blocks is None else self._blocks.position

    def read(self, index: Future[RowIndex]) -> Any:
        """Read the chosen columns into a pyarrow.Table with as many rows as `index` has."""
        import pyarrow as pa

        try:
            body = _body(self._text)
            table = self._parse_in_blocks(body, index)
        except UnicodeDecodeError as error:
            raise encoding_error(self._text, index.result(), error) from error
        except pa.ArrowInvalid as error:
            raise explain(error, self._text, body, index.result()) from error
        check_encoding(table, self._text, index.result())
        if table.num_rows != index.result().n_rows:
            raise SourceError(
                f"{self._text.name}: pyarrow read {table.num_rows} rows where the line scan found "
                f"{index.result().n_rows}, so rows can't be told apart; please report this file"
            )
        return table

    def _parse_in_blocks(self, body: npt.NDArray[np.uint8], index: Future[RowIndex]) -> Any:
        import pyarrow as pa

        try:
            return self._parse(body, _BLOCK_BYTES)
        except pa.ArrowInvalid:
            # A block must hold the longest row, which UTF-8 may make three times as long.
            needed = 4 * index.result().longest
            if needed <= _BLOCK_BYTES:
                raise
            return self._parse(body, min(needed, _MAX_INT32))

    def _parse(self, body: npt.NDArray[np.uint8], block_bytes: int) -> Any:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        from numba_kernels.lines import contains

        format = self._text.format
        chosen = self._text.chosen
        self._blocks = _Blocks(body)
        return arrow_csv.read_csv(
            pa.PythonFile(self._blocks, "r"),
            read_options=arrow_csv.ReadOptions(
                column_names=list(self._text.columns), block_size=block_bytes
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=format.separator,
                quote_char=QUOTE,
                # Blocks are cut at plain newlines where there is no quote: a third faster.
                newlines_in_values=contains(self._text.data, self._text.body, ord(QUOTE)),
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=list(chosen),
                column_types=dict.fromkeys(chosen, pa.float64()) if self._numeric else None,
                null_values=list(format.missing),
                strings_can_be_null=True,
                auto_dict_encode=not self._numeric,
                auto_dict_max_cardinality=_MAX_INT32,
            ),
        )


class _Blocks:
    """A text handed out in blocks of which none ends between CR and LF.

    pyarrow drops a LF that begins a block when a CR ended the one before, also where both belong
    to a quoted value (26.0.1). So a block that would end in CR is cut one byte shorter.
    """

    closed = False

    def __init__(self, data: npt.NDArray[np.uint8]) -> None:
        self._data = data
        self.position = 0

    def read(self, size: int) -> memoryview:
        """Return the next `size` bytes, or one fewer; none at the end."""
        stop = min(self.position + size, self._data.size)
        if self.position + 1 < stop < self._data.size and self._data[stop - 1] == _CR:
            stop -= 1
        block = self._data[self.position : stop].data
        self.position = stop
        return block


def _body(text: CsvText) -> npt.NDArray[np.uint8]:
    """Return the data rows as pyarrow must see them: UTF-8, without spaces to be skipped."""
    body = text.data[text.body :]
    if text.format.encoding != "utf-8":
        body = np.frombuffer(body.tobytes().decode(text.format.encoding).encode(), np.uint8)
    return squeezed(body, text.format.grammar)
