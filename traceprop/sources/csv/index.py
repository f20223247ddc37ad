"""Where the rows of a CSV file stand, and what they hash to, known without keeping its text.

`index_file` passes over a file once: its digest, how many rows it has, where every 65,536th of them
stands, and the hash of each. `SparseIndex` finds any other row by reading on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.sources.csv.format import CsvFormat
from traceprop.sources.csv.stream import RowStream, Stretch, read_top, reading
from traceprop.sources.csv.text import CsvText, no_rows
from traceprop.sources.inputs.compression import expanding
from traceprop.sources.inputs.progress import wait_with_bar
from traceprop.sources.inputs.resolve import Input, Stamp

_CHUNK = 1 << 22
_MARK_ROWS = 1 << 16  # rows between two that are kept

Int64Array = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """What one passage over a CSV file gave.

    Attributes
    ----------
    sha256 : str
        Digest of the file's bytes as they are stored.
    stamp : Stamp
        The one it had before.
    index : SparseIndex
    text : CsvText
        What its top says; without its bytes.
    """

    sha256: str
    stamp: Stamp
    index: SparseIndex
    text: CsvText


def index_file(file: Input, format: CsvFormat, columns: Sequence[str | int] | None) -> IndexedFile:
    """Pass over a file, in constant memory but for its rows' hashes; its values aren't read.

    Raises
    ------
    SourceError
        Where its rows can't be told apart, or it has none.
    """
    stamp = file.stamp()
    with reading(file) as (stream, hashed), ThreadPoolExecutor(1) as pool:
        text, head = read_top(stream, file.name, format, columns)
        rows = RowStream(stream, text, head, text.body, line=text.body_line)
        marking = pool.submit(_marks, rows, text.encoding.width)
        marks, hashes = wait_with_bar(marking, lambda: hashed.position, hashed.size, file.name)
        if not hashes.size:
            raise no_rows(file.name)
        return IndexedFile(hashed.sha256(), stamp, SparseIndex(file, text, marks, hashes), text)


def _marks(rows: RowStream, width: int) -> tuple[Int64Array, UInt64Array]:
    """Row, unit and line of every stretch of `_MARK_ROWS` rows; and the hash of each row."""
    from numba_kernels.row_hashes import hash_spans

    marks: list[tuple[int, int, int]] = []
    hashes = [np.empty(0, np.uint64)]
    while (stretch := rows.take(_MARK_ROWS)) is not None:
        marks.append((stretch.row, stretch.unit, stretch.line))
        hashes.append(np.empty(stretch.n_rows, np.uint64))
        spans = width * stretch.starts, width * stretch.lengths
        hash_spans(stretch.content, *spans, 0, hashes[-1])
    return np.array(marks, np.int64), np.concatenate(hashes)


class SparseIndex:
    """Lines and offsets of the rows of a file, found by reading on from the nearest that is kept.

    It costs the hash of each row, and 24 bytes for each 65,536 rows. A compressed file is expanded
    up to the row asked for.

    Attributes
    ----------
    n_rows : int
    hashes : uint64 array, shape (n_rows,)
        As those of a `RowIndex`.
    """

    __slots__ = ("_file", "_marks", "_text", "hashes", "n_rows")

    def __init__(self, file: Input, text: CsvText, marks: Int64Array, hashes: UInt64Array) -> None:
        self._file, self._text = file, text
        self._marks = marks
        self.hashes = hashes
        self.n_rows = hashes.size

    def locate(self, rows: npt.ArrayLike) -> tuple[Int64Array, Int64Array]:
        """1-based physical line and unit at which each of `rows` begins.

        Parameters
        ----------
        rows : array_like of int
            Row numbers in [0, n_rows); the caller has checked them, and that the file is the same.
        """
        rows = np.asarray(rows, np.int64)
        lines, units = np.empty_like(rows), np.empty_like(rows)
        marks = np.searchsorted(self._marks[:, 0], rows, side="right") - 1
        with self._file.open() as stored, expanding(stored, self._file.name) as stream:
            reader: RowStream | None = None
            for mark in np.unique(marks):
                asked = np.flatnonzero(marks == mark)
                reader = self._reader_at(stream, mark, reader)
                stretch = self._take(reader, int(rows[asked].max()) + 1)
                within = rows[asked] - stretch.row
                lines[asked] = stretch.line + stretch.lines[within]
                units[asked] = stretch.unit + stretch.starts[within]
        return lines, units

    def _reader_at(self, stream: BinaryIO, mark: int, reader: RowStream | None) -> RowStream:
        """Return what reads on from a mark: anew where the text can be jumped in, else `reader`."""
        row, unit, line = (int(number) for number in self._marks[mark])
        if reader is not None and not stream.seekable():
            while reader.row < row:
                self._take(reader, min(row, reader.row + _MARK_ROWS))
            return reader
        position = unit * self._text.encoding.width
        if stream.seekable():
            stream.seek(position)
        else:
            while position and (part := stream.read(min(position, _CHUNK))):
                position -= len(part)
        return RowStream(stream, self._text, unit=unit, line=line, row=row)

    def _take(self, reader: RowStream, stop: int) -> Stretch:
        """Read up to row `stop`."""
        stretch = reader.take(stop - reader.row)
        if stretch is None or stretch.row + stretch.n_rows < stop:
            raise SourceError(f"{self._file.name} changed while it was read; look the row up again")
        return stretch
