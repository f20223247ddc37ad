"""Why a CSV file can't be read, for people: the line, the column, the value, and the way out.

Runs only once pyarrow has refused a file, so it may read the file again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.sources.csv.format import QUOTE
from traceprop.sources.csv.text import CsvText
from traceprop.sources.identity.row_index import RowIndex, count_fields, first_ragged

_SHOWN = 40  # characters of a value that a message shows
_OTHER_DELIMITERS = {",": "','", ";": "';'", "\t": r"'\t'", "|": "'|'"}


def explain(
    error: Exception,
    text: CsvText,
    body: npt.NDArray[np.uint8],
    index: RowIndex,
    types: Mapping[str, Any],
) -> SourceError:
    """Find out what is wrong with a file that pyarrow refused, and say it.

    Parameters
    ----------
    error : pyarrow.ArrowInvalid
        What pyarrow said.
    text : CsvText
    body : uint8 array
        The data rows as pyarrow saw them.
    index : RowIndex
    types : mapping of str to pyarrow.DataType
        The columns that were to be of a type.
    """
    return (
        _ragged(text, body, index)
        or _not_text(text, index)
        or _not_of_type(text, body, index, types)
        or SourceError(f"{text.name} can't be read as CSV: {error}")
    )


def check_encoding(table: Any, text: CsvText, index: Callable[[], RowIndex]) -> None:
    """Refuse a table with a column of bytes: that is what pyarrow makes of a foreign encoding."""
    import pyarrow.types as kinds

    for column in table.schema:
        kind = column.type.value_type if kinds.is_dictionary(column.type) else column.type
        if kinds.is_binary(kind) or kinds.is_large_binary(kind):
            problem = _not_text(text, index())
            raise problem or SourceError(f"{text.name}, column {column.name!r} is not text")


def encoding_error(text: CsvText, index: RowIndex, error: UnicodeDecodeError) -> SourceError:
    """Name the first byte of the data rows that isn't in the declared encoding."""
    width = text.encoding.width
    offset = text.body + error.start // width
    row, start = _row_at(index, offset)
    column = max(0, count_fields(text.units[start : offset + 1], text.format.grammar) - 1)
    found = text.content[offset * width : (offset + 1) * width].tobytes().hex().upper()
    way_out = (
        "check the file and its encoding="
        if width > 1
        else "give its encoding=, such as 'latin-1' or 'cp1252'"
    )
    return SourceError(
        f"{text.name} line {_line(index, row)}, column {text.columns[column]!r} is not "
        f"{text.format.encoding} text (byte{'' if width == 1 else 's'} 0x{found}); {way_out}"
    )


def _ragged(text: CsvText, body: npt.NDArray[np.uint8], index: RowIndex) -> SourceError | None:
    """Name the first row that has another number of values than there are columns."""
    found = first_ragged(body, text.format.grammar, len(text.columns))
    if found is None:
        return None
    row, fields = found
    origin = "the header has" if text.format.header else "the first row has"
    return SourceError(
        f"{text.name} line {_line(index, row)} (row {text.first_row + row}) has "
        f"{_count(fields, 'value')} where "
        f"{origin} {len(text.columns)}; mend the line, or check delimiter={text.format.delimiter!r}"
    )


def _not_text(text: CsvText, index: RowIndex) -> SourceError | None:
    """Name the first byte of the data rows that isn't text in the declared encoding."""
    try:
        body = text.content[text.body * text.encoding.width :]
        body.tobytes().decode(text.encoding.codec)
    except UnicodeDecodeError as error:
        return encoding_error(text, index, error)
    return None


def _not_of_type(
    text: CsvText, body: npt.NDArray[np.uint8], index: RowIndex, types: Mapping[str, Any]
) -> SourceError | None:
    """Name the first value that isn't of its column's type, in the first column that has one."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    table = arrow_csv.read_csv(
        pa.BufferReader(pa.py_buffer(body)),
        read_options=arrow_csv.ReadOptions(
            column_names=list(text.columns), block_size=max(1 << 20, 4 * index.longest)
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=text.format.separator, quote_char=QUOTE, newlines_in_values=True
        ),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=list(types),
            column_types=dict.fromkeys(types, pa.string()),
            null_values=list(text.format.missing),
            strings_can_be_null=True,
        ),
    )
    for name, kind in types.items():
        found = None if pa.types.is_dictionary(kind) else _first_unlike(table.column(name), kind)
        if found is not None:
            row, value = found
            return _wrong_value(text, name, _line(index, row), row, value, kind)
    return None


def _wrong_value(
    text: CsvText, column: str, line: int, row: int, value: str, kind: Any
) -> SourceError:
    shown = repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")
    others = [said for mark, said in _OTHER_DELIMITERS.items() if mark in value]
    is_number = str(kind) == "double"
    if len(text.columns) == 1 and others:
        way_out = f"is delimiter={others[0]} meant?"
    elif is_number and column not in text.declared:
        way_out = (
            "choose the numeric columns with columns=, or load text with read_csv (missing= names "
            "marks of missing values)"
        )
    else:
        way_out = "declare another type with dtypes=, or name marks of missing values with missing="
    return SourceError(
        f"{text.name} line {line} (row {text.first_row + row}), column {column!r}: {shown} is not "
        f"{'a number' if is_number else f'a value of type {kind}'}; {way_out}"
    )


def _first_unlike(column: Any, kind: Any) -> tuple[int, str] | None:
    """Find row and value of the first text that isn't of a type, by halving the chunk it is in."""
    row = 0
    for chunk in column.chunks:
        if not _all_of(chunk, kind):
            low, high = 0, len(chunk)  # the first one is in chunk[low:high]
            while high - low > 1:
                middle = (low + high) // 2
                if _all_of(chunk[low:middle], kind):
                    low = middle
                else:
                    high = middle
            return row + low, str(chunk[low].as_py())
        row += len(chunk)
    return None


def _all_of(values: Any, kind: Any) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.utf8_trim(values, characters=" \t").cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _row_at(index: RowIndex, offset: int) -> tuple[int, int]:
    """Find the row that holds a byte offset, and the offset at which it begins."""
    _, starts = index.locate(np.arange(index.n_rows))
    row = int(np.searchsorted(starts, offset, side="right")) - 1
    return row, int(starts[row])


def _line(index: RowIndex, row: int) -> int:
    return int(index.locate([row])[0][0])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
