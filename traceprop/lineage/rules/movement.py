"""Functions that only move cells: one rule for all of them, `row_numbers.moved`.

What follows says which arguments are data, and finds the cases in which a formula gives the answer
without running anything: rows left in place, plain reshapes, work along one axis other than 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from traceprop.errors import LineageError
from traceprop.lineage.graph.edge import (
    CONTROL,
    EXTENT,
    Edge,
    Edges,
    extent_of,
    opaque,
    opaque_in_extent,
    row_by_row,
)
from traceprop.lineage.graph.node import Held, Node, Op, Slot
from traceprop.lineage.graph.template import named, parameter_names, slots
from traceprop.lineage.recording.calls import call
from traceprop.lineage.registry import CONSERVATIVE, handles, implements, rule_of
from traceprop.lineage.rowmap import All, Blocks, Identity, RowMap, Spans
from traceprop.lineage.rules.index_rows import chosen_map
from traceprop.lineage.rules.row_numbers import RowNumbers, decode, moved

FLATTEN: Final = Op("flatten", lambda a, order="C": a.flatten(order))
VIEW: Final = Op("view", lambda a, dtype: a.view(dtype))
FIELD: Final = Op("getfield", lambda a, *args: a.getfield(*args))


def moved_rows(node: Node) -> Edges:
    """Rows go where the function moves its data.

    A function with an axis works along that one only: rows stay rows along another axis, and along
    axis 0 one cell stands for the whole row.
    """
    facts = rule_of(node.op)
    data, names = facts.data, parameter_names(node.op)
    places: tuple[int | str, ...] = data + tuple(names[i] for i in data if i < len(names))
    moving = sorted(_data_slots(node, places))
    if not moving:
        return opaque_in_extent(node)
    axis = _axis(node, facts.axis, len(node.inputs[moving[0]].shape)) if facts.axis else None
    if node.op is np.concatenate and isinstance(node.args[0], Slot):
        axis = None  # one array, whose rows are what is joined
    if axis and all(node.inputs[i].n_rows == node.n_rows for i in moving):
        maps: dict[int, RowMap] = {i: Identity(node.n_rows) for i in moving}
    else:
        try:
            maps = dict(enumerate(moved(node, places, flat=axis == 0)))
        except LookupError:
            return [*opaque(node), *extent_of(node, _others(node, moving))]
    return [
        *(Edge(i, maps[i]) for i in moving),
        *extent_of(node, _others(node, moving)),
    ]


def _others(node: Node, moving: list[int]) -> list[int]:
    """List the inputs that aren't moved but say where to."""
    return [i for i in range(len(node.inputs)) if i not in moving]


def _axis(node: Node, name: str, ndim: int) -> int | None:
    """Return the one axis that the function works along, None for the flattened cells."""
    axis = named(node, name, 0)
    if not isinstance(axis, (int, np.integer)) or not ndim:
        return None
    return int(axis) % ndim


def _data_slots(node: Node, places: tuple[int | str, ...]) -> set[int]:
    found = {i for place in places if isinstance(place, int) and place < len(node.args)
             for i in slots(node.args[place])}  # fmt: skip
    for name, value in (node.kwargs or {}).items():
        if name in places:
            found.update(slots(value))
    return found


implements(
    np.fliplr, np.flipud, np.flip, np.rot90, np.tile, np.diagonal, np.linalg.diagonal, np.diag,
    np.diagflat, np.tril, np.triu, np.fft.fftshift, np.fft.ifftshift, np.rollaxis, np.hsplit,
    np.vsplit, np.dsplit, np.resize, np.stack, np.hstack, np.vstack, np.dstack, np.column_stack,
    np.block, *[getattr(np, name) for name in ("unstack",) if hasattr(np, name)],
    sliding_window_view,
    family="movement",
)(moved_rows)  # fmt: skip
implements(np.broadcast_to, np.expand_dims, family="movement", quiet=True)(moved_rows)
implements(np.squeeze, family="movement", quiet=True, returns_by_shape=True)(moved_rows)
implements(np.roll, np.concatenate, family="movement", axis="axis")(moved_rows)
implements(np.split, np.array_split, family="movement", axis="axis", quiet=True)(moved_rows)
implements(np.append, family="movement", data=(0, 1), axis="axis")(moved_rows)
implements(np.repeat, family="movement", values=(1, "repeats"), axis="axis")(moved_rows)
implements(np.delete, family="movement", values=(1, "obj"), axis="axis")(moved_rows)
implements(np.insert, family="movement", values=(1, "obj"), data=(0, 2))(moved_rows)
implements(
    np.compress, family="movement", values=(0, "condition"), data=(1,), axis="axis"
)(moved_rows)  # fmt: skip
implements(np.extract, family="movement", values=(0, "condition"), data=(1,))(moved_rows)


@implements(
    np.take, np.take_along_axis, family="movement", values=(1, "indices"), axis="axis"
)  # fmt: skip
def taken_rows(node: Node) -> list[Edge]:
    """Cells named by an index; a tracked index decides place by place."""
    try:
        row_map = _taken_along_axis_0(node)
    except LookupError:
        return opaque(node)
    edges = (
        moved_rows(node)
        if row_map is None
        else [Edge(0, row_map), *extent_of(node, range(1, len(node.inputs)))]
    )
    return [
        edge._replace(map=_places(node, node.inputs[edge.input]), kind=CONTROL)
        if edge.kind == EXTENT
        else edge
        for edge in edges
    ]


def _taken_along_axis_0(node: Node) -> RowMap | None:
    """Return the map of whole rows taken by a one-dimensional index, None for other calls."""
    index = named(node, "indices")
    if node.op is not np.take or not node.args or not isinstance(index, Held):
        return None
    whole_rows = named(node, "axis") in ((0, None) if len(node.inputs[0].shape) == 1 else (0,))
    if not isinstance(node.args[0], Slot) or not whole_rows or named(node, "mode") != "raise":
        return None
    if index.array is None or np.asarray(index.array).dtype == bool:  # np.take reads it as 0 and 1
        return None
    return chosen_map(index, node.inputs[0].n_rows)


def _places(node: Node, index: Node) -> RowMap:
    """Which of an index's rows decided about each output row."""
    axis = named(node, "axis")
    leads = node.op is np.take_along_axis or axis in (None, 0, -len(node.inputs[0].shape))
    if leads and index.shape and index.n_rows == node.n_rows:
        return Identity(node.n_rows)
    return All(node.n_rows, index.n_rows)


@handles(sliding_window_view, family="movement")
def windows(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Make windows that can be read: a write into one would change others unnoticed."""
    if kwargs.get("writeable"):
        raise LineageError(
            "Writes into overlapping windows can't be followed: write into the array itself, and "
            "leave writeable=True out."
        )
    return call(function, args, kwargs)


@implements(np.transpose, np.swapaxes, np.moveaxis, family="movement", quiet=True)
@implements(np.matrix_transpose, np.linalg.matrix_transpose, family="movement")
def transpose_rows(node: Node) -> Edges:
    """Axis 0 that stays axis 0 keeps its rows; a row across it holds a cell of every row."""
    parent = node.inputs[0]
    if len(node.inputs) > 1:
        return opaque(node)
    axes = np.empty((0, *range(1, len(parent.shape))))  # axis k has length k
    moved_axes = node.op(axes, *node.args[1:], **(node.kwargs or {})).shape
    if not moved_axes or moved_axes[0] == 0:
        return row_by_row(node.n_rows)
    return [Edge(0, All(node.n_rows, parent.n_rows))]


@implements(
    np.reshape, np.ravel, FLATTEN,
    family="movement", quiet=True, status=CONSERVATIVE,
    reason="in the order of memory ('A', 'K') every row gets all rows",
)  # fmt: skip
def reshape_rows(node: Node) -> Edges:
    """Row-major: each output row is a run of consecutive cells."""
    parent = node.inputs[0]
    order = named(node, "order", "C") if node.op is not FLATTEN else (*node.args[1:], "C")[0]
    if len(node.inputs) > 1 or order in ("A", "K"):
        return opaque(node)
    if order == "F" and max(len(parent.shape), len(node.shape)) > 1:
        return moved_rows(node)
    if parent.n_rows == node.n_rows:
        return row_by_row(node.n_rows)
    cells = int(np.prod(parent.shape))
    if not cells:
        return opaque(node)
    widths = cells // node.n_rows, cells // parent.n_rows
    return [Edge(0, Blocks(*widths, node.n_rows, parent.n_rows))]


@implements(
    np.pad,
    family="movement", status=CONSERVATIVE,
    reason="modes that compute (mean, maximum, …) give all rows to every row that they put on",
)  # fmt: skip
def pad_rows(node: Node) -> Edges:
    """Modes that copy cells move them; constants come from nowhere; other modes compute."""
    mode = named(node, "mode")
    if len(node.inputs) > 1 or not isinstance(mode, str) or mode == "linear_ramp":
        return opaque(node)  # a ramp of one row is computed in a way that others have a say in
    odd = (node.kwargs or {}).get("reflect_type") == "odd"
    if mode in ("edge", "reflect", "symmetric", "wrap") and not odd:
        return moved_rows(node)
    return [Edge(0, _padded(node, with_all=mode not in ("constant", "empty")))]


def _padded(node: Node, with_all: bool) -> RowMap:
    """Rows that were there keep their own; those put on come from all rows, or from nowhere."""
    numbers = RowNumbers(node)
    cells = np.pad(numbers.cells(0), named(node, "pad_width"), constant_values=0)
    kept = decode(cells, numbers, node.n_rows)[0]
    if not with_all or not kept.functional:
        return kept
    rows, n = kept.index(), node.inputs[0].n_rows
    return Spans(np.where(rows < 0, 0, rows), np.where(rows < 0, n, rows + 1), n)


@implements(
    np.trim_zeros,
    family="movement", returns_argument=True,
    status=CONSERVATIVE, reason="which rows are zero is in values not kept",
)  # fmt: skip
def trimmed_rows(node: Node) -> list[Edge]:
    """Any row may be any."""
    return opaque_in_extent(node)


@implements(np.asarray, family="movement", quiet=True)
@implements(
    np.array, np.require, np.asanyarray, np.ascontiguousarray, np.asfortranarray,
    family="movement",
)  # fmt: skip
def same_rows(node: Node) -> Edges:
    """Rows stay, perhaps laid out anew; a list of arrays is put together."""
    if isinstance(node.args[0], Slot) and node.shape == node.inputs[0].shape:
        return row_by_row(node.n_rows)
    return moved_rows(node)


@implements(VIEW, family="movement", quiet=True)
def view_rows(node: Node) -> Edges:
    """Another reading of the same bytes."""
    parent = node.inputs[0]
    return [Edge(0, same_bytes(node.shape, node.dtype, parent.shape, parent.dtype))]


def same_bytes(
    shape: tuple[int, ...], dtype: np.dtype[Any], of: tuple[int, ...], of_dtype: np.dtype[Any]
) -> RowMap:
    """Row map of an array from one on the same bytes: in one dimension cells may split or join."""
    rows, of_rows = (each[0] if each else 1 for each in (shape, of))
    if rows == of_rows:
        return Identity(rows)
    return Blocks(dtype.itemsize, of_dtype.itemsize, rows, of_rows)
