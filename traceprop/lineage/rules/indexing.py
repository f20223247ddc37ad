"""Indexing: `X[key]` and `X[key] = value`, with keys of every kind."""

from __future__ import annotations

import operator
import warnings
from typing import Any, Final

import numpy as np

from traceprop.lineage.edges import CONTROL, EXTENT, Edge, Edges, opaque, row_by_row
from traceprop.lineage.held import is_unchanged
from traceprop.lineage.node import Held, Node, Op, Slot
from traceprop.lineage.registry import implements
from traceprop.lineage.rowmap import All, Identity, RowMap, Slice, Take
from traceprop.lineage.rowset import Rows, row_dtype
from traceprop.lineage.rules.rowids import moved
from traceprop.lineage.template import places

GETITEM: Final = Op("getitem", operator.getitem)


def names_fields(key: Any) -> bool:
    """Whether a key names one or several fields of a structured array."""
    return type(key) is str or (type(key) is list and bool(key) and type(key[0]) is str)


@implements(GETITEM, family="indexing")
def getitem_rows(node: Node) -> Edges:
    """Rows by slice, number, mask or index; a tracked key is in control of what is where."""
    key = node.args[1]
    if names_fields(key):
        return row_by_row(node.n_rows)
    if any(not is_unchanged(place) for place in places(key) if isinstance(place, Held)):
        warnings.warn(
            "A plain array that chose rows was changed afterwards, so that every row is given as "
            "a source. Pass a copy as the index, or make it with traceprop.array.",
            UserWarning,
            stacklevel=2,
        )
        return opaque(node)
    row_map = _along_axis_0(node, key)
    if row_map is None:
        try:
            row_map = moved(node, (0,))[0]
        except LookupError:
            return [*opaque(node), *_key_edges(node, key)]
    return [Edge(0, row_map), *_key_edges(node, key)]


def _along_axis_0(node: Node, key: Any) -> RowMap | None:
    """Return the row map where the key's first part alone says which rows, else None."""
    parent = node.inputs[0]
    first = key
    if type(key) is tuple:
        if not key:
            return Slice(0, 1, node.n_rows, parent.n_rows)
        first = key[0]
        plain = all(isinstance(part, (int, slice)) for part in key[1:])
        if not plain and (not isinstance(first, int) or any(part is None for part in key)):
            return None
    if not parent.shape:
        return None
    n = parent.shape[0]
    if isinstance(first, slice):
        start, stop, step = first.indices(n)
        return Slice(start, step, len(range(start, stop, step)), n)
    if isinstance(first, (int, np.integer)) and not isinstance(first, (bool, np.bool_)):
        return Slice(int(first) % n, 0, node.n_rows, n)
    if isinstance(first, Held):
        rows = chosen_rows(first, n)
        if rows is not None and len(rows) == node.n_rows:
            return Take(rows, n)
    return None


def chosen_rows(held: Held, n: int) -> Rows | None:
    """Row numbers that a one-dimensional mask or index over `n` rows chose, kept from then on."""
    array = np.asarray(held.array)
    if held.array is None or array.ndim != 1:
        return None
    if array.dtype == bool:
        rows: Rows = np.flatnonzero(array)
    elif array.dtype.kind in "iu":
        rows = counted_from_front(array, n)
    else:
        return None
    rows = rows.astype(row_dtype(n), copy=False)
    if not held.shared:
        held.array = rows
        held.mark = None
    return rows


def counted_from_front(index: Rows, n: int) -> Rows:
    """Row numbers over `n` rows, none of them counted from the end; a new array."""
    if len(index) < 4096 or index.dtype != np.int64:
        return np.where(index < 0, index + n, index) if index.dtype.kind == "i" else +index
    from numba_kernels.rowmaps import count_from_front

    like = np.empty(0, dtype=row_dtype(n))
    rows: Rows = count_from_front(np.ascontiguousarray(index), like, n)
    return rows


def _key_edges(node: Node, key: Any) -> list[Edge]:
    """Tracked parts of the key: they decided which row is where."""
    edges = []
    for place in places(key):
        if place.index < 0:
            continue
        parent = node.inputs[place.index]
        if parent.dtype == bool:  # a mask; an index keeps its shape
            edges.append(Edge(place.index, All(node.n_rows, parent.n_rows), EXTENT))
        else:
            edges.append(Edge(place.index, _key_map(node, key, place, parent), CONTROL))
    return edges


def _key_map(node: Node, key: Any, place: Held | Slot, parent: Node) -> RowMap:
    alone = key is place or (
        type(key) is tuple
        and key[0] is place
        and all(isinstance(part, (int, slice)) for part in key[1:])
    )
    if alone and len(parent.shape) == 1 and node.shape:
        return Identity(node.n_rows)
    return All(node.n_rows, parent.n_rows)
