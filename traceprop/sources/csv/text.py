"""A CSV file's bytes with its columns found: where the data rows begin and what columns they have.

The header is read here, not by pyarrow: so a row keeps its physical line whatever stands above it,
and a bad header is refused by name.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.sources.csv.encoding import TextEncoding, detect_encoding
from traceprop.sources.csv.format import QUOTE, CsvFormat
from traceprop.sources.identity.row_index import (
    FoundRows,
    RowIndex,
    ScanProblem,
    count_fields,
    find_rows,
    scan_rows,
    tidied,
)


@dataclass(frozen=True, slots=True)
class CsvText:
    """The text of a CSV file, or some rows of it, and what its top says.

    Attributes
    ----------
    name : str
        How messages call the file.
    content : uint8 array
        Its bytes, as the file has them once it is expanded.
    units : uint8 array
        The same, one byte for each unit of the encoding: what is scanned.
    encoding : TextEncoding
    format : CsvFormat
    columns : tuple of str
        The names of all its columns.
    chosen : tuple of str
        Those that are asked for, in the order asked.
    declared : mapping of str to str
        Columns whose type was declared, or was found in an earlier batch, and its name.
    body, body_line : int
        Unit and 1-based line after the header (or byte-order mark).
    first_row : int
        What the first row after that is in the file.
    """

    name: str
    content: npt.NDArray[np.uint8]
    units: npt.NDArray[np.uint8]
    encoding: TextEncoding
    format: CsvFormat
    columns: tuple[str, ...]
    chosen: tuple[str, ...]
    declared: Mapping[str, str]
    body: int
    body_line: int
    first_row: int = 0

    def without_bytes(self) -> CsvText:
        """Return what its top says alone, so that its bytes can be freed."""
        none = np.empty(0, np.uint8)
        return replace(self, content=none, units=none)

    def part(self, content: npt.NDArray[np.uint8], line: int, row: int) -> CsvText:
        """Return some of its rows: their text, and line and row with which that begins."""
        units = self.encoding.units(content)
        return replace(self, content=content, units=units, body=0, body_line=line, first_row=row)


def open_text(
    content: npt.NDArray[np.uint8],
    name: str,
    format: CsvFormat,
    columns: Sequence[str | int] | None,
) -> CsvText:
    """Find the columns of a CSV file and the ones that `columns` chooses.

    Parameters
    ----------
    content : uint8 array
        All of the file's text, or its beginning with a row at least.
    name : str
        How messages call the file.
    format : CsvFormat
    columns : sequence of str or int, optional
        With a header: the columns wanted, by name or 0-based position. Without: the names of all
        columns, or the positions of those wanted (which are then named ``f0``, ``f1``, …).

    Raises
    ------
    SourceError
        Where the file is empty, the header repeats a name, or a chosen column isn't there.
    """
    encoding = detect_encoding(content[:4].tobytes(), format.encoding, name)
    if content.size % encoding.width:
        raise cut_off(name, format)
    units = encoding.units(content)
    begin, begin_line = skip_lines(units, encoding, format)
    try:
        first = scan_rows(units, begin, begin_line, format.grammar, limit=1)
    except ScanProblem as problem:
        raise scan_error(problem, name, units, format) from None
    if not first.n_rows:
        above = f" after skip_rows={format.skip_rows} lines" if format.skip_rows else ""
        raise SourceError(f"{name} is empty{above}; a source needs at least one row of data")
    line, start = (int(position[0]) for position in first.locate([0]))
    record = content[start * encoding.width : first.end * encoding.width]
    names: tuple[str, ...]
    if format.header:
        names = _header_names(record, name, line, format, encoding)
        begin, begin_line = first.end, first.end_line
    else:
        names = _given_names(count_fields(units[start : first.end], format.grammar), columns, name)
    chosen = _choose(names, columns, name)
    declared = _declared(names, format, name)
    return CsvText(
        name, content, units, encoding, format, names, chosen, declared, begin, begin_line
    )


def skip_lines(
    units: npt.NDArray[np.uint8], encoding: TextEncoding, format: CsvFormat
) -> tuple[int, int]:
    """Return unit and line at which a file is read from: after byte-order mark and skipped lines.

    Where it has fewer lines than are to be skipped, that is its end.
    """
    from numba_kernels.lines import after_lines

    begin = encoding.begin
    if not format.skip_rows:
        return begin, 1
    passed, lines = after_lines(units[begin:], format.skip_rows)
    return (begin + passed if lines == format.skip_rows else units.size), 1 + lines


def index_rows(text: CsvText) -> RowIndex:
    """Index the data rows of a text; `SourceError` where it breaks off or has none."""
    wide = None if text.encoding.width == 1 else (text.content, text.encoding.width)
    try:
        index = scan_rows(text.units, text.body, text.body_line, text.format.grammar, wide=wide)
    except ScanProblem as problem:
        raise scan_error(problem, text.name, text.units, text.format) from None
    if not index.n_rows:
        raise no_rows(text.name)
    return index


def found_rows(text: CsvText) -> Iterator[FoundRows]:
    """Find the data rows of a text, which may be none; `SourceError` where it breaks off."""
    try:
        yield from find_rows(text.units, text.body, text.body_line, text.format.grammar)
    except ScanProblem as problem:
        raise scan_error(problem, text.name, text.units, text.format) from None


def no_rows(name: str) -> SourceError:
    """Say that a file ends after its header."""
    return SourceError(f"{name} has a header but no data row; is it the right file?")


def cut_off(name: str, format: CsvFormat) -> SourceError:
    """Say that a text's last character isn't whole."""
    return SourceError(
        f"{name} ends within a character of {format.encoding}; it is cut off, or in another "
        "encoding"
    )


def scan_error(
    problem: ScanProblem, name: str, units: npt.NDArray[np.uint8], format: CsvFormat
) -> SourceError:
    """Say for people what the scanner stopped at."""
    column = count_fields(units[problem.record : problem.offset + 1], format.grammar)
    where = f"{name} line {problem.line}, column {column}"
    if problem.nul:
        return SourceError(
            f"{where}: a NUL byte; the file is damaged, or in another encoding: then say "
            "which, such as encoding='utf-16'"
        )
    return SourceError(
        f"{where}: a quote opens here and never closes; close it, or write it twice inside quotes "
        "where it belongs to the value"
    )


def _header_names(
    record: npt.NDArray[np.uint8],
    name: str,
    line: int,
    format: CsvFormat,
    encoding: TextEncoding,
) -> tuple[str, ...]:
    """Read the names in the header."""
    try:
        text = encoding.utf8(record)
        reader = csv.reader(
            io.StringIO(tidied(text, format.grammar).tobytes().decode(), newline=""),
            delimiter=format.separator,
            quotechar=QUOTE,
        )
        cells = next(reader)
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{name} line {line}, the header, is not {format.encoding} text ({error.reason}); "
            "give its encoding=, such as 'latin-1' or 'cp1252'"
        ) from None
    except csv.Error as error:
        raise SourceError(
            f"{name} line {line} is no header ({error}); say header=False if it is a row of data"
        ) from None
    repeated = [cell for cell, count in Counter(cells).items() if count > 1]
    if repeated:
        places = [str(i + 1) for i, cell in enumerate(cells) if cell == repeated[0]]
        raise SourceError(
            f"{name} line {line}: the header names {repeated[0]!r} more than once (columns "
            f"{', '.join(places)}); rename one, or say header=False if this is a row of data"
        )
    return tuple(cells)


def _given_names(width: int, asked: Sequence[str | int] | None, name: str) -> tuple[str, ...]:
    """Name the columns of a file without a header."""
    if asked is None or not all(isinstance(column, str) for column in asked):
        return tuple(f"f{i}" for i in range(width))
    if len(asked) != width:
        raise SourceError(
            f"{name} has {width} columns but columns= names {len(asked)}; without a header "
            "name every column, or choose columns by position, such as columns=[0, 2]"
        )
    return tuple(str(column) for column in asked)


def _choose(
    names: tuple[str, ...], asked: Sequence[str | int] | None, name: str, option: str = "columns"
) -> tuple[str, ...]:
    """Return the names of the columns that an option asks for."""
    if asked is None:
        return names
    chosen: list[str] = []
    for column in asked:
        if isinstance(column, str):
            if column not in names:
                raise SourceError(f"{name} has no column {column!r}; it has {', '.join(names)}")
            chosen.append(column)
        elif 0 <= column < len(names):
            chosen.append(names[column])
        else:
            raise SourceError(
                f"{name} has no column at position {column}; positions are 0 to {len(names) - 1}"
            )
    if len(set(chosen)) < len(chosen) or not (chosen or option == "dtypes"):
        raise SourceError(f"{option}={list(asked)!r} must name each wanted column of {name} once")
    return tuple(chosen)


def _declared(names: tuple[str, ...], format: CsvFormat, name: str) -> dict[str, str]:
    """Return the declared types by the names of their columns."""
    columns = _choose(names, [column for column, _ in format.dtypes], name, "dtypes")
    return dict(zip(columns, (kind for _, kind in format.dtypes), strict=True))
