"""Row starts kept as bits: what each row is longer than the shortest one of its block.

A block has one offset and one line; of each row after it only the gap to the next row is kept, less
the smallest gap of the block, in as many bits as the block's largest needs ("frame of reference",
Goldstein, Ramakrishnan & Shaft 1998). Rows of numbers take 5 to 8 bits each, lines none as long as
every row is one.

The bits of a block run from the lowest bit of its first byte on: row by row, gap then lines.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: What a block is described by, one int64 each.
FIELDS = ("row", "offset", "line", "place", "gap", "gap_bits", "step", "step_bits")
ROW, OFFSET, LINE, PLACE, GAP, GAP_BITS, STEP, STEP_BITS = range(len(FIELDS))
BYTES_PER_ROW = 8  # at most: both differences have up to 32 bits


@njit(cache=True, nogil=True)
def _smallest_and_bits(positions):
    """Smallest difference of successive positions, and the bits that the largest has above it."""
    if positions.size < 2:
        return np.int64(0), 0
    smallest = largest = np.int64(positions[1]) - np.int64(positions[0])
    for i in range(2, positions.size):
        gap = np.int64(positions[i]) - np.int64(positions[i - 1])
        smallest, largest = min(smallest, gap), max(largest, gap)
    bits = 0
    while (largest - smallest) >> bits:
        bits += 1
    return smallest, bits


@njit(cache=True, nogil=True)
def pack_rows(
    starts: NDArray[np.uint32],
    lines: NDArray[np.uint32],
    block_rows: int,
    packed: NDArray[np.uint8],
    blocks: NDArray[np.int64],
) -> int:
    """Pack the starts of rows, block by block.

    Parameters
    ----------
    starts, lines : uint32 arrays, shape (n,)
        Non-decreasing offset and line of each row.
    block_rows : int
        Rows in a block; the last one may have fewer.
    packed : uint8 array, at least BYTES_PER_ROW * n
        Receives the bits.
    blocks : int64 array, shape (ceil(n / block_rows), len(FIELDS))
        Receives each block's description; `place` is where its bits begin in `packed`.

    Returns
    -------
    int
        Bytes used of `packed`.
    """
    place = 0
    for b in range(blocks.shape[0]):
        first = b * block_rows
        stop = min(first + block_rows, starts.size)
        gap, gap_bits = _smallest_and_bits(starts[first:stop])
        step, step_bits = _smallest_and_bits(lines[first:stop])
        blocks[b, ROW], blocks[b, PLACE] = first, place
        blocks[b, OFFSET], blocks[b, LINE] = starts[first], lines[first]
        blocks[b, GAP], blocks[b, GAP_BITS] = gap, gap_bits
        blocks[b, STEP], blocks[b, STEP_BITS] = step, step_bits
        held, count = np.uint64(0), 0
        for i in range(first, stop - 1):
            above = np.int64(starts[i + 1]) - np.int64(starts[i]) - gap
            held |= np.uint64(above) << np.uint64(count)
            count += gap_bits
            while count >= 8:
                packed[place] = held & np.uint64(0xFF)
                held >>= np.uint64(8)
                count -= 8
                place += 1
            above = np.int64(lines[i + 1]) - np.int64(lines[i]) - step
            held |= np.uint64(above) << np.uint64(count)
            count += step_bits
            while count >= 8:
                packed[place] = held & np.uint64(0xFF)
                held >>= np.uint64(8)
                count -= 8
                place += 1
        if count:
            packed[place] = held & np.uint64(0xFF)
            place += 1
    return place


@njit(cache=True, nogil=True)
def find_rows(
    rows: NDArray[np.int64],
    packed: NDArray[np.uint8],
    blocks: NDArray[np.int64],
    lines: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> None:
    """Line and offset of rows; rows in ascending order cost one pass over their blocks.

    Parameters
    ----------
    rows : int64 array, shape (n,)
        Each within the rows that were packed.
    packed, blocks : ndarray
        As `pack_rows` filled them.
    lines, offsets : int64 arrays, shape (n,)
        Receive the answer.
    """
    ends = blocks[1:, ROW]
    b, at = -1, np.int64(0)
    line = offset = gap = step = np.int64(0)
    place, gap_bits, step_bits, count = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    held = np.uint64(0)
    for k in range(rows.size):
        row = rows[k]
        if b < 0 or row < at or (b < ends.size and row >= ends[b]):
            b = np.searchsorted(ends, row, side="right")
            at, offset, line = blocks[b, ROW], blocks[b, OFFSET], blocks[b, LINE]
            place, gap, step = blocks[b, PLACE], blocks[b, GAP], blocks[b, STEP]
            gap_bits, step_bits = blocks[b, GAP_BITS], blocks[b, STEP_BITS]
            held, count = np.uint64(0), np.int64(0)
        while at < row:
            while count < gap_bits:
                held |= np.uint64(packed[place]) << np.uint64(count)
                place += 1
                count += 8
            offset += gap + np.int64(held & ((np.uint64(1) << np.uint64(gap_bits)) - np.uint64(1)))
            held >>= np.uint64(gap_bits)
            count -= gap_bits
            while count < step_bits:
                held |= np.uint64(packed[place]) << np.uint64(count)
                place += 1
                count += 8
            line += step + np.int64(held & ((np.uint64(1) << np.uint64(step_bits)) - np.uint64(1)))
            held >>= np.uint64(step_bits)
            count -= step_bits
            at += 1
        lines[k], offsets[k] = line, offset
