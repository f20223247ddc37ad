"""Where each data row of a text file stands: its physical line and its byte offset.

An index costs 4 bytes a row, or 8 where rows and lines don't go in step (quoted newlines, blank
lines): offsets and lines are kept as 32-bit distances from the first row of their block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_BLOCK_ROWS = 1 << 16

Int64Array = npt.NDArray[np.int64]
UInt32Array = npt.NDArray[np.uint32]


class ScanProblem(Exception):
    """The text breaks off: a quote that never closes, or a NUL byte.

    Attributes
    ----------
    nul : bool
        A NUL byte; else a quote.
    offset, line : int
        Where it is: byte offset and 1-based line.
    record : int
        Byte offset at which its record begins.
    """

    def __init__(self, *, nul: bool, offset: int, line: int, record: int) -> None:
        super().__init__(f"{'NUL byte' if nul else 'unclosed quote'} in line {line}")
        self.nul, self.offset, self.line, self.record = nul, offset, line, record


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a scan must know of a delimited text.

    Attributes
    ----------
    delimiter, quote : int
        One byte each.
    skip_space : bool
        Spaces where a field begins don't belong to it; see `numba_kernels.lines.squeeze_spaces`.
    """

    delimiter: int
    quote: int
    skip_space: bool


class RowIndex:
    """Lines and byte offsets of the rows of a text, found by one scan.

    Attributes
    ----------
    n_rows : int
    longest : int
        Bytes of the longest row, line end included.
    end, end_line : int
        Offset and line after the last row that was scanned.
    """

    __slots__ = (
        "_block_lines",
        "_block_offsets",
        "_block_rows",
        "_lines",
        "_starts",
        "end",
        "end_line",
        "longest",
        "n_rows",
    )

    def __init__(self, blocks: list[_Block], longest: int, end: int, end_line: int) -> None:
        counts = np.array([block.starts.size for block in blocks], np.int64)
        self.n_rows = int(counts.sum())
        self.longest, self.end, self.end_line = longest, end, end_line
        self._block_rows: Int64Array = np.cumsum(counts) - counts
        self._block_offsets: Int64Array = np.array([block.offset for block in blocks], np.int64)
        self._block_lines: Int64Array = np.array([block.line for block in blocks], np.int64)
        self._starts: UInt32Array = _joined([block.starts for block in blocks])
        self._lines: UInt32Array | None = None
        if any(block.lines is not None for block in blocks):
            self._lines = _joined([block.explicit_lines() for block in blocks])

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the index takes."""
        per_row = self._starts.nbytes + (0 if self._lines is None else self._lines.nbytes)
        return per_row + 3 * self._block_rows.nbytes

    def locate(self, rows: npt.ArrayLike) -> tuple[Int64Array, Int64Array]:
        """1-based physical line and byte offset at which each of `rows` begins.

        Parameters
        ----------
        rows : array_like of int
            Row numbers in [0, n_rows); the caller has checked them.
        """
        rows = np.asarray(rows, np.int64)
        block = np.searchsorted(self._block_rows, rows, side="right") - 1
        offsets = self._block_offsets[block] + self._starts[rows]
        steps = rows - self._block_rows[block] if self._lines is None else self._lines[rows]
        return self._block_lines[block] + steps, offsets


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows in a stretch of the text; `lines` is None where each row is one line."""

    offset: int
    line: int
    starts: UInt32Array
    lines: UInt32Array | None

    def explicit_lines(self) -> UInt32Array:
        if self.lines is not None:
            return self.lines
        return np.arange(self.starts.size, dtype=np.uint32)


def _joined(parts: list[UInt32Array]) -> UInt32Array:
    return np.concatenate(parts) if parts else np.empty(0, np.uint32)


def scan_rows(
    data: npt.NDArray[np.uint8],
    position: int,
    line: int,
    grammar: Grammar,
    limit: int | None = None,
) -> RowIndex:
    """Index the rows of a text from a record boundary on.

    Parameters
    ----------
    data : uint8 array
        The whole text.
    position, line : int
        Byte offset and 1-based line to begin at.
    grammar : Grammar
    limit : int, optional
        Stop after this many rows.

    Raises
    ------
    ScanProblem
        At a NUL byte or a quote that never closes.
    """
    from numba_kernels import lines as kernel

    room = _BLOCK_ROWS if limit is None else limit
    starts, lines = np.empty(room, np.uint32), np.empty(room, np.uint32)
    in_step = np.arange(room, dtype=np.uint32)
    blocks: list[_Block] = []
    longest = found = 0
    while position < data.size and (limit is None or found < limit):
        count, position, line, offset, first_line, length, status = kernel.scan_records(
            data,
            position,
            line,
            grammar.delimiter,
            grammar.quote,
            grammar.skip_space,
            starts,
            lines,
        )
        if status != kernel.COMPLETE:
            record = offset + int(starts[count - 1])
            nul = status == kernel.NUL_BYTE
            raise ScanProblem(nul=nul, offset=position, line=line, record=record)
        if count:
            regular = np.array_equal(lines[:count], in_step[:count])
            own_lines = None if regular else lines[:count].copy()
            blocks.append(_Block(offset, first_line, starts[:count].copy(), own_lines))
        longest, found = max(longest, length), found + count
    return RowIndex(blocks, longest, position, line)


def squeezed(text: npt.NDArray[np.uint8], grammar: Grammar) -> npt.NDArray[np.uint8]:
    """Return the text without the spaces that the grammar skips; the text itself if it does not."""
    if not grammar.skip_space:
        return text
    from numba_kernels.lines import squeeze_spaces

    out = np.empty(text.size, np.uint8)
    return out[: squeeze_spaces(text, grammar.delimiter, grammar.quote, out)]


def first_ragged(
    text: npt.NDArray[np.uint8], grammar: Grammar, expected: int
) -> tuple[int, int] | None:
    """Return row and fields of the first row that hasn't `expected` fields; None if all have.

    `text` is squeezed already.
    """
    from numba_kernels import lines as kernel

    row, fields = kernel.first_ragged(text, 0, grammar.delimiter, grammar.quote, expected)
    return None if row < 0 else (int(row), int(fields))


def count_fields(record: npt.NDArray[np.uint8], grammar: Grammar) -> int:
    """Count the fields of one record, or of the beginning of one; 0 where it is empty."""
    found = first_ragged(squeezed(record, grammar), grammar, 0)
    return 0 if found is None else found[1]
