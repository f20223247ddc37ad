"""Categories as text and as columns of 0 and 1: two recorded operations of Traceprop's own.

NumPy would need a lookup by code (which makes the codes a mere index) or an operation per category;
each of these is one step, row by row, that can be run again.
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
from traceprop.lineage.rowmap import Identity
from traceprop.lineage.tensor import ProvenanceTensor


def _look_up(codes: npt.NDArray[np.int32], categories: npt.NDArray[np.str_]) -> npt.NDArray[Any]:
    """Return each code's category; `categories` ends with the text for -1."""
    return categories[codes]


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


_TEXT = Op("text_of_codes", _look_up)
_ONE_HOT = Op("one_hot", _encode)
_TO_TENSOR = Op("to_tensor", _encode)


@implements(_TEXT, _ONE_HOT, _TO_TENSOR, family="sources")
def _rows_stay(node: Node) -> Edges:
    """Row i of the result is made of row i of every column."""
    return [Edge(i, Identity(node.n_rows)) for i in range(len(node.inputs))]


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
