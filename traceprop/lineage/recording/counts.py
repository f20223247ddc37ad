"""The doors through which a number of rows leaves as a plain number: `len(X)`, `X.shape`, `X.size`.

A number that came of a count is a number that a replay without rows would get wrong, so each such
door notes that it was passed (`graph.counted`). Looking at a tensor passes none: a shape that is
printed, or of which only other axes are read, stays where it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from traceprop.lineage.graph.counted import note_count
from traceprop.lineage.graph.edge import EXTENT
from traceprop.lineage.graph.edges import MANY_ROWS, made_of, raw_edges
from traceprop.lineage.graph.node import Node, ancestors

if TYPE_CHECKING:
    from traceprop.lineage.recording.tracked import Tracked

_OURS: Final = f"{Path(__file__).resolve().parents[2]}{os.sep}"
_PROGRAMS: Final = f"{_OURS}testing{os.sep}"  # which stand for users' programs
_TURNED: Final = frozenset({np.transpose, np.swapaxes, np.moveaxis, np.matrix_transpose})


def count_left(node: Node, door: str, axes: Iterable[int] | None = (0,), depth: int = 2) -> None:
    """Note that code `depth` calls above, if not ours, got the lengths of axes (None: of all)."""
    frame = sys._getframe(depth)
    filename = frame.f_code.co_filename
    if filename.startswith(_OURS) and not filename.startswith(_PROGRAMS):
        return
    wanted = range(len(node.shape)) if axes is None else axes
    if any(_holds_rows(node, axis) for axis in wanted):
        note_count(node, door, filename, frame.f_lineno)


def _holds_rows(node: Node, axis: int) -> bool:
    """Whether rows may decide how long an axis is.

    They do where it is as long as the first axis of anything beneath that has rows there, and where
    values decide how many results there are, as in `np.unique`.
    """
    if not axis and node.op not in _TURNED and made_of(node) != MANY_ROWS:
        return True
    length = node.shape[axis : axis + 1]
    for each in ancestors(node):
        if made_of(each) != MANY_ROWS:
            if each.shape[:1] == length and each.op not in _TURNED:
                return True
        elif any(edge.kind == EXTENT for edge in raw_edges(each)):
            return True
    return False


class RowShape(tuple[int, ...]):
    """A tensor's shape, which notes when the number of rows is read out of it.

    It is the tuple that it looks like. An axis other than the first is taken for one of rows where
    it is as long as the first axis of anything beneath the tensor.
    """

    node: Node

    def all(self) -> tuple[int, ...]:
        """Return the plain tuple, and note that it was taken."""
        count_left(self.node, "shape", None, depth=3)
        return tuple(tuple.__iter__(self))

    def __getitem__(self, key: Any) -> Any:
        axis = key % len(self) if isinstance(key, int) and self else 0
        count_left(self.node, "shape", (axis,) if isinstance(key, int) else None)
        return tuple.__getitem__(self, key)

    def __iter__(self) -> Iterator[int]:
        count_left(self.node, "shape", None)
        return tuple.__iter__(self)

    def __add__(self, other: Any) -> Any:
        count_left(self.node, "shape", None)
        return tuple.__add__(self, other)

    def __mul__(self, other: Any) -> Any:
        count_left(self.node, "shape", None)
        return tuple.__mul__(self, other)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RowShape):
            count_left(self.node, "shape", None)
        return tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        if not isinstance(other, RowShape):
            count_left(self.node, "shape", None)
        return tuple.__ne__(self, other)

    def __lt__(self, other: Any) -> bool:
        count_left(self.node, "shape", None)
        return tuple.__lt__(self, other)

    def __gt__(self, other: Any) -> bool:
        count_left(self.node, "shape", None)
        return tuple.__gt__(self, other)

    def __le__(self, other: Any) -> bool:
        count_left(self.node, "shape", None)
        return tuple.__le__(self, other)

    def __ge__(self, other: Any) -> bool:
        count_left(self.node, "shape", None)
        return tuple.__ge__(self, other)

    def __contains__(self, length: object) -> bool:
        count_left(self.node, "shape", None)
        return tuple.__contains__(self, length)

    def index(self, *length: Any) -> int:
        """Return the first axis of a length, and note that lengths were looked for."""
        count_left(self.node, "shape", None)
        return tuple.index(self, *length)

    def count(self, length: Any) -> int:
        """Return how many axes have a length, and note that it was looked for."""
        count_left(self.node, "shape", None)
        return tuple.count(self, length)

    __hash__ = tuple.__hash__

    def __reduce__(self) -> Any:
        return tuple, (self.all(),)


def shape_of(tensor: Tracked) -> RowShape:
    """Return the shape of a tensor."""
    shape = RowShape(tensor._array.shape)
    shape.node = tensor.node
    return shape
