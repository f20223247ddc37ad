"""A CSV file's bytes with its columns found: where the data rows begin and what columns they have.

The header is read here, not by pyarrow: so a row keeps its physical line whatever stands above it,
and a bad header is refused by name.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.sources.csv_format import QUOTE, CsvFormat
from traceprop.sources.row_index import ScanProblem, count_fields, scan_rows, squeezed

_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class CsvText:
    """The bytes of a CSV file, and what its top says.

    Attributes
    ----------
    name : str
        How messages call the file.
    data : uint8 array
        All its bytes.
    format : CsvFormat
    columns : tuple of str
        The names of all its columns.
    chosen : tuple of str
        Those that are asked for, in the order asked.
    body, body_line : int
        Offset and 1-based line after the header (or byte-order mark).
    """

    name: str
    data: npt.NDArray[np.uint8]
    format: CsvFormat
    columns: tuple[str, ...]
    chosen: tuple[str, ...]
    body: int
    body_line: int


def open_text(
    data: npt.NDArray[np.uint8],
    name: str,
    format: CsvFormat,
    columns: Sequence[str | int] | None,
) -> CsvText:
    """Find the columns of a CSV file and the ones that `columns` chooses.

    Parameters
    ----------
    data : uint8 array
        All bytes of the file.
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
    head = data[:3].tobytes()
    if head[:2] in _UTF16_BOMS:
        raise SourceError(f"{name} is UTF-16 text, as its first bytes say; save it as UTF-8")
    begin = 3 if head == _UTF8_BOM else 0
    try:
        first = scan_rows(data, begin, 1, format.grammar, limit=1)
    except ScanProblem as problem:
        raise scan_error(problem, name, data, format) from None
    if not first.n_rows:
        raise SourceError(f"{name} is empty; a source needs at least one row of data")
    line, start = (int(position[0]) for position in first.locate([0]))
    record = squeezed(data[start : first.end], format.grammar)
    if format.header:
        names = _header_names(record, name, line, format)
        body, body_line = first.end, first.end_line
    else:
        names = _given_names(count_fields(record, format.grammar), columns, name)
        body, body_line = begin, 1
    chosen = _choose(names, columns, name)
    return CsvText(name, data, format, names, chosen, body, body_line)


def scan_error(
    problem: ScanProblem, name: str, data: npt.NDArray[np.uint8], format: CsvFormat
) -> SourceError:
    """Say for people what the scanner stopped at."""
    column = count_fields(data[problem.record : problem.offset + 1], format.grammar)
    where = f"{name} line {problem.line}, column {column}"
    if problem.nul:
        return SourceError(
            f"{where}: a NUL byte; the file is damaged, or in an encoding such as UTF-16: save it "
            "as UTF-8"
        )
    return SourceError(
        f"{where}: a quote opens here and never closes; close it, or write it twice inside quotes "
        "where it belongs to the value"
    )


def _header_names(
    record: npt.NDArray[np.uint8], name: str, line: int, format: CsvFormat
) -> tuple[str, ...]:
    """Read the names in the header."""
    try:
        reader = csv.reader(
            io.StringIO(record.tobytes().decode(format.encoding), newline=""),
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
    names: tuple[str, ...], asked: Sequence[str | int] | None, name: str
) -> tuple[str, ...]:
    """Return the names of the columns that are asked for."""
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
    if not chosen or len(set(chosen)) < len(chosen):
        raise SourceError(f"columns={list(asked)!r} must name each wanted column of {name} once")
    return tuple(chosen)
