"""Groups of rows with equal keys, and one value per group of the columns that are asked for.

One step numbers the groups, decided by all rows of the keys; every value of a group rests on the
group's rows. Groups come in the order of their keys; rows that miss a key form a group, the last.
Missing values are left out of every aggregate, as pandas and SQL do.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from traceprop.errors import DataError, SourceError
from traceprop.lineage.graph.edge import CONTROL, DIRECT, Edge, Edges, extent_of, opaque_in_extent
from traceprop.lineage.graph.node import Held, Node, Op
from traceprop.lineage.recording.calls import call
from traceprop.lineage.registry import implements
from traceprop.lineage.rowmap import All, Groups
from traceprop.lineage.rowset import row_dtype
from traceprop.lineage.tensor import ProvenanceTensor
from traceprop.sources.table import aggregates, keys, ops
from traceprop.sources.table.stored import Columns, Stored

Aggregate = tuple[str, str] | str


def _group_by(*columns: npt.NDArray[Any], codes: Sequence[bool]) -> npt.NDArray[np.int32]:
    """Return the number of every row's group."""
    return keys.group_labels(columns, codes)


def _group_key(column: npt.NDArray[Any], labels: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    """Return the value that all rows of a group have in a key column."""
    firsts = np.empty(aggregates.count_of(labels), np.int64)
    firsts[labels[::-1]] = np.arange(len(labels) - 1, -1, -1)
    key: npt.NDArray[Any] = column[firsts]
    key.flags.writeable = False
    return key


_GROUP_BY = Op("group_by", _group_by)
_GROUP_KEY = Op("group_key", _group_key)
_ROWS: Final = {name: Op(f"group_{name}", run) for name, run in aggregates.ROWS.items()}
_VALUES: Final = {name: Op(f"group_{name}", run) for name, run in aggregates.VALUES.items()}
NAMES: Final = (*aggregates.VALUES, *aggregates.ROWS)
_ANY_KIND: Final = frozenset({"count", "nunique", "min", "max", "first", "last"})


@implements(_GROUP_BY, family="sources")
def _decided_by_all(node: Node) -> Edges:
    """Which number a group has depends on every row's keys."""
    return [
        Edge(i, All(node.n_rows, parent.n_rows), CONTROL) for i, parent in enumerate(node.inputs)
    ]


def _grouped(kind: int, mixes: bool) -> Callable[[Node], Edges]:
    """Rule of an operation on a column and the labels: a group has its rows; labels say which."""

    def rows(node: Node) -> Edges:
        held = node.args[1]
        if held.array is None:
            return opaque_in_extent(node)
        groups = _groups_of(held, node.n_rows)
        return [Edge(0, groups, kind, mixes), Edge(1, groups, DIRECT, mixes), *extent_of(node, [1])]

    return rows


implements(_GROUP_KEY, family="sources", values=(1,), quiet=True)(_grouped(DIRECT, False))
implements(*_VALUES.values(), family="sources", values=(1,), quiet=True)(_grouped(DIRECT, True))
implements(*_ROWS.values(), family="sources", values=(1,), quiet=True)(_grouped(CONTROL, False))

_known: Final[weakref.WeakKeyDictionary[Held, Groups]] = weakref.WeakKeyDictionary()


def _groups_of(labels: Held, count: int) -> Groups:
    """Return the rows of each group; columns that share their labels share the map."""
    found = _known.get(labels)
    if found is None:
        from numba_kernels.keys import group_rows

        rows = np.empty(len(labels.array), row_dtype(len(labels.array)))
        starts = group_rows(labels.array, count, rows)
        found = _known[labels] = Groups(starts, rows, len(rows))
    return found


def group_columns(
    columns: Columns, by: Sequence[str], wanted: Mapping[str, Aggregate]
) -> dict[str, Stored]:
    """Aggregate columns by the values of some of them.

    Parameters
    ----------
    columns : mapping of str to Stored
    by : sequence of str
        The key columns, one at least.
    wanted : mapping of str to (str, str) or str
        New column → (column, aggregate); "count" alone counts the rows.

    Raises
    ------
    SourceError
        Where an aggregate isn't known, or a new column has the name of a key.
    DataError
        Where an aggregate can't be taken of a column's kind.
    """
    tensors = [columns[name].tensor() for name in by]
    labels: ProvenanceTensor = call(
        _GROUP_BY, tuple(tensors), {"codes": tuple(columns[name].is_text for name in by)}
    )
    result = {
        name: columns[name]._replace(base=call(_GROUP_KEY, (tensor, labels), {}), rows=None)
        for name, tensor in zip(by, tensors, strict=True)
    }
    for name, aggregate in wanted.items():
        if name in result:
            raise SourceError(
                f"group_by would have two columns {name!r}; give the aggregate another name"
            )
        column, function = (by[0], "size") if aggregate == "count" else _named(name, aggregate)
        _check(column, columns[column], function)
        result[name] = _aggregated(columns[column], function, labels)
    return result


def _named(name: str, aggregate: Aggregate) -> tuple[str, str]:
    known = isinstance(aggregate, tuple | list) and len(aggregate) == 2
    if not known or aggregate[1] not in NAMES or aggregate[1] == "size":
        raise SourceError(
            f"{name}={aggregate!r} is no aggregate; give (column, name) with one of "
            f'{", ".join(each for each in NAMES if each != "size")}, or "count" for the rows'
        )
    return aggregate[0], aggregate[1]


def _check(name: str, column: Stored, function: str) -> None:
    kind = "text" if column.is_text else "dates or times" if column.dtype.kind in "mM" else ""
    if kind and function not in _ANY_KIND and function != "size":
        raise DataError(
            f"the {function} of column {name!r}, which holds {kind}, can't be taken; take one of "
            f"{', '.join(sorted(_ANY_KIND))}"
        )


def _aggregated(column: Stored, function: str, labels: ProvenanceTensor) -> Stored:
    """Return one value per group of a column."""
    tensor, options = column.tensor(), {"codes": True} if column.is_text else {}
    if function in _ROWS:
        rows: ProvenanceTensor = call(_ROWS[function], (tensor, labels), options)
        return column._replace(base=ops.rows_of(tensor, rows, column.is_text), rows=None)
    base: ProvenanceTensor = call(_VALUES[function], (tensor, labels), options)
    if function in ("min", "max"):
        return column._replace(base=base, rows=None)
    return Stored(base)
