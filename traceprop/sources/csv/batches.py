"""A CSV file's values in batches: a file larger than memory, each row with its number in the file.

The file is read twice: once for its digest and its number of rows (`index_file`), which a source
must know before its first row is handed out, and once for the values. Promise: a batch that is
handed out holds the bytes of that digest; a file that changes between the two is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.sources import columns as arrow_columns
from traceprop.sources.csv.arrow import CsvReader, check_count, column_types
from traceprop.sources.csv.index import IndexedFile
from traceprop.sources.csv.numbers import PlainCells
from traceprop.sources.csv.stream import RowStream, Stretch, read_top, reading
from traceprop.sources.csv.text import CsvText, index_rows
from traceprop.sources.inputs.files import FileStamp
from traceprop.sources.inputs.resolve import Input


def read_batches(
    file: Input, indexed: IndexedFile, batch_rows: int, *, numeric: bool
) -> Iterator[tuple[int, Any]]:
    """Read the chosen columns some rows at a time.

    The types of the first batch that has a value in a column are those of the next ones.

    Parameters
    ----------
    file : Input
    indexed : IndexedFile
        What `index_file` gave.
    batch_rows : int
        Rows of each batch but the last.
    numeric : bool
        As for `parse_csv`.

    Yields
    ------
    first_row : int
    values : pyarrow.Table, or float64 array of shape (rows, columns)
        As of `ParsedCsv`.

    Raises
    ------
    SourceError
        Where the file can't be read, a value isn't of its column's type, or the file changed.
    """
    text = indexed.text
    types = column_types(text, numeric=numeric)
    cells = PlainCells.of(text) if numeric else None
    with reading(file) as (stream, hashed):
        _, head = read_top(stream, file.name, text.format, None)
        rows = RowStream(stream, text, head, text.body, line=text.body_line)
        while (stretch := rows.take(batch_rows)) is not None:
            is_last = rows.row >= indexed.index.n_rows
            if (is_last and hashed.sha256() != indexed.sha256) or _touched(file, indexed):
                break
            matrix = None if cells is None else _read_plain(cells, text, stretch)
            if matrix is not None:
                yield stretch.row, matrix
            else:
                table = _read_stretch(text, stretch, types)
                if not numeric:
                    types = {**_types_found(table), **types}
                    text = replace(text, declared={name: str(kind) for name, kind in types.items()})
                yield stretch.row, arrow_columns.matrix(table) if numeric else table
            if is_last:
                return
    raise SourceError(
        f"{file.name} changed while it was read in batches; load it again when nothing writes to it"
    )


def _read_plain(
    cells: PlainCells, text: CsvText, stretch: Stretch
) -> npt.NDArray[np.float64] | None:
    """Read numbers by our own kernel; None where a cell isn't plain."""
    out = np.empty((stretch.n_rows, len(text.chosen)))
    is_plain = cells.read(stretch.content, stretch.starts, stretch.lengths, 0, out)
    return out if is_plain else None


def _read_stretch(text: CsvText, stretch: Stretch, types: dict[str, Any]) -> Any:
    part = text.part(stretch.content, stretch.line, stretch.row)
    table = CsvReader(part, types, cache(partial(index_rows, part))).read()
    check_count(part, table, stretch.n_rows)
    return table


def _types_found(table: Any) -> dict[str, Any]:
    """Return the types of the columns that have a value."""
    import pyarrow.types as kinds

    return {field.name: field.type for field in table.schema if not kinds.is_null(field.type)}


def _touched(file: Input, indexed: IndexedFile) -> bool:
    """Whether a local file was written to since it was indexed."""
    stamp = indexed.stamp
    return isinstance(stamp, FileStamp) and not stamp.is_untouched(file.stamp())
