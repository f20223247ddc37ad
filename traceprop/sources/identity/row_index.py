"""Where each data row of a text file stands, its physical line and byte offset, and its hash.

The hash costs 8 bytes a row. Line and offset cost one or two more: blocks of 256 rows keep how much
each row is longer than the block's shortest, in as few bits as that takes. Two bytes tell rows of
one line apart whose lengths differ by up to 64 KiB, or rows of up to 8 KiB on up to 8 lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_BLOCK_ROWS = 256  # a row is found by adding up its block's gaps
_BATCH_ROWS = 16 * _BLOCK_ROWS  # hashed while they are still in the cache

Int64Array = npt.NDArray[np.int64]
UInt8Array = npt.NDArray[np.uint8]
UInt32Array = npt.NDArray[np.uint32]
UInt64Array = npt.NDArray[np.uint64]


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
        Spaces where a field begins don't belong to it; see `numba_kernels.lines.tidy`.
    comment : int
        The byte with which lines begin that are no rows; 0 for none.
    """

    delimiter: int
    quote: int
    skip_space: bool
    comment: int = 0


class RowIndex:
    """Lines, byte offsets and hashes of the rows of a text, found by one scan.

    Attributes
    ----------
    n_rows : int
    hashes : uint64 array, shape (n_rows,)
        XXH64, seed 0, of each row's bytes without its line end.
    longest : int
        Bytes of the longest row, line end included.
    end, end_line : int
        Offset and line after the last row that was scanned.
    """

    __slots__ = ("_blocks", "_packed", "end", "end_line", "hashes", "longest", "n_rows")

    def __init__(self, batches: list[IndexedRows], longest: int, end: int, end_line: int) -> None:
        self.longest, self.end, self.end_line = longest, end, end_line
        self.hashes: UInt64Array = _joined([batch.hashes for batch in batches], np.uint64)
        self.n_rows = self.hashes.size
        self._packed: UInt8Array = _joined([batch.packed for batch in batches], np.uint8)
        self._blocks = _joined_blocks(batches)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the index takes."""
        return self.hashes.nbytes + self._packed.nbytes + self._blocks.nbytes

    def locate(self, rows: npt.ArrayLike) -> tuple[Int64Array, Int64Array]:
        """1-based physical line and byte offset at which each of `rows` begins.

        Parameters
        ----------
        rows : array_like of int
            Row numbers in [0, n_rows); the caller has checked them.
        """
        from numba_kernels.row_gaps import find_rows

        rows = np.ascontiguousarray(rows, np.int64)
        lines, offsets = np.empty(rows.size, np.int64), np.empty(rows.size, np.int64)
        find_rows(rows, self._packed, self._blocks, lines, offsets)
        return lines, offsets


@dataclass(frozen=True, slots=True)
class FoundRows:
    """Successive rows of a text that a scan found.

    Attributes
    ----------
    offset, line : int
        Where the first one begins; for none, where the scan began.
    starts, lines : uint32 arrays, shape (n,)
        Where each begins, counted from there.
    lengths : uint32 array, shape (n,)
        Units of each without its line end, modulo 2³².
    longest : int
        Units of the longest, line end included.
    end, end_line : int
        Where the text goes on after them.
    """

    offset: int
    line: int
    starts: UInt32Array
    lines: UInt32Array
    lengths: UInt32Array
    longest: int
    end: int
    end_line: int

    @property
    def n_rows(self) -> int:
        """How many there are."""
        return self.starts.size


@dataclass(frozen=True, slots=True)
class IndexedRows:
    """Some successive rows: their hashes and what `numba_kernels.row_gaps` made of their starts."""

    hashes: UInt64Array
    packed: UInt8Array
    blocks: Int64Array


def index_found(found: FoundRows, data: UInt8Array, width: int = 1) -> IndexedRows:
    """Hash rows of a text whose units have `width` bytes, and pack where they begin."""
    from numba_kernels import row_gaps
    from numba_kernels.row_hashes import hash_spans

    hashes = np.empty(found.n_rows, np.uint64)
    if width == 1:
        hash_spans(data, found.starts, found.lengths, found.offset, hashes)
    else:
        parts = found.starts, found.lengths
        spans = (np.multiply(part, width, dtype=np.int64) for part in parts)
        hash_spans(data, *spans, width * found.offset, hashes)
    packed = np.empty(row_gaps.BYTES_PER_ROW * found.n_rows, np.uint8)
    blocks = np.empty((-(-found.n_rows // _BLOCK_ROWS), len(row_gaps.FIELDS)), np.int64)
    used = row_gaps.pack_rows(found.starts, found.lines, _BLOCK_ROWS, packed, blocks)
    blocks[:, row_gaps.OFFSET] += found.offset
    blocks[:, row_gaps.LINE] += found.line
    return IndexedRows(hashes, packed[:used].copy(), blocks)


def _joined(parts: list[npt.NDArray[Any]], dtype: type) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def _joined_blocks(batches: list[IndexedRows]) -> Int64Array:
    """Put the descriptions of all blocks together, counted from the first batch on."""
    from numba_kernels import row_gaps

    row = place = 0
    for batch in batches:
        batch.blocks[:, row_gaps.ROW] += row
        batch.blocks[:, row_gaps.PLACE] += place
        row, place = row + batch.hashes.size, place + batch.packed.size
    if not batches:
        return np.empty((0, len(row_gaps.FIELDS)), np.int64)
    return np.concatenate([batch.blocks for batch in batches])


def scan_rows(
    data: npt.NDArray[np.uint8],
    position: int,
    line: int,
    grammar: Grammar,
    limit: int | None = None,
    wide: tuple[UInt8Array, int] | None = None,
) -> RowIndex:
    """Index the rows of a text from a record boundary on.

    Parameters
    ----------
    data : uint8 array
        The whole text, in units of one byte.
    position, line : int
        Byte offset and 1-based line to begin at.
    grammar : Grammar
    limit : int, optional
        Stop after this many rows.
    wide : (uint8 array, int), optional
        The text as the file has it and the bytes of a unit, where that is more than one: rows are
        hashed as they stand in the file.

    Raises
    ------
    ScanProblem
        At a NUL byte or a quote that never closes.
    """
    parts: list[IndexedRows] = []
    longest = 0
    for found in find_rows(data, position, line, grammar, limit):
        if found.n_rows:
            parts.append(index_found(found, *(wide or (data, 1))))
        longest = max(longest, found.longest)
        position, line = found.end, found.end_line
    return RowIndex(parts, longest, position, line)


def find_rows(
    data: npt.NDArray[np.uint8],
    position: int,
    line: int,
    grammar: Grammar,
    limit: int | None = None,
) -> Iterator[FoundRows]:
    """Find the rows of a text, a few thousand at a time; parameters and errors of `scan_rows`."""
    from numba_kernels import lines as kernel

    left = data.size if limit is None else limit
    while position < data.size and left > 0:
        room = min(left, _BATCH_ROWS)
        starts, lines, lengths = (np.empty(room, np.uint32) for _ in range(3))
        count, position, line, offset, first_line, longest, status = kernel.scan_records(
            data,
            position,
            line,
            grammar.delimiter,
            grammar.quote,
            grammar.skip_space,
            grammar.comment,
            starts,
            lines,
            lengths,
        )
        if status != kernel.COMPLETE:
            record = offset + int(starts[count - 1])
            nul = status == kernel.NUL_BYTE
            raise ScanProblem(nul=nul, offset=position, line=line, record=record)
        spans = starts[:count], lines[:count], lengths[:count]
        yield FoundRows(offset, first_line, *spans, longest, position, line)
        left -= count


def tidied(text: npt.NDArray[np.uint8], grammar: Grammar) -> npt.NDArray[np.uint8]:
    """Return the text without skipped spaces and comments; the text itself if it has neither."""
    if not grammar.skip_space and not grammar.comment:
        return text
    from numba_kernels.lines import tidy

    out = np.empty(text.size, np.uint8)
    marks = grammar.delimiter, grammar.quote, grammar.skip_space, grammar.comment
    return out[: tidy(text, *marks, out)]


def first_ragged(
    text: npt.NDArray[np.uint8], grammar: Grammar, expected: int
) -> tuple[int, int] | None:
    """Return row and fields of the first row that hasn't `expected` fields; None if all have.

    `text` is tidied already.
    """
    from numba_kernels import lines as kernel

    row, fields = kernel.first_ragged(text, 0, grammar.delimiter, grammar.quote, expected)
    return None if row < 0 else (int(row), int(fields))


def count_fields(record: npt.NDArray[np.uint8], grammar: Grammar) -> int:
    """Count the fields of one record, or of the beginning of one; 0 where it is empty."""
    found = first_ragged(tidied(record, grammar), grammar, 0)
    return 0 if found is None else found[1]
