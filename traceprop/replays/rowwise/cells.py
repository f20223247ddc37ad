"""Steps that work cell by cell, look values up in a frozen table, or choose between values."""

from __future__ import annotations

from typing import Any

import numpy as np

from traceprop.lineage.graph.node import Held, Op, Slot
from traceprop.lineage.graph.template import argument, named
from traceprop.lineage.recording.arithmetic import POWER
from traceprop.lineage.recording.methods import ASTYPE
from traceprop.lineage.registry import classification, rule_of
from traceprop.replays.rowwise.alignment import (
    RULES,
    Call,
    NotRowwise,
    Outcome,
    Rows,
    operand_shapes,
    rowwise,
    together,
)


def cell_by_cell(call: Call) -> Outcome:
    """All arrays broadcast together, options included."""
    kwargs = call.node.kwargs or {}
    if kwargs.get("where") is not None and "out" not in kwargs:
        raise NotRowwise("where= leaves cells that nobody writes")
    values = (*call.node.args, *(kwargs[name] for name in ("where", "out") if name in kwargs))
    named_too = (value for name, value in kwargs.items() if name not in ("where", "out"))
    return together(call, operand_shapes(call, (*values, *named_too)))


def is_cell_by_cell(op: Any) -> bool:
    """Whether an operation without a rule of its own works cell by cell."""
    if isinstance(op, np.ufunc):
        return op.signature is None
    return rule_of(op).family in ("text", "elementwise") and op in classification()


@rowwise(POWER, np.where, np.choose, np.select)
def _of_several(call: Call) -> Outcome:
    if call.node.op is np.where and len(call.node.args) < 3:
        raise NotRowwise("it gives the places of rows, which new rows don't have")
    whole = call.node.args[1] if len(call.node.args) > 1 else None
    if call.node.op in (np.choose, np.select) and isinstance(whole, (Slot, Held, np.ndarray)):
        raise NotRowwise("its choices stand in one array; give a list of them")
    return cell_by_cell(call)


@rowwise(np.isin)
def _is_in(call: Call) -> Outcome:
    if named(call.node, "assume_unique"):
        raise NotRowwise("assume_unique= takes all rows together")
    return _looked_up(call, 0)


@rowwise(np.digitize, np.interp)
def _binned(call: Call) -> Outcome:
    return _looked_up(call, 0)


@rowwise(np.searchsorted, np.polyval)
def _sought(call: Call) -> Outcome:
    return _looked_up(call, 1)


def _looked_up(call: Call, position: int) -> Outcome:
    """One argument is looked up, cell by cell, in others, which are taken as they were recorded."""
    i, rows = call.main(position)
    others = frozenset(k for k, held in enumerate(call.held) if held is not None and k != i)
    return call.outcome(Rows(rows.order, rows.axis), frozen=others)


@rowwise(ASTYPE)
def _cast(call: Call) -> Outcome:
    dtype = argument(call.node, 1, "dtype")
    if call.node.dtype.kind in "mM" and np.dtype(dtype) in (np.dtype("M8"), np.dtype("m8")):
        raise NotRowwise("the unit of its dates is decided by all rows; name it")
    return cell_by_cell(call)


@rowwise(np.zeros_like, np.ones_like, np.empty_like, np.full_like)
def _in_the_likeness(call: Call) -> Outcome:
    if named(call.node, "shape") is not None:
        raise NotRowwise("it is made of a shape that is written there")
    i, rows = call.main()
    others = [each for each in operand_shapes(call, call.node.args) if each[0] != i]
    together(call, [(i, call.node.inputs[i].shape), *others])
    return call.outcome(Rows(rows.order, rows.axis))


def gathered(call: Call, index: int, leads: bool = True) -> Outcome:
    """Rows of a frozen table that an index, which holds rows, names."""
    rows = call.held[index]
    shape = call.node.inputs[index].shape
    if rows is None or not leads:
        raise NotRowwise("it names cells of a frozen table by more than one index")
    if call.node.inputs[index].dtype.kind not in "iu":
        raise NotRowwise("a mask of the rows chooses among values that are frozen")
    call.others_frozen([index])
    axis = len(shape) + rows.axis
    return call.outcome(Rows(rows.order, axis - len(call.node.shape)))


def _known_codes(text: Any, categories: Any) -> Any:
    """Return the code of each text among sorted categories, -1 for the empty one.

    Raises
    ------
    ValueError
        When a text is none of them.
    """
    codes = np.minimum(np.searchsorted(categories, text), max(len(categories) - 1, 0))
    known = categories[codes] == text if len(categories) else np.zeros(np.shape(text), np.bool_)
    unknown = np.asarray(text)[~(known | (text == ""))]
    if unknown.size:
        raise ValueError(f"{str(unknown.flat[0])!r} is a text that the recorded column didn't have")
    return np.where(text == "", np.int32(-1), codes.astype(np.int32))


KNOWN_CODES = Op("codes_of_known_text", _known_codes)

RULES[np.real] = RULES[np.copy] = cell_by_cell
