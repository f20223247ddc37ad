"""Steps that put arrays side by side, or rows below one another."""

from __future__ import annotations

from typing import Any

import numpy as np

from traceprop.lineage.graph.node import Slot
from traceprop.lineage.graph.template import named, slots
from traceprop.replays.rowwise.alignment import (
    A_COLUMN,
    Call,
    NotRowwise,
    Outcome,
    Rows,
    passed,
    rowwise,
    same_rows,
)

_SEVERAL = "each new row would become several, one in each of the parts that it joins"


def _parts(call: Call, value: Any) -> list[tuple[int | None, tuple[int, ...]]]:
    """Return input number and shape of each array in a list of arrays."""
    if not isinstance(value, (list, tuple)):
        raise NotRowwise("it takes the rows themselves for arrays that are to be joined")
    return [
        (each.index, call.node.inputs[each.index].shape)
        if isinstance(each, Slot)
        else (None, np.shape(each))
        for each in value
    ]


def _side_by_side(call: Call, parts: list[tuple[int | None, tuple[int, ...]]]) -> Rows:
    """Return the rows that all parts hold, each in its place."""
    rows: Rows | None = None
    for i, shape in parts:
        own = None if i is None else call.held[i]
        if own is None:
            raise NotRowwise(A_COLUMN)
        axis = len(shape) + own.axis
        if rows is not None:
            same_rows(rows, Rows(own.order, axis))
        rows = Rows(own.order, axis) if rows is None else rows
    if rows is None:
        raise NotRowwise("it joins nothing")
    return rows  # whose axis is counted from the first, here alone


def _concatenated(
    call: Call, parts: list[tuple[int | None, tuple[int, ...]]], axis: int
) -> Outcome:
    """Join along an axis, counted from the first."""
    held = [(k, i) for k, (i, _) in enumerate(parts) if i is not None and call.held[i] is not None]
    if not held:
        raise NotRowwise("it holds no rows")
    k, i = held[0]
    rows = call.held[i]
    assert rows is not None
    assert i is not None
    if len(parts[k][1]) + rows.axis != axis:
        found = _side_by_side(call, parts)
        return call.outcome(Rows(found.order, found.axis - len(call.node.shape)))
    if len(held) > 1:
        raise NotRowwise(_SEVERAL)
    for other, _ in parts:
        if other is not None and other != i and call.is_made_of(other, i):
            raise NotRowwise(_SEVERAL)
    start = sum(shape[axis] for _, shape in parts[:k])
    length = call.node.shape[axis]
    return passed(call, i, Rows(rows.order.by_place(("part", start, length)), rows.axis))


@rowwise(np.concatenate)
def _concatenate(call: Call) -> Outcome:
    axis = named(call.node, "axis", 0)
    parts = _parts(call, call.node.args[0])
    if axis is None or not parts[0][1]:
        raise NotRowwise("it puts cells of all rows in a row")
    return _concatenated(call, parts, int(axis) % len(parts[0][1]))


@rowwise(np.append)
def _append(call: Call) -> Outcome:
    axis = named(call.node, "axis")
    parts = _parts(call, call.node.args[:2])
    if axis is None and max(len(shape) for _, shape in parts) > 1:
        raise NotRowwise("it puts cells of all rows in a row")
    return _concatenated(call, parts, int(axis or 0) % max(len(parts[0][1]), 1))


@rowwise(np.hstack)
def _hstack(call: Call) -> Outcome:
    parts = _parts(call, call.node.args[0])
    return _concatenated(call, parts, 0 if len(parts[0][1]) < 2 else 1)


@rowwise(np.column_stack)
def _column_stack(call: Call) -> Outcome:
    parts = _parts(call, call.node.args[0])
    if any(i is not None and (rows := call.held[i]) and len(shape) + rows.axis
           for i, shape in parts):  # fmt: skip
        raise NotRowwise("it puts the rows below one another")
    found = _side_by_side(call, parts)
    return call.outcome(Rows(found.order, -2))


@rowwise(np.vstack)
def _vstack(call: Call) -> Outcome:
    parts = _parts(call, call.node.args[0])
    if all(len(shape) == 1 for _, shape in parts):
        return call.outcome(Rows(_side_by_side(call, parts).order, -1))
    return _concatenated(call, parts, 0)


@rowwise(np.stack, np.array, np.asarray, np.asanyarray, np.ascontiguousarray, np.asfortranarray)
def _stack(call: Call) -> Outcome:
    value = call.node.args[0]
    if isinstance(value, Slot):  # a copy, or a tensor of which the first axis is taken apart
        _, rows = call.main()
        if call.node.op is np.stack:
            raise NotRowwise("it takes the rows themselves for arrays that are to be joined")
        return call.outcome(rows)
    if any(isinstance(each, (list, tuple)) for each in value):
        raise NotRowwise("it joins lists of lists")
    found = _side_by_side(call, _parts(call, value))
    if call.node.op is not np.stack:
        return call.outcome(Rows(found.order, found.axis + 1 - len(call.node.shape)))
    axis = int(named(call.node, "axis", 0)) % len(call.node.shape)
    place = found.axis + (axis <= found.axis)
    return call.outcome(Rows(found.order, place - len(call.node.shape)))


@rowwise(np.hsplit, np.vsplit, np.dsplit)
def _split(call: Call) -> Outcome:
    i, rows = call.main()
    shape = call.node.inputs[i].shape
    axis = {np.hsplit: 0 if len(shape) == 1 else 1, np.vsplit: 0, np.dsplit: 2}[call.node.op]
    if len(shape) + rows.axis == axis or slots(call.node.args[1:]):
        raise NotRowwise("it splits the rows by their places; choose them by their values")
    return call.outcome(Rows(rows.order, rows.axis))
