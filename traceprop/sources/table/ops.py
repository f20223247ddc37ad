"""A table's own recorded operations on rows and columns, each one step of its lineage.

NumPy has functions that do each of these, but not as one step, and not so that a row of the result
is known to be made of one row: `take` makes of category codes a mere index. Every operation here
can run again from its arguments. Row numbers count from 0; -1 is a row that isn't there, and reads
as a missing value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from traceprop.errors import DataError
from traceprop.lineage.cells.table import refines
from traceprop.lineage.graph.edge import Edge, Edges, opaque
from traceprop.lineage.graph.node import Node, Op
from traceprop.lineage.recording.calls import call
from traceprop.lineage.registry import implements
from traceprop.lineage.rowmap import Identity, Patch, Take
from traceprop.lineage.rowmap.functional import KERNEL_FROM
from traceprop.lineage.rowset import row_dtype
from traceprop.lineage.tensor import ProvenanceTensor
from traceprop.sources.table.cells import cells_side_by_side

Array = npt.NDArray[Any]

_EXACT_IN_FLOAT = 2**53


def _count(column: Array) -> Array:
    """Count the rows of a column: 0, 1, …."""
    return np.arange(len(column), dtype=row_dtype(len(column)))


def _fixed(array: Array) -> Array:
    """Return a new array that is not to be written into."""
    array.flags.writeable = False
    return array


def _gather(column: Array, rows: Array) -> Array:
    """Return some rows of a column; where a row isn't there, a missing value of its kind."""
    if not len(rows) or rows.min() >= 0:
        return _fixed(_taken(column, rows, np.zeros((), column.dtype)))
    if column.dtype.kind in "biu":
        if column.dtype.itemsize == 8 and column.size and _widest(column) > _EXACT_IN_FLOAT:
            raise DataError(
                f"a column of {column.dtype} would get missing values, for which it becomes "
                "float64, and it holds numbers over 2**53 that float64 can't tell apart; make text "
                "of it, or fill or leave out those rows first"
            )
        column = column.astype(np.float64)
    return _fixed(_taken(column, rows, _missing_value(column.dtype)))


def _taken(column: Array, rows: Array, missing: Any) -> Array:
    """Return `column[rows]`, `missing` where a row is -1."""
    if len(rows) < KERNEL_FROM or column.dtype == np.float16:  # which numba doesn't know
        few = column[rows] if len(column) else np.zeros(len(rows), column.dtype)
        few[rows < 0] = missing
        return few
    from numba_kernels.keys import gather

    plain = np.int64 if column.dtype.kind in "mM" else column.dtype  # dates as their numbers
    taken = np.empty(len(rows), column.dtype)
    fill = np.array(missing, column.dtype).view(plain)[()]
    gather(column.view(plain), rows, fill, taken.view(plain))
    return taken


def _widest(column: Array) -> int:
    return max(int(column.max()), -int(column.min()))


def _missing_value(dtype: np.dtype[Any]) -> Any:
    return np.array("NaT", dtype) if dtype.kind in "mM" else np.nan


def _gather_codes(column: npt.NDArray[np.int32], rows: Array) -> Array:
    """Return some rows of category codes; -1 where a row isn't there."""
    return _fixed(_taken(column, rows, np.int32(-1)))


def gathered(column: Array, rows: Array, codes: bool = False) -> Array:
    """Return some rows of a plain column, of numbers or of codes, missing where a row is -1."""
    return _gather_codes(column, rows) if codes else _gather(column, rows)


def _gather_rows(rows: Array, chosen: Array) -> Array:
    """Choose among chosen rows."""
    return _fixed(_taken(rows, chosen, rows.dtype.type(-1)))


def _look_up(codes: npt.NDArray[np.int32], categories: npt.NDArray[np.str_]) -> Array:
    """Return each code's category; `categories` ends with the text for -1."""
    return _fixed(categories[codes])


def _chain(*parts: Array) -> Array:
    """Put columns one below the other; the last of `parts` numbers the resulting rows."""
    return _fixed(np.concatenate(parts[:-1]))


def _count_all(*columns: Array) -> Array:
    """Count the rows of several columns."""
    total = sum(map(len, columns))
    return np.arange(total, dtype=row_dtype(total))


def _all_missing(column: Array, dtype: str) -> Array:
    """Return as many missing values, of another kind: codes or dates."""
    kind = np.dtype(dtype)
    return _fixed(np.full(len(column), -1 if kind.kind == "i" else np.array("NaT", kind), kind))


def _encode(
    *columns: Array, widths: Sequence[int], column_names: Sequence[str]
) -> npt.NDArray[np.float64]:
    """Put columns side by side; one of width w > 0 becomes w columns, of which its code's is 1.

    The code -1 counts from the end, as an index does: where values are missing the last column
    says so. The names are there for who asks the lineage for them.
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
_CODES = Op("column_of_codes", _gather_codes)
_ROWS = Op("rows_of_rows", _gather_rows)
_TEXT = Op("text_of_codes", _look_up)
_RECODE = Op("recode", _look_up)
_ALL_MISSING = Op("all_missing", _all_missing)
_CONCAT = Op("concat", _count_all)
_CHAIN = Op("column_of_parts", _chain)
_ONE_HOT = Op("one_hot", _encode)
_TO_TENSOR = Op("to_tensor", _encode)


@implements(_COLUMN, _CODES, _ROWS, family="sources", values=(1,), quiet=True)
def _rows_gathered(node: Node) -> Edges:
    """Row i of the result is the row of the column that row number i says."""
    rows = node.args[1].array
    if rows is None:  # at granularity "op" nothing is kept of which rows
        return opaque(node)
    return [Edge(0, Take(rows, node.inputs[0].n_rows)), Edge(1, Identity(node.n_rows))]


@implements(_ONE_HOT, family="sources")
@implements(_TEXT, _RECODE, _ALL_MISSING, _TO_TENSOR, family="sources", quiet=True)
def rows_stay(node: Node) -> Edges:
    """Row i of the result is made of row i of every column."""
    return [Edge(i, Identity(node.n_rows)) for i in range(len(node.inputs))]


refines(_ONE_HOT, _TO_TENSOR)(cells_side_by_side)


@implements(_CONCAT, family="sources")
@implements(_ROW_NUMBERS, family="sources", quiet=True)
def _numbers_only(node: Node) -> Edges:
    """Numbers take nothing of a column but how many rows it has."""
    return []


@implements(_CHAIN, family="sources", quiet=True)
def _rows_follow(node: Node) -> Edges:
    """Each part's rows follow those of the part before."""
    edges = []
    start = 0
    for i, part in enumerate(node.inputs[:-1]):
        stop = start + part.n_rows
        edges.append(Edge(i, Patch(start, stop, node.n_rows, part.n_rows)))
        start = stop
    return [*edges, Edge(len(node.inputs) - 1, Identity(node.n_rows))]


def row_numbers(column: ProvenanceTensor) -> ProvenanceTensor:
    """Return the row numbers 0, 1, … of a column, tracked, so that a table's rows can be chosen."""
    numbers: ProvenanceTensor = call(_ROW_NUMBERS, (column,), {})
    return numbers


def rows_of(
    column: ProvenanceTensor, rows: ProvenanceTensor, codes: bool = False
) -> ProvenanceTensor:
    """Return the rows of a column, of numbers or of codes, that tracked row numbers say."""
    tensor: ProvenanceTensor = call(_CODES if codes else _COLUMN, (column, rows), {})
    return tensor


def rows_of_rows(rows: ProvenanceTensor, chosen: ProvenanceTensor) -> ProvenanceTensor:
    """Choose among rows that were chosen before."""
    found: ProvenanceTensor = call(_ROWS, (rows, chosen), {})
    return found


def as_text(codes: ProvenanceTensor, categories: Sequence[str]) -> ProvenanceTensor:
    """Return the texts that codes stand for, the empty one for -1; shape (n,)."""
    text: ProvenanceTensor = call(_TEXT, (codes, np.array([*categories, ""], np.str_)), {})
    return text


def recoded(
    codes: ProvenanceTensor, old: Sequence[str], new: Sequence[str], missing: int = -1
) -> ProvenanceTensor:
    """Return the codes of the same texts in other categories, -1 where these lack one.

    `missing` is the code that missing texts get.
    """
    if tuple(old) == tuple(new) and missing == -1:
        return codes
    place = {category: code for code, category in enumerate(new)}
    table = np.array([*(place.get(category, -1) for category in old), missing], np.int32)
    tensor: ProvenanceTensor = call(_RECODE, (codes, table), {})
    return tensor


def all_missing(column: ProvenanceTensor, dtype: np.dtype[Any]) -> ProvenanceTensor:
    """Return a column that misses every value as one of codes (an integer dtype) or of dates."""
    tensor: ProvenanceTensor = call(_ALL_MISSING, (column, dtype.str), {})
    return tensor


def concat_rows(columns: Sequence[ProvenanceTensor]) -> ProvenanceTensor:
    """Return the row numbers of tables put one below the other, of each of which a column is given.

    It is the one step that the columns of the result share.
    """
    numbers: ProvenanceTensor = call(_CONCAT, tuple(columns), {})
    return numbers


def one_below_the_other(
    parts: Sequence[ProvenanceTensor], rows: ProvenanceTensor
) -> ProvenanceTensor:
    """Return one column of several; `rows` are the table's, from `concat_rows`."""
    tensor: ProvenanceTensor = call(_CHAIN, (*parts, rows), {})
    return tensor


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
    options = {"widths": tuple(widths), "column_names": tuple(names)}
    tensor: ProvenanceTensor = call(op, tuple(columns), options)
    return tensor
