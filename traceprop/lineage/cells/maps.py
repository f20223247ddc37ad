"""Cell maps: which cells of an input some cells of the output rest on, and the other way round.

A set of an array's cells is a boolean mask of its shape. The `image` of a mask over the output is
the cells of the input that it rests on, the `preimage` of a mask over the input the cells of the
output that rest on it. Nearly all of NumPy needs one kind of map: give every axis a label, and an
input's cell belongs to the output's cells that agree with it on the labels that both have
(`Labelled`). Broadcasting, reductions, sorts along an axis and sums of products are that; what
moves cells is read off cell numbers (`Numbered`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from traceprop.lineage.rowmap import RowMap
from traceprop.lineage.rowset import RowSet

Mask = NDArray[np.bool_]
Numbers = NDArray[np.int64]
Shape = tuple[int, ...]


class CellMap(ABC):
    """Which cells of one input each cell of an output rests on."""

    __slots__ = ()

    @abstractmethod
    def image(self, mask: Mask) -> Mask:
        """Cells of the input that these cells of the output rest on."""

    @abstractmethod
    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """Cells of the output, which has `shape`, that rest on these cells of the input."""


Refined = Mapping[int, CellMap]
"""Input number → its cell map; inputs that are left out are answered by their row maps."""


class Same(CellMap):
    """Each cell rests on the one in its place."""

    __slots__ = ()

    def image(self, mask: Mask) -> Mask:
        """Return the same cells."""
        return mask

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """Return the same cells."""
        return mask


SAME: Final = Same()


class NoCells(CellMap):
    """Nothing of an input of `shape` flows in."""

    __slots__ = ("_shape",)

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def image(self, mask: Mask) -> Mask:
        """No cells."""
        return np.zeros(self._shape, dtype=np.bool_)

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """No cells."""
        return np.zeros(shape, dtype=np.bool_)


class Labelled(CellMap):
    """Cells that agree on labels of axes.

    Parameters
    ----------
    out : sequence
        Labels of the output's last axes, each once; axes before them belong to nobody.
    own : sequence
        Labels of the input's axes, each once. One that the output lacks was summed over, so that
        the whole axis flows in. An axis of length 1 is broadcast.
    shape : tuple of int
        The input's.
    """

    __slots__ = ("_out", "_own", "_shape")

    def __init__(self, out: Sequence[Hashable], own: Sequence[Hashable], shape: Shape) -> None:
        self._out = list(out)
        self._own = list(own)
        self._shape = shape

    def image(self, mask: Mask) -> Mask:
        """Join what the input lacks, spread over what the output lacks."""
        return _relabelled(mask, self._out, self._own, self._shape)

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """Join and spread the other way round."""
        return _relabelled(mask, self._own, self._out, shape)


def _relabelled(mask: Mask, labels: list[Hashable], wanted: list[Hashable], shape: Shape) -> Mask:
    """Turn a mask whose last axes have `labels` into one of `shape`, whose last have `wanted`."""
    extra = mask.ndim - len(labels)
    lost = [extra + k for k, label in enumerate(labels) if label not in wanted]
    left = [label for label in labels if label in wanted]
    rest = _any(mask, (*range(extra), *lost))
    rest = rest.transpose([left.index(label) for label in wanted if label in left])
    front = len(shape) - len(wanted)
    free = [front + k for k, label in enumerate(wanted) if label not in left]
    rest = np.expand_dims(rest, (*range(front), *free))
    single = tuple(k for k, n in enumerate(shape) if n == 1)
    return np.broadcast_to(_any(rest, single, kept=True), shape)


def _any(mask: Mask, axes: Shape, kept: bool = False) -> Mask:
    """Join a mask along axes; of no dimension, it stays an array."""
    if not axes:
        return mask
    joined: Mask = np.asarray(np.any(mask, axis=axes, keepdims=kept))
    return joined


def broadcasting(shape: Shape, out: Shape) -> CellMap | None:
    """Map of an input of `shape` that is broadcast to `out`; None if it can't have been."""
    if shape == out:
        return SAME
    extra = len(out) - len(shape)
    if extra < 0 or any(n not in (1, m) for n, m in zip(shape, out[extra:], strict=True)):
        return None
    return Labelled(range(len(out)), range(extra, len(out)), shape)


def over_axes(shape: Shape, axes: Sequence[int], kept: bool) -> CellMap:
    """Map of an input that is worked on along `axes` as a whole, as a reduction does.

    Parameters
    ----------
    axes : sequence of int
        Counted from the front.
    kept : bool
        The output still has these axes, of whatever length.
    """
    own = range(len(shape))
    out = [None if k in axes else k for k in own if kept or k not in axes]
    labels = [("worked on", k) if label is None else label for k, label in enumerate(out)]
    return Labelled(labels, own, shape)


class Reshaped(CellMap):
    """Each cell rests on the one in its place in C order, in an input of `shape`."""

    __slots__ = ("_shape",)

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def image(self, mask: Mask) -> Mask:
        """Return the same cells in the input's shape."""
        return mask.reshape(self._shape)

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """Return the same cells in the output's shape."""
        return mask.reshape(shape)


class Numbered(CellMap):
    """What moves cells: `numbers` says for each cell of the output which one it was.

    Parameters
    ----------
    numbers : integer array
        Of the output's shape. Cells of the input are numbered from `start`; others are not its.
    shape : tuple of int
        The input's.
    """

    __slots__ = ("_numbers", "_shape", "_start")

    def __init__(self, numbers: Numbers, start: int, shape: Shape) -> None:
        self._numbers = numbers
        self._start = start
        self._shape = shape

    def image(self, mask: Mask) -> Mask:
        """Look up where the cells were."""
        size = int(np.prod(self._shape))
        found = self._numbers[mask] - self._start
        cells = np.zeros(size, dtype=np.bool_)
        cells[found[(found >= 0) & (found < size)]] = True
        return cells.reshape(self._shape)

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """Look up which cells were one of these."""
        places = self._numbers - self._start
        own = (places >= 0) & (places < mask.size)
        found = np.zeros(places.shape, dtype=np.bool_)
        found[own] = mask.reshape(-1)[places[own]]
        return found.reshape(shape)


class Rowwise(CellMap):
    """Answer for what has no cell map: all cells of the rows that the row map gives. Sound."""

    __slots__ = ("_rows", "_shape")

    def __init__(self, rows: RowMap, shape: Shape) -> None:
        self._rows = rows
        self._shape = shape

    def image(self, mask: Mask) -> Mask:
        """All cells of the rows that the rows of these rest on."""
        return _whole_rows(self._rows.image(_rows_of(mask)), self._shape)

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """All cells of the rows that rest on the rows of these."""
        return _whole_rows(self._rows.preimage(_rows_of(mask)), shape)


def _rows_of(mask: Mask) -> RowSet:
    return RowSet.from_mask(np.atleast_1d(_any(mask, tuple(range(1, mask.ndim)))))


def _whole_rows(rows: RowSet, shape: Shape) -> Mask:
    cells = rows.mask(shape[0] if shape else 1)
    return np.broadcast_to(cells.reshape(shape[:1] + (1,) * (len(shape) - 1)), shape)


class Chain(CellMap):
    """Map of an input of something in between, which has the shape `between`."""

    __slots__ = ("_between", "_first", "_then")

    def __init__(self, first: CellMap, between: Shape, then: CellMap) -> None:
        self._first = first
        self._between = between
        self._then = then

    def image(self, mask: Mask) -> Mask:
        """Through both."""
        return self._then.image(self._first.image(mask))

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """Back through both."""
        return self._first.preimage(self._then.preimage(mask, self._between), shape)


class Either(CellMap):
    """Cells that flow in by one way or another."""

    __slots__ = ("_ways",)

    def __init__(self, *ways: CellMap) -> None:
        self._ways = ways

    def image(self, mask: Mask) -> Mask:
        """By any way."""
        return np.asarray(np.any([way.image(mask) for way in self._ways], axis=0))

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """By any way."""
        return np.asarray(np.any([way.preimage(mask, shape) for way in self._ways], axis=0))


class Everywhere(CellMap):
    """Some cells of the input flow into every cell of the output."""

    __slots__ = ("_cells",)

    def __init__(self, cells: Mask) -> None:
        self._cells = cells

    def image(self, mask: Mask) -> Mask:
        """Return these cells for any cell."""
        return self._cells if mask.any() else np.zeros_like(self._cells)

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """All cells, for any of these."""
        return np.full(shape, bool((mask & self._cells).any()))


def normal_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Axes as the user named them, counted from the front; None names all."""
    if axis is None:
        return tuple(range(ndim))
    named = axis if isinstance(axis, (tuple, list)) else (axis,)
    return tuple(int(each) % ndim for each in named) if ndim else ()
