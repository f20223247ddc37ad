"""The numbers of a CSV text as one float64 matrix: plain cells are read by a kernel of our own.

A batch of rows at a time is hashed and read, in as many threads as there are cores. Promise: the
values are those of pyarrow, which are those of `float`. Batches with a cell that isn't plain go to
pyarrow; a text that begins with one, or that has many, is left to pyarrow whole, as is one that
pyarrow refuses: it then says where and why.
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.sources import columns as arrow_columns
from traceprop.sources.csv.arrow import CsvReader, check_count, column_types
from traceprop.sources.csv.format import QUOTE
from traceprop.sources.csv.text import CsvText, found_rows, index_rows
from traceprop.sources.identity.row_index import FoundRows, IndexedRows, RowIndex, index_found

_FEW = 4  # of so many batches, one may go to pyarrow
_THREADS = min(os.cpu_count() or 1, 8)  # more would wait for the one that finds the rows
_MAX_LENGTH = 2**32 - 1  # of a row, beyond which its length isn't known
_NUMBER_CHARACTERS = "0123456789+-.eE"
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

Matrix = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PlainCells:
    """What the kernel must know to read the cells of a text; see `numba_kernels.decimals`.

    Attributes
    ----------
    delimiter : int
    places : int64 array, shape (columns,)
        Column of the matrix that each column of the text goes to; -1 for those not wanted.
    missing : uint8 array
        The marks of missing values, joined.
    ends : int64 array
        Where each mark ends.
    """

    delimiter: int
    places: npt.NDArray[np.int64]
    missing: UInt8Array
    ends: npt.NDArray[np.int64]

    @classmethod
    def of(cls, text: CsvText) -> PlainCells | None:
        """Return the rules of a text; None where the kernel can't read by them."""
        format = text.format
        if (
            text.encoding.width > 1
            or format.skip_space
            or format.separator in _NUMBER_CHARACTERS
            or "" not in format.missing
            or any(_NUMBER.fullmatch(mark) for mark in format.missing)
            or any(text.declared.get(name, "float64") != "float64" for name in text.chosen)
        ):
            return None
        place = {name: k for k, name in enumerate(text.chosen)}
        marks = [mark.encode() for mark in format.missing if mark.isascii() and QUOTE not in mark]
        return cls(
            ord(format.separator),
            np.array([place.get(name, -1) for name in text.columns], np.int64),
            np.frombuffer(bytearray().join(marks), np.uint8),
            np.cumsum([len(mark) for mark in marks], dtype=np.int64),
        )

    def read(
        self,
        data: UInt8Array,
        starts: npt.NDArray[np.integer[Any]],
        lengths: npt.NDArray[np.integer[Any]],
        origin: int,
        out: Matrix,
    ) -> bool:
        """Read rows into `out`, shape (rows, chosen columns); False where one isn't plain."""
        from numba_kernels.decimals import read_rows

        marks = self.missing, self.ends
        rows = read_rows(data, starts, lengths, origin, self.delimiter, self.places, *marks, out)
        return bool(rows == len(out))


class NumberReader:
    """Reads a text's numbers and indexes its rows.

    Parameters
    ----------
    text : CsvText
    cells : PlainCells
    """

    def __init__(self, text: CsvText, cells: PlainCells) -> None:
        self._text, self._cells = text, cells
        self._done = 0

    def position(self) -> int:
        """Bytes that were read so far, or a little less: threads don't wait to count them."""
        return self._done

    def read(self) -> tuple[Matrix | None, RowIndex | None]:
        """Return the matrix and the index; None for what is left to others to find.

        Raises
        ------
        SourceError
            Where the text breaks off within a quote, or at a NUL byte.
        """
        finding = found_rows(self._text)
        first = next(finding, None)
        if first is None or not first.n_rows:
            return None, None
        if not self._read_plain(first, self._room(first.n_rows)):
            return None, None
        found = [first, *finding]
        longest = max(each.longest for each in found)
        if longest > _MAX_LENGTH:
            return None, None
        ends = np.cumsum([each.n_rows for each in found])
        out = self._room(ends[-1])
        parts: list[Matrix] = np.split(out, ends[:-1])
        indexed, odd = self._in_threads(found, parts)
        index = RowIndex(indexed, longest, found[-1].end, found[-1].end_line)
        if _FEW * len(odd) > len(found):
            return None, index
        try:
            for k in odd:
                parts[k][:] = self._by_arrow(found[k], int(ends[k]) - found[k].n_rows)
        except SourceError:
            return None, index  # the whole text's reading says it as it says it of any file
        return out, index

    def _room(self, n_rows: int) -> Matrix:
        return np.empty((n_rows, len(self._text.chosen)))

    def _read_plain(self, found: FoundRows, out: Matrix) -> bool:
        return self._cells.read(self._text.units, found.starts, found.lengths, found.offset, out)

    def _in_threads(
        self, found: list[FoundRows], parts: list[Matrix]
    ) -> tuple[list[IndexedRows], list[int]]:
        """Index and read all batches; returned too are the numbers of those that aren't plain."""
        odd: list[int] = []

        def work(k: int) -> IndexedRows:
            indexed = index_found(found[k], self._text.units)
            if _FEW * len(odd) <= len(found) and not self._read_plain(found[k], parts[k]):
                odd.append(k)
            self._done += found[k].end - found[k].offset
            return indexed

        # One thread loads or compiles the kernels: numba can't do that in two at once.
        begun = [work(0)]
        with ThreadPoolExecutor(_THREADS, "traceprop-numbers") as pool:
            return begun + list(pool.map(work, range(1, len(found)))), odd

    def _by_arrow(self, found: FoundRows, first_row: int) -> Matrix:
        """Read a batch that isn't plain."""
        text = self._text
        part = text.part(text.content[found.offset : found.end], found.line, first_row)
        types = column_types(text, numeric=True)
        table = CsvReader(part, types, cache(partial(index_rows, part))).read()
        check_count(part, table, found.n_rows)
        return arrow_columns.matrix(table)
