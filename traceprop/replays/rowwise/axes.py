"""Steps along axes: reductions and scans within each row, shapes, and products with a matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from traceprop.lineage.graph.node import Op, UfuncMethod
from traceprop.lineage.graph.template import argument, named, parameter_names, shape_of, slots
from traceprop.lineage.rules.broadcasting import BROADCAST
from traceprop.lineage.rules.movement import FLATTEN
from traceprop.lineage.rules.subscripts import subscripts
from traceprop.replays.rowwise.alignment import (
    STATISTIC,
    Call,
    NotRowwise,
    Outcome,
    Rows,
    beside,
    operand_shapes,
    rowwise,
    same_rows,
)
from traceprop.replays.rowwise.cells import gathered

RESHAPED = Op(
    "reshape_rows", lambda a, axis, before, after: a.reshape((*before, a.shape[axis], *after))
)
"""`reshape_rows(a, axis, before, after)`: the axis of rows goes between two shapes."""

SPREAD = Op(
    "broadcast_rows",
    lambda a, axis, before, after: np.broadcast_to(a, (*before, a.shape[axis], *after)),
)
"""`broadcast_rows(a, axis, before, after)`: the same for `np.broadcast_to`."""

_TWICE = (np.percentile, np.quantile, np.nanpercentile, np.nanquantile)


@rowwise(
    np.sum, np.prod, np.mean, np.std, np.var, np.min, np.max, np.amin, np.amax, np.ptp, np.any,
    np.all, np.argmin, np.argmax, np.nansum, np.nanprod, np.nanmean, np.nanstd, np.nanvar,
    np.nanmin, np.nanmax, np.nanargmin, np.nanargmax, np.median, np.nanmedian, np.count_nonzero,
    *_TWICE, np.average, np.linalg.norm, np.linalg.vector_norm,
)  # fmt: skip
def _reduced(call: Call) -> Outcome:
    node = call.node
    if named(node, "returned") or named(node, "overwrite_input") or node.item is not None:
        raise NotRowwise("it gives, or changes, more than one array")
    if node.op in _TWICE:
        q = argument(node, 1, "q")
        if slots(q) or np.ndim(q):
            raise NotRowwise("several quantiles have an axis of their own; take one at a time")
    return _reduce(call, named(node, "axis"))


def reduced_by_ufunc(call: Call) -> Outcome:
    """`ufunc.reduce(a, axis)`."""
    return _reduce(call, argument(call.node, 1, "axis", 0))


def _reduce(call: Call, axis: Any) -> Outcome:
    i, rows = call.main()
    node, shape = call.node, call.node.inputs[i].shape
    axes = _axes(axis, len(shape))
    own = len(shape) + rows.axis
    if own in axes:
        raise NotRowwise(STATISTIC)
    options = operand_shapes(call, [*node.args[1:], *(node.kwargs or {}).values()])
    if any(len(each) > 1 or (k is not None and call.held[k]) for k, each in options):
        beside(call, [(i, shape), *options])  # weights and where= go with the cells
    right = sum(each > own for each in axes)
    keeps = len(node.shape) == len(shape)
    return call.outcome(Rows(rows.order, rows.axis if keeps else rows.axis + right))


def _axes(axis: Any, ndim: int) -> set[int]:
    """Return the axes that are named, counted from 0; all for None."""
    if axis is None:
        return set(range(ndim))
    if slots(axis):
        raise NotRowwise("which axis it works along is decided by values")
    each = axis if isinstance(axis, (tuple, list)) else (axis,)
    return {int(one) % max(ndim, 1) for one in each}


def _one_axis(call: Call, i: int, rows: Rows, axis: Any) -> None:
    """Refuse work along the axis of rows, or on all cells in a row."""
    ndim = len(call.node.inputs[i].shape)
    if ndim + rows.axis in _axes(axis, ndim):
        raise NotRowwise("it works along the rows, so that a row's place among the others counts")


_LAST = (np.diff, np.sort, np.argsort, np.partition, np.argpartition, np.trapezoid, np.unwrap,
         np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft, np.fft.hfft, np.fft.ihfft)  # fmt: skip


_SCANS = tuple(
    getattr(np, name) for name in ("cumulative_sum", "cumulative_prod") if hasattr(np, name)
)  # NumPy 2.1


@rowwise(
    *_LAST, *_SCANS, np.cumsum, np.cumprod, np.nancumsum, np.nancumprod, np.roll, np.repeat,
    np.delete, np.insert, np.take, np.compress, np.split, np.array_split, np.flip, np.flipud,
)  # fmt: skip
def _along(call: Call) -> Outcome:
    node = call.node
    position = 1 if node.op is np.compress else 0
    if node.op is np.take and _by_rows(call):
        return _taken(call)
    i, rows = call.main(position)
    names = parameter_names(node.op)
    default = -1 if node.op in _LAST else 0 if "split" in node.op.__name__ else None
    axis = node.kwargs["axis"] if node.kwargs and "axis" in node.kwargs else (
        node.args[names.index("axis")]
        if "axis" in names and names.index("axis") < len(node.args)
        else default
    )  # fmt: skip
    if node.op is np.flipud:
        axis = 0
    if node.op in _BY_PLACE and len(call.node.inputs[i].shape) + rows.axis in _axes(
        axis, len(call.node.inputs[i].shape)
    ):
        return _rows_by_place(call, i, rows, axis)
    _one_axis(call, i, rows, axis)
    call.others_frozen([i])
    others = [each for k, each in enumerate(node.args) if k != position]
    shapes = operand_shapes(call, [*others, *(node.kwargs or {}).values()])
    if any(len(shape) > (0 if node.op is np.insert and k else 1) for k, (_, shape) in
           enumerate(shapes)):  # fmt: skip
        raise NotRowwise("one of its operands has a value for each row of the recording")
    dropped = len(call.node.inputs[i].shape) - len(node.shape)
    own = len(call.node.inputs[i].shape) + rows.axis
    if dropped:  # np.take(X, 3, axis=1), np.trapezoid(X)
        right = min(_axes(axis, len(call.node.inputs[i].shape))) > own
        return call.outcome(Rows(rows.order, rows.axis + (dropped if right else 0)))
    return call.outcome(Rows(rows.order, rows.axis))


_BY_PLACE = (np.flip, np.flipud, np.roll, np.delete)


def _rows_by_place(call: Call, i: int, rows: Rows, axis: Any) -> Outcome:
    """Rows are turned round, or left out by their number: new rows have no place, and pass."""
    node = call.node
    if len(node.inputs) > 1 or len(_axes(axis, len(node.inputs[i].shape))) > 1 or (
        axis is None and len(node.inputs[i].shape) > 1
    ) or (node.op is np.delete and rows.order.ranked):  # fmt: skip
        raise NotRowwise("it works along the rows, so that a row's place among the others counts")
    return Outcome(rows._replace(order=rows.order.by_place(("call", call.number(node)))), passes=i)


def accumulated(call: Call) -> Outcome:
    """`ufunc.accumulate(a, axis)`."""
    i, rows = call.main()
    _one_axis(call, i, rows, argument(call.node, 1, "axis", 0))
    return call.outcome(Rows(rows.order, rows.axis))


def _by_rows(call: Call) -> bool:
    """Whether `np.take` looks rows' indices up in a frozen array."""
    first = slots(call.node.args[:1])
    return not first or call.held[first[0]] is None


def _taken(call: Call) -> Outcome:
    index = slots(named(call.node, "indices"))
    if not index or named(call.node, "axis") not in (None, 0):
        raise NotRowwise("it takes cells of a frozen array")
    return gathered(call, index[0])


@rowwise(np.take_along_axis)
def _taken_along(call: Call) -> Outcome:
    i, rows = call.main()
    _one_axis(call, i, rows, named(call.node, "axis", -1))
    index = slots(named(call.node, "indices"))
    if not index or call.held[index[0]] is None:
        raise NotRowwise("its index has a value for each row of the recording")
    same_rows(rows, call.held[index[0]])  # type: ignore[arg-type]
    return call.outcome(Rows(rows.order, rows.axis))


@rowwise(
    np.transpose, np.swapaxes, np.moveaxis, np.rollaxis, np.matrix_transpose,
    np.linalg.matrix_transpose, np.expand_dims, np.atleast_1d, np.atleast_2d, np.atleast_3d,
    np.fliplr, np.fft.fftshift, np.fft.ifftshift,
)  # fmt: skip
def _moved(call: Call) -> Outcome:
    """Do the same to an array of which the axis of rows alone is long, and see where it is."""
    i, rows = call.main()
    node, ndim = call.node, len(call.node.inputs[i].shape)
    if node.op in (np.fft.fftshift, np.fft.ifftshift):
        _one_axis(call, i, rows, named(node, "axes"))
    call.others_frozen([i])
    if i != 0 or len(node.inputs) > 1:
        raise NotRowwise("values decide about its axes")
    shape = [1] * ndim
    shape[rows.axis] = 7
    if node.op is np.fliplr and ndim + rows.axis == 1:
        raise NotRowwise("it works along the rows")
    moved = node.op(np.empty(shape), *node.args[1:], **(node.kwargs or {})).shape
    return call.outcome(Rows(rows.order, moved.index(7) - len(moved)))


@rowwise(np.squeeze)
def _squeezed(call: Call) -> Outcome:
    i, rows = call.main()
    shape = call.node.inputs[i].shape
    own = len(shape) + rows.axis
    axis = named(call.node, "axis")
    gone = _axes(axis, len(shape)) if axis is not None else {
        k for k, length in enumerate(shape) if length == 1 and k != own
    }  # fmt: skip
    if own in gone or (axis is None and call.n == 1):
        raise NotRowwise("it takes the axis of rows away, where there is one row")
    right = sum(each > own for each in gone)
    args = (call.node.args[0], tuple(sorted(gone)))
    return call.outcome(Rows(rows.order, rows.axis + right), args=args, kwargs={})


@rowwise(np.reshape, np.ravel, FLATTEN)
def _reshaped(call: Call) -> Outcome:
    i, rows = call.main()
    node, shape = call.node, call.node.inputs[i].shape
    order = named(node, "order", "C") if node.op is not FLATTEN else (*node.args[1:], "C")[0]
    if order != "C" and max(len(shape), len(node.shape)) > 1:
        raise NotRowwise("it lays cells out in another order than row by row")
    own = len(shape) + rows.axis
    place = _same_place(shape, own, node.shape)
    before, after = node.shape[:place], node.shape[place + 1 :]
    return call.outcome(
        Rows(rows.order, place - len(node.shape)),
        op=RESHAPED,
        args=(node.args[0], own, before, after),
        kwargs={},
    )


def _same_place(shape: tuple[int, ...], own: int, after: tuple[int, ...]) -> int:
    """Return the axis of a reshaped array on which rows still are."""
    n, before = shape[own], math.prod(shape[:own])
    if n > 1:
        for axis, length in enumerate(after):
            if length == n and math.prod(after[:axis]) == before:
                return axis
    elif after == shape:
        return own
    raise NotRowwise("it puts cells of several rows together, or counts the rows: reshape each row")


@rowwise(np.broadcast_to, BROADCAST)
def _spread(call: Call) -> Outcome:
    i, rows = call.main()
    node = call.node
    if len(node.shape) < -rows.axis or node.shape[rows.axis] != call.n or call.n == 1:
        raise NotRowwise("it repeats the rows")
    if any(each is not None and k != i and len(node.inputs[k].shape) >= -each.axis
           and each.axis != rows.axis for k, each in enumerate(call.held)):  # fmt: skip
        raise NotRowwise("it sets every row against every row")
    own = len(node.shape) + rows.axis
    args = (node.args[0], len(node.inputs[i].shape) + rows.axis, node.shape[:own],
            node.shape[own + 1 :])  # fmt: skip
    return Outcome(Rows(rows.order, rows.axis), op=SPREAD, args=args, kwargs={},
                   inputs=node.inputs)  # fmt: skip


@rowwise(np.matmul, np.dot, np.linalg.matmul)
def _multiplied(call: Call) -> Outcome:
    """Rows times a frozen matrix, or a frozen matrix times rows that are columns."""
    node = call.node
    if (node.kwargs and {"axes", "axis", "out"} & node.kwargs.keys()) or len(node.args) < 2:
        raise NotRowwise("its axes are named")
    held = [_rows_at(call, node.args[k]) for k in (0, 1)]
    shapes = [shape_of(node, node.args[k]) for k in (0, 1)]
    if (held[0] is None) == (held[1] is None):
        raise NotRowwise("it multiplies rows by rows, a sum over all of them")
    first = held[0] is not None
    rows = held[0] if first else held[1]
    own, other = (shapes[0], shapes[1]) if first else (shapes[1], shapes[0])
    assert rows is not None
    if len(other) > 2 or not other or len(own) > 2 or len(own) == 1:
        raise NotRowwise("it multiplies stacks of matrices; multiply two matrices")
    if rows.axis != (-2 if first else -1):
        raise NotRowwise("it is a sum over all rows")
    axis = rows.axis + (1 if first and len(other) == 1 else 0)
    return call.outcome(Rows(rows.order, axis))


def _rows_at(call: Call, value: Any) -> Rows | None:
    found = slots(value)
    return call.held[found[0]] if found else None


@rowwise(np.einsum)
def _summed(call: Call) -> Outcome:
    read = subscripts(call.node)
    if read is None:
        raise NotRowwise("its subscripts aren't known")
    terms, out = read
    label, order = None, None
    for own, value in terms:
        rows = _rows_at(call, value)
        if rows is None:
            continue
        here = own[len(own) + rows.axis]
        if label is None:
            label, order = here, rows.order
        elif label != here or order is None or order.key != rows.order.key:
            raise NotRowwise("it sets rows against other rows")
    frozen = [own for own, value in terms if _rows_at(call, value) is None]
    if label is None or order is None or label not in out or any(label in own for own in frozen):
        raise NotRowwise("it is a sum over all rows")
    if any(list(own).count(label) > 1 for own, _ in terms):
        raise NotRowwise("it takes the diagonal of rows")
    return call.outcome(Rows(order, list(out).index(label) - len(out)))


def rule_of_method(op: Any) -> Any:
    """Return the rule of a ufunc's method, None where it has none."""
    if isinstance(op, UfuncMethod):
        return {"reduce": reduced_by_ufunc, "accumulate": accumulated}.get(op.method)
    return None
