"""A tensor's shape: the tuple that it looks like, which notes when a number of rows is read of it.

Python code reads it through the methods here. C code reads a tuple's memory past all methods, as
`np.zeros(X.shape)` does; so that memory holds lengths that are no plain numbers, and must be asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from traceprop.lineage.graph.counted import is_counted
from traceprop.lineage.graph.node import Node
from traceprop.lineage.recording.counts import count_left

if TYPE_CHECKING:
    from traceprop.lineage.recording.tracked import Tracked


class _Length:
    """One length in the memory of a shape, for code that reads it there."""

    __slots__ = ("axis", "length", "node")

    def __init__(self, length: int, axis: int, node: Node) -> None:
        self.length = length
        self.axis = axis
        self.node = node

    def __index__(self) -> int:
        count_left(self.node, "shape", (self.axis,))
        return self.length

    def __repr__(self) -> str:
        return repr(self.length)


class RowShape(tuple[int, ...]):
    """A tensor's shape, which notes when the number of rows is read out of it.

    An axis other than the first is taken for one of rows where it is as long as the first axis of
    anything beneath the tensor.
    """

    node: Node
    _lengths: tuple[int, ...]

    def all(self) -> tuple[int, ...]:
        """Return the plain tuple, and note that it was taken."""
        count_left(self.node, "shape", None, depth=3)
        return self._lengths

    def __getitem__(self, key: Any) -> Any:
        axis = key % len(self) if isinstance(key, int) and self else 0
        count_left(self.node, "shape", (axis,) if isinstance(key, int) else None)
        return self._lengths[key]

    def __iter__(self) -> Iterator[int]:
        count_left(self.node, "shape", None)
        return iter(self._lengths)

    def __reversed__(self) -> Iterator[int]:
        count_left(self.node, "shape", None)
        return reversed(self._lengths)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        count_left(self.node, "shape", None)
        return np.array(self._lengths, dtype=dtype)

    def __add__(self, other: Any) -> Any:
        count_left(self.node, "shape", None)
        return self._lengths + _plain(other)

    def __radd__(self, other: Any) -> Any:
        count_left(self.node, "shape", None)
        return _plain(other) + self._lengths

    def __mul__(self, other: Any) -> Any:
        count_left(self.node, "shape", None)
        return self._lengths * other

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RowShape):
            count_left(self.node, "shape", None)
        return bool(self._lengths == _plain(other))

    def __ne__(self, other: object) -> bool:
        if not isinstance(other, RowShape):
            count_left(self.node, "shape", None)
        return bool(self._lengths != _plain(other))

    def __lt__(self, other: Any) -> bool:
        count_left(self.node, "shape", None)
        return bool(self._lengths < _plain(other))

    def __gt__(self, other: Any) -> bool:
        count_left(self.node, "shape", None)
        return bool(self._lengths > _plain(other))

    def __le__(self, other: Any) -> bool:
        count_left(self.node, "shape", None)
        return bool(self._lengths <= _plain(other))

    def __ge__(self, other: Any) -> bool:
        count_left(self.node, "shape", None)
        return bool(self._lengths >= _plain(other))

    def __contains__(self, length: object) -> bool:
        count_left(self.node, "shape", None)
        return length in self._lengths

    def index(self, *length: Any) -> int:
        """Return the first axis of a length, and note that lengths were looked for."""
        count_left(self.node, "shape", None)
        return self._lengths.index(*length)

    def count(self, length: Any) -> int:
        """Return how many axes have a length, and note that it was looked for."""
        count_left(self.node, "shape", None)
        return self._lengths.count(length)

    def __hash__(self) -> int:
        count_left(self.node, "shape", None)
        return hash(self._lengths)

    def __repr__(self) -> str:
        return repr(self._lengths)

    def __reduce__(self) -> Any:
        return tuple, (self.all(),)

    def __getnewargs__(self) -> Any:
        return (self.all(),)


def _plain(value: Any) -> Any:
    return value._lengths if isinstance(value, RowShape) else value


def shape_of(tensor: Tracked) -> tuple[int, ...]:
    """Return the shape of a tensor; a plain tuple where nothing is left to note."""
    node = tensor._made_by()
    lengths: tuple[int, ...] = tensor._array.shape
    if is_counted(node):
        return lengths
    held: list[Any] = [_Length(length, axis, node) for axis, length in enumerate(lengths)]
    shape = RowShape(held)
    shape.node = node
    shape._lengths = lengths
    return shape
