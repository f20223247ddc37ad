"""A table's own recorded operations: rows of a column, categories as text, one-hot columns.

NumPy has functions that do each of these, but not as one step, and not so that a row of the result
is known to be made of one row: `take` makes of category codes a mere index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from traceprop.lineage.edges import Edge, Edges
from traceprop.lineage.memo import memo
from traceprop.lineage.node import Node, Op
from traceprop.lineage.record import call
from traceprop.lineage.registry import implements
from traceprop.lineage.rowmap import Identity, Take
from traceprop.lineage.rowset import row_dtype
from traceprop.lineage.tensor import ProvenanceTensor


def _count(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Count the rows of a column: 0, 1, …."""
    return np.arange(len(column), dtype=row_dtype(len(column)))


def _gather(column: npt.NDArray[Any], rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return some rows of a column, not to be written into."""
    gathered: npt.NDArray[Any] = column[rows]
    gathered.flags.writeable = False
    return gathered


def _look_up(codes: npt.NDArray[np.int32], categories: npt.NDArray[np.str_]) -> npt.NDArray[Any]:
    """Return each code's category; `categories` ends with the text for -1."""
    return _gather(categories, codes)


def _encode(*columns: npt.NDArray[Any], widths: Sequence[int]) -> npt.NDArray[np.float64]:
    """Put columns side by side; one of width w > 0 becomes w columns, of which its code's is 1.

    The code -1 counts from the end, as an index does: where values are missing the last column
    says so.
    """
    n_rows = len(columns[0])
    out = np.zeros((n_rows, sum(width or 1 for width in widths)))
    rows = np.arange(n_rows)
    start = 0
    for column, width in zip(columns, widths, strict=True):
        if width:
            out[rows, start + column % width] = 1.0
        else:
            out[:, start] = column
        start += width or 1
    return out


_ROW_NUMBERS = Op("row_numbers", _count)
_COLUMN = Op("column", _gather)
_TEXT = Op("text_of_codes", _look_up)
_ONE_HOT = Op("one_hot", _encode)
_TO_TENSOR = Op("to_tensor", _encode)


@implements(_COLUMN, family="sources", values=(1,))
def _rows_gathered(node: Node) -> Edges:
    """Row i of the result is the row of the column that row number i says."""
    return [
        Edge(0, Take(node.args[1].array, node.inputs[0].n_rows)),
        Edge(1, Identity(node.n_rows)),
    ]


@implements(_ROW_NUMBERS, _TEXT, _ONE_HOT, _TO_TENSOR, family="sources")
def _rows_stay(node: Node) -> Edges:
    """Row i of the result is made of row i of every column."""
    return [Edge(i, Identity(node.n_rows)) for i in range(len(node.inputs))]


def row_numbers(column: ProvenanceTensor) -> ProvenanceTensor:
    """Return the row numbers 0, 1, … of a column, tracked, so that a table's rows can be chosen."""
    numbers: ProvenanceTensor = call(_ROW_NUMBERS, (column,), {})
    return numbers


def rows_of(column: ProvenanceTensor, rows: ProvenanceTensor) -> ProvenanceTensor:
    """Return the rows of a column that tracked row numbers say; shape (len(rows),)."""
    tensor: ProvenanceTensor = call(_COLUMN, (column, rows), {})
    memo(tensor.node).columns = memo(column.node).columns
    return tensor


def as_text(codes: ProvenanceTensor, categories: Sequence[str]) -> ProvenanceTensor:
    """Return the texts that codes stand for, the empty one for -1; shape (n,)."""
    text: ProvenanceTensor = call(_TEXT, (codes, np.array([*categories, ""], np.str_)), {})
    return text


def side_by_side(
    columns: Sequence[ProvenanceTensor], widths: Sequence[int], names: Sequence[str]
) -> ProvenanceTensor:
    """Return columns as one float64 tensor.

    Parameters
    ----------
    columns : sequence of ProvenanceTensor, shape (n,)
        Numbers, or codes.
    widths : sequence of int
        For each column: 0 for numbers, else how many columns of 0 and 1 its codes become.
    names : sequence of str
        Names of the resulting columns.
    """
    op = _ONE_HOT if any(widths) else _TO_TENSOR
    tensor: ProvenanceTensor = call(op, tuple(columns), {"widths": tuple(widths)})
    memo(tensor.node).columns = tuple(names)
    return tensor
