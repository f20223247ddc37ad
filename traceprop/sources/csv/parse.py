"""Read a CSV file once: its values, and beside that its digest and the index of its rows.

The bytes that are parsed are the bytes that are hashed. Hashing, the line scan and the parse run at
the same time; all release the interpreter lock. Numbers are read by our own kernel where it can
(`csv_numbers`), all else by pyarrow (`csv_arrow`): then the number of rows that the scan found must
be the number that pyarrow read, else nothing is returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from traceprop.sources import columns as arrow_columns
from traceprop.sources.csv.arrow import CsvReader, check_count, column_types
from traceprop.sources.csv.format import CsvFormat
from traceprop.sources.csv.numbers import NumberReader, PlainCells
from traceprop.sources.csv.text import CsvText, index_rows, open_text
from traceprop.sources.identity.row_index import RowIndex
from traceprop.sources.inputs import files
from traceprop.sources.inputs.compression import expanded
from traceprop.sources.inputs.progress import wait_with_bar
from traceprop.sources.inputs.resolve import Input, Stamp


@dataclass(frozen=True, slots=True)
class ParsedCsv:
    """What one reading of a CSV file gave.

    Attributes
    ----------
    values : pyarrow.Table, or float64 array of shape (rows, columns)
        The chosen columns: a table, with text as dictionaries; a matrix where numbers were asked.
    sha256 : str
        Digest of the file's bytes as they are stored.
    stamp : Stamp
    index : RowIndex
        Where each data row stands, in units of the text's encoding.
    text : CsvText
        Without its bytes.
    """

    values: Any
    sha256: str
    stamp: Stamp
    index: RowIndex
    text: CsvText


@dataclass(frozen=True, slots=True)
class IndexedCsv:
    """What is known of a CSV file whose values weren't read; see `ParsedCsv`."""

    sha256: str
    stamp: Stamp
    index: RowIndex
    text: CsvText


def parse_csv(
    file: Input, format: CsvFormat, columns: Sequence[str | int] | None, *, numeric: bool
) -> ParsedCsv:
    """Read a CSV file whole.

    Parameters
    ----------
    file : Input
    format : CsvFormat
    columns : sequence of str or int, optional
        See `open_text`.
    numeric : bool
        Whether every chosen column must be numbers; else types are inferred.

    Raises
    ------
    SourceError
        Where the file can't be read so; it names file, line and column where they are known.
    """
    with files.Hasher() as hasher, ThreadPoolExecutor(2, "traceprop-csv") as pool:
        stored, stamp = file.read(hasher)
        text = open_text(expanded(stored, file.name), file.name, format, columns)
        values, index = _read_numbers(text, pool) if numeric else (None, None)
        if values is None:
            values, index = _read_table(text, pool, index, numeric=numeric)
        sha256 = hasher.hexdigest()
    assert index is not None  # what has values has an index
    bare = text.without_bytes()
    if numeric and not isinstance(values, np.ndarray):
        # The file's bytes go before the table becomes a matrix, which then takes their place.
        del stored, text
        values = arrow_columns.matrix(values)
    return ParsedCsv(values, sha256, stamp, index, bare)


def _read_numbers(text: CsvText, pool: ThreadPoolExecutor) -> tuple[Any, RowIndex | None]:
    """Read a matrix by our own kernel; None where the text isn't plain, or has no index yet."""
    cells = PlainCells.of(text)
    if cells is None:
        return None, None
    reader = NumberReader(text, cells)
    reading = pool.submit(reader.read)
    return wait_with_bar(reading, reader.position, text.content.size, text.name)


def _read_table(
    text: CsvText, pool: ThreadPoolExecutor, index: RowIndex | None, *, numeric: bool
) -> tuple[Any, RowIndex]:
    """Read a table by pyarrow, and index the rows meanwhile, unless they are indexed already."""
    indexing = pool.submit(index_rows, text) if index is None else pool.submit(lambda: index)
    reader = CsvReader(text, column_types(text, numeric=numeric), indexing.result)
    reading = pool.submit(reader.read)
    table = wait_with_bar(reading, reader.position, text.content.size, text.name)
    check_count(text, table, indexing.result().n_rows)
    return table, indexing.result()


def index_csv(file: Input, format: CsvFormat) -> IndexedCsv:
    """Index the rows of a CSV file again."""
    stored, stamp = file.read()
    text = open_text(expanded(stored, file.name), file.name, format, None)
    return IndexedCsv(files.digest(stored), stamp, index_rows(text), text)
