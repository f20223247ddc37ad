"""Indexing: `X[key]` and `X[key] = value`, with keys of every kind."""

from __future__ import annotations

import operator
from typing import Any, Final

import numpy as np

from traceprop.lineage.graph.edge import CONTROL, EXTENT, Edge, Edges, opaque, row_by_row
from traceprop.lineage.graph.node import Held, Node, Op
from traceprop.lineage.graph.template import Place, places
from traceprop.lineage.registry import implements
from traceprop.lineage.rowmap import All, Identity, RowMap, Slice
from traceprop.lineage.rules.index_rows import chosen_map
from traceprop.lineage.rules.row_numbers import moved

GETITEM: Final = Op("getitem", operator.getitem)


def names_fields(key: Any) -> bool:
    """Whether a key names one or several fields of a structured array."""
    return type(key) is str or (type(key) is list and bool(key) and type(key[0]) is str)


@implements(GETITEM, family="indexing", shape_from_values=1)  # a tracked key decides
def getitem_rows(node: Node) -> Edges:
    """Rows by slice, number, mask or index; a tracked key is in control of what is where."""
    key = node.args[1]
    if names_fields(key):
        return row_by_row(node.n_rows)
    try:
        row_map = _along_axis_0(node, key) or moved(node, (0,))[0]
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
        plain = all(map(_is_plain, key[1:]))
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
        row_map = chosen_map(first, n)
        if row_map is not None and row_map.n_out == node.n_rows:
            return row_map
    return None


def _is_plain(part: Any) -> bool:
    """Whether a part of a key is a number or a slice; True and False are masks."""
    return isinstance(part, (int, slice)) and not isinstance(part, bool)


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


def _key_map(node: Node, key: Any, place: Place, parent: Node) -> RowMap:
    alone = key is place or (
        type(key) is tuple and key[0] is place and all(map(_is_plain, key[1:]))
    )
    if alone and len(parent.shape) == 1 and node.shape:
        return Identity(node.n_rows)
    return All(node.n_rows, parent.n_rows)
