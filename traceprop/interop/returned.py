"""Tables that come back from another library: which rows they are, and what was made there.

What another library did isn't recorded, so the sound answer is kept: a column that still holds the
table's own values keeps their rows, and every other column is one made of the whole table, an
escape that is recorded, warned about, and refused under `traceprop.strict`. Which rows came back
was decided out of sight: all rows of the table are in control of it.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from traceprop.errors import DataError
from traceprop.lineage.graph.edge import CONTROL, Edge, Edges, extent_of, opaque_in_extent
from traceprop.lineage.graph.escaped import note_escape
from traceprop.lineage.graph.node import Node, Op, make_node, slot
from traceprop.lineage.recording.escapes import escape
from traceprop.lineage.recording.tracked import wrap
from traceprop.lineage.registry import implements
from traceprop.lineage.rowmap import All
from traceprop.lineage.rowset import row_dtype
from traceprop.lineage.tensor import ProvenanceTensor, values
from traceprop.sources.columns import Column
from traceprop.sources.table import Table, ops
from traceprop.sources.table.base import ColumnStore
from traceprop.sources.table.memory import MemoryTable
from traceprop.sources.table.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Sequence

LIBRARIES: Final = ("pandas", "polars", "arrow")

_ROWS: Final = {name: Op(name) for name in LIBRARIES}
_COLUMN: Final = {name: Op(f"column_from_{name}") for name in LIBRARIES}

MARK: Final = "traceprop_row_"
"""Begins the name of the column that carries row numbers through polars and Arrow."""

_tables: Final[weakref.WeakValueDictionary[str, ColumnStore]] = weakref.WeakValueDictionary()
_numbers = itertools.count(1)


@implements(*_ROWS.values(), family="sources")
def _rows_decided_outside(node: Node) -> Edges:
    """Which rows came back may hang on every value that went out."""
    everything = range(len(node.inputs))
    control = [Edge(i, All(node.n_rows, node.inputs[i].n_rows), CONTROL) for i in everything]
    return [*control, *extent_of(node, everything)]


implements(*_COLUMN.values(), family="sources", mixes=True)(opaque_in_extent)


_went_out: Final[list[bool]] = []


def note_sent() -> None:
    """Note that a table's values went out of this process's lineage."""
    if not _went_out:
        _went_out.append(True)


def sent(table: ColumnStore) -> str:
    """Return a name under which a table is found again, as long as it lives."""
    note_sent()
    for name, known in _tables.items():
        if known is table:
            return name
    name = f"{MARK}{next(_numbers)}"
    _tables[name] = table
    return name


def sent_as(name: str) -> ColumnStore:
    """Return the table that went out under a name.

    Raises
    ------
    DataError
        Where there is none any more.
    """
    table = _tables.get(name)
    if table is None:
        raise DataError(
            f"the column {name!r} numbers rows of a table that is gone; keep the Table that was "
            "handed out, or drop the column to take the data as a new source"
        )
    return table


def returned(
    table: ColumnStore, rows: npt.NDArray[Any] | None, columns: Mapping[str, Column], library: str
) -> Table:
    """Make a table of what came back.

    Parameters
    ----------
    table : Table
        What was handed out.
    rows : integer array, (n,), or None
        Its row at each row that came back; None where nobody knows.
    columns : mapping of str to Column
    library : str
        One of `LIBRARIES`.

    Raises
    ------
    EscapeError
        Under `traceprop.strict`, where a column can't be recognised.
    """
    stored: dict[str, Stored] = {}
    unknown: list[str] = []
    chosen = None if rows is None else _rows(table, rows, library)
    for name, column in columns.items():
        own = None
        if chosen is not None and name in table:
            own = _recognised(table._columns[name], chosen, column)
        if own is None:
            unknown.append(name)
            own = _made_outside(table, column, library)
        stored[name] = own
    if unknown:
        _tell(unknown, [stored[name].base for name in unknown], library)
    return Table(stored, len(next(iter(columns.values())).values))


def own_source(
    columns: Mapping[str, Column],
    n_rows: int,
    name: str | None,
    library: str,
    labels: Sequence[str] | None = None,
) -> Table:
    """Make a table of data that carries no link to one.

    `labels` say what each row is called there, where it has a name.

    Such data may have been a table's all the same: libraries drop what they don't know. So where a
    table went out before, and nobody says by a name that this is a source, that is an escape.

    Raises
    ------
    EscapeError
        In that case under `traceprop.strict`.
    """
    table = Table.from_columns(MemoryTable.of(columns, name, n_rows, labels), columns)
    if _went_out and name is None:
        escape(
            next(iter(table._columns.values())).base,
            f"data from {library} without a link to a table's rows",
            f"it is taken for a new source, {table.source}: name it with source= if it is one, and "
            "keep the link if it isn't",
        )
    return table


def _rows(table: ColumnStore, rows: npt.NDArray[Any], library: str) -> ProvenanceTensor:
    numbers = rows.astype(row_dtype(len(table)))
    numbers.flags.writeable = False
    return _outside(table, _ROWS[library], numbers)


def _outside(table: ColumnStore, op: Op, array: npt.NDArray[Any]) -> ProvenanceTensor:
    """Return plain values as something made of the whole table by an operation nobody saw."""
    inputs = _nodes(table)
    template = tuple(slot(i) for i in range(len(inputs)))
    node = make_node(op, inputs, template, None, array.shape, array.dtype)
    tensor: ProvenanceTensor = wrap(ProvenanceTensor, array, node)
    return tensor


def _nodes(table: ColumnStore) -> tuple[Node, ...]:
    """Return the nodes that the table's columns rest on, each once."""
    tensors: list[ProvenanceTensor] = []
    for column in table._columns.values():
        tensors += [column.base] if column.rows is None else [column.base, column.rows]
    return tuple({tensor.node: None for tensor in tensors})


def _recognised(own: Stored, rows: ProvenanceTensor, column: Column) -> Stored | None:
    """Return a column of the table at the rows that came back, if it still holds their values."""
    if own.is_text != (column.categories is not None):
        return None
    composed = rows if own.rows is None else ops.rows_of_rows(own.rows, rows)
    found = own._replace(rows=composed)
    expected = values(found.tensor())
    if own.categories is not None:
        same = np.array_equal(expected, _recoded(column, own.categories))
    else:
        same = _equal(expected, column.values)
    return found if same else None


def _recoded(column: Column, categories: Sequence[str]) -> npt.NDArray[Any]:
    place = {category: code for code, category in enumerate(categories)}
    table = np.array([*(place.get(each, -2) for each in column.categories or ()), -1], np.int32)
    return np.asarray(table[column.values])


def _equal(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    """Whether values are the same, in whatever dtype of their kind the library keeps them."""
    dates = (a.dtype.kind in "mM", b.dtype.kind in "mM")
    if any(dates):
        return all(dates) and a.dtype.kind == b.dtype.kind and np.array_equal(a, b, equal_nan=True)
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f" and b.dtype.kind == "f")


def _made_outside(table: ColumnStore, column: Column, library: str) -> Stored:
    array = column.values
    array.flags.writeable = False
    base = _outside(table, _COLUMN[library], array)
    gaps = column.categories is not None and bool(array.min(initial=0) < 0)
    return Stored(base, None, column.categories, gaps)


def _tell(names: list[str], tensors: list[ProvenanceTensor], library: str) -> None:
    """Record an escape on each column that was made out of sight; warn once for all."""
    columns = (
        f"column {names[0]!r}" if len(names) == 1 else f"columns {', '.join(map(repr, names))}"
    )
    noted = escape(
        tensors[0],
        f"{columns} from {library}",
        "what was done to them isn't known, so that they rest on every row of the table",
    )
    for tensor in tensors[1:]:
        note_escape(tensor.node, noted)
