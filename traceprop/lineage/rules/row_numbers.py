"""The one rule behind all movement: run the same function on row numbers, see where they end up.

Each tracked input is replaced by an array of its shape whose cells hold their row's number, from 1;
the inputs' numbers follow one another. Plain data is 0, as is what a function fills gaps with. What
it makes of the numbers says, cell by cell, where the output came from; `decode` turns the cells
back into a row map per input.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from traceprop.lineage.graph.node import Held, Node, Slot
from traceprop.lineage.graph.template import Place, transform
from traceprop.lineage.recording.kept_arrays import check_unchanged
from traceprop.lineage.rowmap import Groups, Identity, Nothing, RowMap, Slice, Take
from traceprop.lineage.rowset import Rows, row_dtype

Cells = NDArray[np.integer[Any]]


class RowNumbers:
    """Row numbers of a node's inputs, one after the other.

    Parameters
    ----------
    node : Node
    flat : bool
        Give every axis but 0 the length 1: enough for a function that works along axis 0 alone.
    """

    def __init__(self, node: Node, flat: bool = False) -> None:
        self.counts = [parent.n_rows for parent in node.inputs]
        self.starts = np.concatenate(([1], 1 + np.cumsum(self.counts))).tolist()
        self.dtype = row_dtype(self.starts[-1])
        self._flat = flat
        self._shapes = [
            parent.shape[:1] + (1,) * (len(parent.shape) - 1) if flat else parent.shape
            for parent in node.inputs
        ]

    def cells(self, i: int) -> Cells:
        """Cells of input `i`, each the number of its row; not writable where they repeat."""
        shape = self._shapes[i]
        rows = np.arange(self.starts[i], self.starts[i + 1], dtype=self.dtype)
        column = rows.reshape((-1,) + (1,) * (len(shape) - 1)) if shape else rows[0]
        return np.broadcast_to(column, shape)

    def numbered(self, template: Any) -> Any:
        """Return data with row numbers for tracked inputs and 0 for everything plain."""
        if isinstance(template, Slot):
            return self.cells(template.index)
        if isinstance(template, Held):
            return (
                self.cells(template.index) if template.index >= 0 else self._plain(template.array)
            )
        if isinstance(template, (tuple, list)):
            return type(template)(self.numbered(each) for each in template)
        return self._plain(template)

    def _plain(self, value: Any) -> Cells:
        shape = np.shape(value)
        if self._flat:
            shape = shape[:1] + (1,) * (len(shape) - 1)
        return np.zeros(shape, dtype=self.dtype)


def parameters(template: Any) -> Any:
    """Return arguments that aren't data, with held arrays as they are.

    Raises
    ------
    LookupError
        When a tracked value stands there whose array wasn't kept, or one that was changed since.
    """

    def value(place: Place) -> Any:
        if isinstance(place, Slot) or place.array is None:
            raise LookupError
        check_unchanged(place)
        return place.array

    return transform(template, value)


class Numbers(Protocol):
    """Numbers of rows or of cells that stand in for a node's inputs."""

    def numbered(self, template: Any) -> Any:
        """Return data with numbers for tracked inputs and 0 for everything plain."""


def run_on_numbers(node: Node, numbers: Numbers, data: Collection[int | str]) -> Any:
    """Run a node's function with numbers for the arguments in `data`, by position and by name.

    Raises
    ------
    LookupError
        Where another argument isn't known, see `parameters`.
    """
    args = [
        numbers.numbered(value) if position in data else parameters(value)
        for position, value in enumerate(node.args)
    ]
    kwargs = {
        name: numbers.numbered(value) if name in data else parameters(value)
        for name, value in (node.kwargs or {}).items()
        if name not in ("dtype", "casting")
    }
    result = node.op(*args, **kwargs)
    return result if node.item is None else list(flatten(result))[node.item]


def write_numbers(node: Node, numbers: Numbers, target: Any, position: int) -> None:
    """Do a node's write on `target`, with numbers for the argument at `position`.

    Raises
    ------
    LookupError
        Where another argument isn't known, see `parameters`.
    """
    args = [
        numbers.numbered(value) if at == position else parameters(value)
        for at, value in enumerate(node.args[1:], start=1)
    ]
    kwargs = parameters(node.kwargs or {})
    kwargs.pop("casting", None)
    node.op(target, *args, **kwargs)


def flatten(result: Any) -> Iterator[Any]:
    """Yield the arrays in a function's result, in the order in which they are numbered."""
    if isinstance(result, (tuple, list)):
        for each in result:
            yield from flatten(each)
    else:
        yield result


def decode(cells: Cells, numbers: RowNumbers, n_out: int) -> list[RowMap]:
    """Turn the output's cells into a row map per input."""
    matrix = np.asarray(cells).reshape(n_out, -1) if cells.size else np.empty((n_out, 0), np.int32)
    maps: list[RowMap] = []
    for start, count in zip(numbers.starts, numbers.counts, strict=False):
        maps.append(_decode_input(matrix, start, count))
    return maps


def _decode_input(matrix: Cells, start: int, count: int) -> RowMap:
    n_out, width = matrix.shape
    if not width or not count:
        return Nothing(n_out, count)
    first = matrix[:, 0]
    if width == 1 or bool(np.all(matrix == matrix[:, :1])):
        return simplify(_own_rows(first, start, count), count)
    from numba_kernels.rowmaps import group_cells

    indptr, indices = group_cells(_own_rows(matrix, start, count))
    if indptr[-1] <= n_out and bool(np.all(np.diff(indptr) <= 1)):
        rows = np.full(n_out, -1, dtype=indices.dtype)
        rows[np.diff(indptr) == 1] = indices
        return simplify(rows, count)
    return Groups(indptr, indices, count)


def _own_rows(cells: Cells, start: int, count: int) -> Cells:
    """Row numbers of one input from 0, and −1 for the cells of others and of none."""
    return np.where((cells >= start) & (cells < start + count), cells - start, -1)


def simplify(rows: Rows, n_in: int) -> RowMap:
    """Return the map output row i ← `rows[i]` in its smallest form."""
    n = len(rows)
    if not n:
        return Nothing(0, n_in)
    start = int(rows[0])
    step = int(rows[1]) - start if n > 1 else 1
    last = start + step * (n - 1)
    if start >= 0 and 0 <= last < n_in and int(rows[-1]) == last:
        expected = np.arange(n, dtype=np.int64) * step + start
        if bool(np.all(rows == expected)):
            if n == n_in and start == 0 and step == 1:
                return Identity(n)
            return Slice(start, step, n, n_in)
    if start < 0 and not bool(np.any(rows >= 0)):
        return Nothing(n, n_in)
    return Take(rows.astype(row_dtype(n_in), copy=False), n_in)


def moved(node: Node, data: Collection[int | str], flat: bool = False) -> list[RowMap]:
    """Run the node's function on row numbers and return a row map per input.

    `data` names the arguments that are data, by position and by name.
    """
    numbers = RowNumbers(node, flat)
    result = run_on_numbers(node, numbers, data)
    if flat and result.shape[:1] != node.shape[:1]:
        return moved(node, data)  # axis 0 is gone, as after np.take(a, 3, axis=0)
    return decode(result, numbers, node.n_rows)
