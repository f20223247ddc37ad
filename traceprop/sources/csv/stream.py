"""A CSV file's rows as it is read, in stretches of whole rows: memory doesn't grow with the file.

`RowStream` cuts the text between rows, wherever the blocks of the file end. Promise: the stretches
say what row, line and offset they begin at, as they are in the whole file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.sources.csv.encoding import detect_encoding
from traceprop.sources.csv.format import CsvFormat
from traceprop.sources.csv.text import CsvText, cut_off, open_text, scan_error, skip_lines
from traceprop.sources.identity.row_index import ScanProblem, scan_rows
from traceprop.sources.inputs.compression import expanding
from traceprop.sources.inputs.resolve import Input

_CHUNK = 1 << 22
_LONGEST_ROW = 1 << 28  # bytes; a longer row is taken for a quote that never closes
_SCAN_ROWS = 1 << 16  # rows that one scan looks for
_NOTHING = np.empty(0, np.uint8)

Int64Array = npt.NDArray[np.int64]
UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Successive rows of a text.

    Attributes
    ----------
    content : uint8 array
        Their text, as the file has it.
    row, unit, line : int
        What row they begin with; unit of the text and 1-based line at which the stretch begins.
    starts, lines : int64 arrays, shape (n_rows,)
        Where each row begins, less `unit` and `line`.
    lengths : int64 array, shape (n_rows,)
        Units of each row, without its line end.
    """

    content: UInt8Array
    row: int
    unit: int
    line: int
    starts: Int64Array
    lines: Int64Array
    lengths: Int64Array

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return self.starts.size


class RowStream:
    """Rows of a text, from a place where one begins.

    Parameters
    ----------
    file : binary file
        The text from after `head` on.
    text : CsvText
        The top of the file.
    head : bytes
        What was read of the text already.
    at : int
        Unit within `head` at which to begin.
    unit, line, row : int
        What unit of the text `head` begins with; line and row to begin at.

    Attributes
    ----------
    row : int
        The row that `take` begins with next.
    """

    def __init__(
        self,
        file: BinaryIO,
        text: CsvText,
        head: bytes = b"",
        at: int = 0,
        *,
        unit: int = 0,
        line: int,
        row: int = 0,
    ) -> None:
        self._file, self._text = file, text
        self._content = self._units = _NOTHING  # the window: text that was read and not passed on
        self._rest = b""  # a unit's first bytes
        self._begin, self._unit, self._line, self.row = at, unit, line, row
        self._ended = False
        self._append(head)

    def take(self, most: int) -> Stretch | None:
        """Return the next rows, `most` where there are as many; None at the end.

        Raises
        ------
        SourceError
            Where the text breaks off, or a row is too long to be one.
        """
        starts: list[Int64Array] = []
        lines: list[Int64Array] = []
        lengths: list[Int64Array] = []
        found, passed, line = 0, 0, self._line  # `passed` units of the window are scanned
        while found < most:
            wanted = min(most - found, _SCAN_ROWS)
            count, reached, reached_line, (offsets, numbers, sizes), broken = self._scan(
                self._begin + passed, line, wanted
            )
            starts.append(offsets - self._begin)
            lines.append(numbers - self._line)
            lengths.append(sizes)
            found += count
            passed, line = reached - self._begin, reached_line
            if count < wanted and not self._extend(passed, line):
                if broken is not None:
                    raise scan_error(broken, self._text.name, self._units, self._text.format)
                break
        if not found:
            return None
        width = self._text.encoding.width
        end = self._begin + passed
        stretch = Stretch(
            self._content[self._begin * width : end * width].copy(),
            self.row,
            self._unit + self._begin,
            self._line,
            np.concatenate(starts),
            np.concatenate(lines),
            np.concatenate(lengths),
        )
        self._begin, self._line, self.row = end, line, self.row + found
        return stretch

    def _scan(
        self, position: int, line: int, most: int
    ) -> tuple[int, int, int, tuple[Int64Array, ...], ScanProblem | None]:
        """Find whole rows: how many, where to go on; starts, lines, lengths; what broke off."""
        from numba_kernels import lines as kernel

        grammar = self._text.format.grammar
        stop = self._units.size if self._ended else kernel.last_line_end(self._units)
        if position >= stop:
            return 0, position, line, (np.empty(0, np.int64),) * 3, None
        starts, numbers, lengths = (np.empty(most, np.uint32) for _ in range(3))
        count, reached, reached_line, offset, first_line, _, status = kernel.scan_records(
            self._units[:stop],
            position,
            line,
            grammar.delimiter,
            grammar.quote,
            grammar.skip_space,
            grammar.comment,
            starts,
            numbers,
            lengths,
        )
        found = starts[:count].astype(np.int64) + offset
        rows_lines = numbers[:count].astype(np.int64) + first_line
        broken = None
        if status != kernel.COMPLETE:
            nul = status == kernel.NUL_BYTE
            broken = ScanProblem(nul=nul, offset=reached, line=reached_line, record=int(found[-1]))
            if nul:
                raise scan_error(broken, self._text.name, self._units, self._text.format)
            count, reached, reached_line = count - 1, int(found[-1]), int(rows_lines[-1])
        rows = found[:count], rows_lines[:count], lengths[:count].astype(np.int64)
        return count, reached, reached_line, rows, broken

    def _extend(self, passed: int, line: int) -> bool:
        """Read on, dropping the text that was passed on already; False once the file has ended."""
        if self._ended:
            return False
        width = self._text.encoding.width
        if (self._units.size - self._begin - passed) * width > _LONGEST_ROW:
            raise SourceError(
                f"{self._text.name} line {line}: a row of over {_LONGEST_ROW >> 20} MiB begins "
                "here; does a quote open in it that never closes?"
            )
        part = self._file.read(max(_CHUNK, (self._units.size - self._begin) * width))
        self._ended = not part
        self._append(part)
        if self._ended and self._rest:
            raise cut_off(self._text.name, self._text.format)
        return True

    def _append(self, part: bytes) -> None:
        """Put text at the end of the window, and drop what was passed on from its beginning."""
        encoding = self._text.encoding
        data = self._rest + part
        whole = len(data) - len(data) % encoding.width
        self._rest = data[whole:]
        passed_on = min(self._begin, self._units.size)
        self._begin, self._unit = self._begin - passed_on, self._unit + passed_on
        kept = self._content[passed_on * encoding.width :]
        self._content = np.concatenate([kept, np.frombuffer(data, np.uint8, whole)])
        self._units = encoding.units(self._content)


@contextmanager
def reading(file: Input) -> Iterator[tuple[BinaryIO, HashedFile]]:
    """Open a file's text, and what hashes its stored bytes as they are read for that."""
    with file.open() as stored:
        hashed = HashedFile(stored)
        with expanding(cast("BinaryIO", hashed), file.name) as text:
            yield text, hashed


class HashedFile:
    """A file that is read from the beginning to the end, and hashed meanwhile."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, 2)
        self.seek(0)

    def seek(self, position: int) -> None:
        """Begin again: `position` is 0."""
        self._file.seek(position)
        self._hash = hashlib.sha256()
        self.position = position

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""
        data = self._file.read(size)
        self._hash.update(data)
        self.position += len(data)
        return data

    def sha256(self) -> str:
        """Read what is left, and return the digest of all bytes."""
        while self.read(_CHUNK):
            pass
        return self._hash.hexdigest()

    def close(self) -> None:
        """Leave it open: what expands the bytes closes its file, but some may not be read yet."""


def read_top(
    stream: BinaryIO, name: str, format: CsvFormat, columns: Sequence[str | int] | None
) -> tuple[CsvText, bytes]:
    """Read as much of a text as shows its columns; that beginning is returned too."""
    head = b""
    while part := stream.read(max(_CHUNK, len(head))):
        head += part
        if len(head) > _LONGEST_ROW or _shows_a_row(head, name, format):
            break
    width = detect_encoding(head[:4], format.encoding, name).width
    whole = len(head) if not part else len(head) - len(head) % width
    text = open_text(np.frombuffer(bytearray(head[:whole]), np.uint8), name, format, columns)
    return text.without_bytes(), head


def _shows_a_row(head: bytes, name: str, format: CsvFormat) -> bool:
    encoding = detect_encoding(head[:4], format.encoding, name)
    whole = len(head) - len(head) % encoding.width
    units = encoding.units(np.frombuffer(bytearray(head[:whole]), np.uint8))
    try:
        first = scan_rows(units, *skip_lines(units, encoding, format), format.grammar, limit=1)
    except ScanProblem as problem:
        return problem.nul
    return first.n_rows == 1 and first.end < units.size


def top_of_file(file: Input, format: CsvFormat, columns: Sequence[str | int] | None) -> CsvText:
    """Read only what shows a file's columns; see `open_text`."""
    with reading(file) as (stream, _):
        return read_top(stream, file.name, format, columns)[0]
