"""Cell maps along a line: what comes before, neighbours, spans, bits, and cells that are added to.

A line is the cells along one axis. Each map speaks of an input of a given shape and leaves the
other axes as they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from traceprop.lineage.cells.maps import CellMap, Mask, Numbers, Shape


class Running(CellMap):
    """A cell rests on those of its line up to itself, as in a running sum.

    Parameters
    ----------
    axis : int
    initial : bool
        The output has a first value in front that rests on nothing.
    """

    __slots__ = ("_axis", "_initial")

    def __init__(self, axis: int, initial: bool = False) -> None:
        self._axis = axis
        self._initial = initial

    def image(self, mask: Mask) -> Mask:
        """Add all before them."""
        line = np.moveaxis(mask, self._axis, 0)[1 if self._initial else 0 :]
        found = np.logical_or.accumulate(line[::-1], axis=0)[::-1]
        return np.moveaxis(found, 0, self._axis)

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """Add all after them."""
        cells = np.zeros(shape, dtype=np.bool_)
        into = np.moveaxis(cells, self._axis, 0)[1 if self._initial else 0 :]
        into[...] = np.logical_or.accumulate(np.moveaxis(mask, self._axis, 0), axis=0)
        return cells


class Window(CellMap):
    """Cell i of a line rests on cells i + low to i + high of the input's, as far as there are any.

    Parameters
    ----------
    shape : tuple of int
        The input's.
    """

    __slots__ = ("_axis", "_high", "_low", "_shape")

    def __init__(self, shape: Shape, axis: int, low: int, high: int) -> None:
        self._shape = shape
        self._axis = axis
        self._low = low
        self._high = high

    def image(self, mask: Mask) -> Mask:
        """Move the cells by each distance."""
        return self._moved(mask, self._shape, range(self._low, self._high + 1))

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """Move the cells back by each distance."""
        return self._moved(mask, shape, range(-self._high, -self._low + 1))

    def _moved(self, mask: Mask, shape: Shape, distances: range) -> Mask:
        cells = np.zeros(shape, dtype=np.bool_)
        into, line = np.moveaxis(cells, self._axis, 0), np.moveaxis(mask, self._axis, 0)
        for by in distances:
            start, stop = max(by, 0), min(len(into), len(line) + by)
            if start < stop:
                into[start:stop] |= line[start - by : stop - by]
        return cells


class Segments(CellMap):
    """Cell i of a line rests on cells `low[i]` to `high[i]` (excluded) of the input's.

    Parameters
    ----------
    shape : tuple of int
        The input's.
    """

    __slots__ = ("_axis", "_high", "_low", "_shape")

    def __init__(
        self, shape: Shape, axis: int, low: NDArray[np.integer], high: NDArray[np.integer]
    ) -> None:
        self._shape = shape
        self._axis = axis
        self._low = low
        self._high = high

    def image(self, mask: Mask) -> Mask:
        """All cells of these segments."""
        line = np.moveaxis(mask, self._axis, 0).astype(np.int64)
        change = np.zeros((self._shape[self._axis] + 1, *line.shape[1:]), dtype=np.int64)
        np.add.at(change, self._low, line)
        np.subtract.at(change, self._high, line)
        return np.moveaxis(np.cumsum(change, axis=0)[:-1] > 0, 0, self._axis)

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """Segments that have one of these cells."""
        line = np.moveaxis(mask, self._axis, 0)
        before = np.zeros((len(line) + 1, *line.shape[1:]), dtype=np.int64)
        np.cumsum(line, axis=0, out=before[1:])
        return np.moveaxis(before[self._high] > before[self._low], 0, self._axis)


class _Groups(CellMap):
    """Groups of `count` cells along a line.

    Parameters
    ----------
    shape : tuple of int
        The input's.
    """

    __slots__ = ("_axis", "_count", "_shape")

    def __init__(self, shape: Shape, axis: int, count: int) -> None:
        self._shape = shape
        self._axis = axis
        self._count = count


class Packed(_Groups):
    """Cell i of a line rests on `count` cells of the input's from `count` × i on."""

    __slots__ = ()

    def image(self, mask: Mask) -> Mask:
        """All cells of these groups."""
        return unpacked(mask, self._axis, self._count, self._shape[self._axis])

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """Join the cells of each group."""
        return packed(mask, self._axis, self._count)


class Unpacked(_Groups):
    """Cells `count` × i to `count` × (i + 1) of a line rest on the input's cell i, as bits do."""

    __slots__ = ()

    def image(self, mask: Mask) -> Mask:
        """Cells that have one of these in them."""
        cells = np.zeros(self._shape, dtype=np.bool_)
        found = np.moveaxis(packed(mask, self._axis, self._count), self._axis, 0)
        length = min(len(found), self._shape[self._axis])  # `count=` may ask for more, or less
        np.moveaxis(cells, self._axis, 0)[:length] = found[:length]
        return cells

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """All that is in these cells."""
        cells = np.zeros(shape, dtype=np.bool_)
        found = unpacked(mask, self._axis, self._count, shape[self._axis])
        length = found.shape[self._axis]
        np.moveaxis(cells, self._axis, 0)[:length] = np.moveaxis(found, self._axis, 0)
        return cells


def unpacked(mask: Mask, axis: int, count: int, length: int) -> Mask:
    """Repeat each cell of a line `count` times, up to `length` cells."""
    repeated = np.repeat(mask, count, axis=axis)
    return np.moveaxis(np.moveaxis(repeated, axis, 0)[:length], 0, axis)


def packed(mask: Mask, axis: int, count: int) -> Mask:
    """Join each `count` cells of a line; the last may be fewer."""
    line = np.moveaxis(mask, axis, 0)
    rest = -len(line) % count
    full = np.concatenate((line, np.zeros((rest, *line.shape[1:]), dtype=np.bool_)))
    groups = full.reshape(len(full) // count, count, *line.shape[1:])
    return np.moveaxis(np.asarray(np.any(groups, axis=1)), 0, axis)


class Padded(CellMap):
    """Cells put on to a line rest on all of it; the line's own stay.

    Parameters
    ----------
    shape : tuple of int
        The input's.
    before : int
        How many cells are put in front.
    """

    __slots__ = ("_axis", "_before", "_shape")

    def __init__(self, shape: Shape, axis: int, before: int) -> None:
        self._shape = shape
        self._axis = axis
        self._before = before

    def image(self, mask: Mask) -> Mask:
        """Take the line for what was put on."""
        line = np.moveaxis(mask, self._axis, 0)
        end = self._before + self._shape[self._axis]
        put_on = np.any(line[: self._before], axis=0) | np.any(line[end:], axis=0)
        return np.moveaxis(line[self._before : end] | put_on, 0, self._axis)

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """Take what was put on for any cell of the line."""
        line = np.moveaxis(mask, self._axis, 0)
        cells = np.empty(shape, dtype=np.bool_)
        into = np.moveaxis(cells, self._axis, 0)
        into[...] = np.any(line, axis=0)
        into[self._before : self._before + len(line)] = line
        return cells


class Added(CellMap):
    """Cells of an input that are added to others, as by `np.add.at`: many may land in one.

    Parameters
    ----------
    targets : integer array
        The places, in C order, of the cells that each landing goes to.
    shape : tuple of int
        The input's; it broadcasts to the landings.
    """

    __slots__ = ("_shape", "_targets")

    def __init__(self, targets: Numbers, shape: Shape) -> None:
        self._targets = targets
        self._shape = shape

    def image(self, mask: Mask) -> Mask:
        """Cells that landed in these."""
        landed = mask.reshape(-1)[self._targets]
        extra = landed.ndim - len(self._shape)
        single = tuple(extra + k for k, n in enumerate(self._shape) if n == 1)
        joined = np.any(landed, axis=(*range(extra), *single), keepdims=True)
        return np.asarray(joined).reshape(self._shape)

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """Cells in which these landed."""
        cells = np.zeros(shape, dtype=np.bool_)
        cells.reshape(-1)[self._targets[np.broadcast_to(mask, self._targets.shape)]] = True
        return cells
