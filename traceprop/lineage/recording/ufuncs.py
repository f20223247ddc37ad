"""Calls of ufuncs and their methods, with every option they have: the slow and complete way."""

from __future__ import annotations

from typing import Any

import numpy as np

from traceprop.lineage.graph.node import FIRST, make_node, slot, ufunc_method
from traceprop.lineage.recording.calls import Captured, capture, into_plain, strip
from traceprop.lineage.recording.counts import told_by_error
from traceprop.lineage.recording.escapes import escape
from traceprop.lineage.recording.plain_targets import adopt
from traceprop.lineage.recording.tracked import KIND, Tracked, before_write, spoil, wrap, write
from traceprop.lineage.recording.value_shaped import is_value_shaped
from traceprop.lineage.rules.broadcasting import BROADCAST
from traceprop.lineage.rules.mutators import record_write


def call_ufunc(
    ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run `ufunc.method(*inputs, **kwargs)`, some argument of which is tracked, and record it."""
    if method == "__call__" and not kwargs and ufunc.nout == 1:
        return _call_plainly(ufunc, inputs)
    if method == "at":
        return _call_at(ufunc, inputs, kwargs)
    outs: tuple[Any, ...] = kwargs.pop("out", None) or ()
    op: Any = ufunc
    if method != "__call__":
        op = ufunc_method(ufunc, method)
        for name in ("array", "indices"):
            kwargs.pop(name, None)  # NumPy puts them among the inputs, and leaves them here too
    captured = capture(inputs, kwargs, (1,) if method == "reduceat" else ())
    if not outs:
        results = getattr(ufunc, method)(*captured.args, **captured.kwargs)
        befores: tuple[Any, ...] = (None,) * ufunc.nout
    else:
        befores = tuple([_ready(op, captured, out) for out in outs])
        captured.kwargs["out"] = tuple(o._array if isinstance(o, Tracked) else o for o in outs)
        try:
            results = getattr(ufunc, method)(*captured.args, **captured.kwargs)
        except BaseException:
            for out, before in zip(outs, befores, strict=True):
                if isinstance(out, Tracked):
                    spoil(out, captured.nodes, before)
            raise
    if ufunc.nout == 1 or method != "__call__":
        return _finish(op, captured, results, None, outs[0] if outs else None, befores[0])
    padded = outs or (None,) * len(results)
    return tuple(
        _finish(op, captured, result, i, out, befores[i])
        for i, (result, out) in enumerate(zip(results, padded, strict=True))
    )


def _ready(op: Any, captured: Captured, out: Any) -> Any:
    """Get ready for a write into `out`, tracked or plain or none."""
    if isinstance(out, Tracked):
        return before_write(out)
    if out is not None:
        into_plain(op, captured.inputs)
    return None


def _call_plainly(ufunc: np.ufunc, inputs: tuple[Any, ...]) -> Any:
    """Run a ufunc of one result without options: nearly every call."""
    tensors: list[Tracked] = []
    plain: list[Any] = []
    template: list[Any] = []
    for value in inputs:
        stripped, kept = strip(value, tensors)
        plain.append(stripped)
        template.append(kept)
    try:
        result = ufunc(*plain)
    except ValueError:
        told_by_error([each._made_by() for each in tensors])
        raise
    if type(result) is not np.ndarray and not isinstance(result, np.generic):
        return leave(tensors[0], result, ufunc)
    nodes = tuple([t._node if t._state is None else t._made_by() for t in tensors])
    node = make_node(ufunc, nodes, tuple(template), None, result.shape, result.dtype)
    return wrap(type(tensors[0]), result, node)


def leave(tensor: Tracked, result: Any, op: Any) -> Any:
    """Hand out a result that isn't an array: a cell of an object array, or NotImplemented."""
    if result is not NotImplemented:
        escape(tensor, f"an object out of np.{op.__name__}")
    return result


def _finish(
    op: Any,
    captured: Captured,
    result: Any,
    item: int | None,
    out: Any,
    before: Any,
) -> Any:
    """Give one result its node: a new tensor, or the tensor it was written into."""
    if not isinstance(result, (np.ndarray, np.generic)):
        return leave(captured.inputs[0] if captured.inputs else out, result, op)
    nodes, template, shape = captured.nodes, captured.template_kwargs, result.shape
    if isinstance(out, Tracked) and (_keeps_cells(captured) or is_value_shaped(out)):
        template = {**(template or {}), "out": slot(len(nodes))}
        nodes = (*nodes, out.node)
    elif out is not None:
        shape = _own_shape(op, captured, shape)
    node = make_node(op, nodes, captured.template, template, shape, result.dtype, item)
    if shape != result.shape:
        target = (out.node,) if isinstance(out, Tracked) else ()
        args = (FIRST, result.shape)
        node = make_node(BROADCAST, (node, *target), args, None, result.shape, result.dtype)
    if isinstance(out, Tracked):
        write(out, node, before)
        return out
    if out is not None and not captured.inputs:
        return out  # plain values, and another result went into a tensor
    wrapped = wrap(KIND[0], result, node)
    if out is not None:
        adopt(out, wrapped)
    return wrapped


def _own_shape(op: Any, captured: Captured, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a call has without `out`, which may be wider and is broadcast to."""
    if not isinstance(op, np.ufunc) or op.signature is not None:
        return shape
    operands = (*captured.args[: op.nin], captured.kwargs.get("where", True))
    if any(np.shape(each) == shape for each in operands):
        return shape
    return np.broadcast_shapes(*map(np.shape, operands))


def _keeps_cells(captured: Captured) -> bool:
    """Whether cells of `out` can keep what they held: `where=` left them out."""
    return captured.kwargs.get("where", True) is not True


def _call_at(ufunc: np.ufunc, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    op = ufunc_method(ufunc, "at")
    record_write(op, capture(inputs, kwargs, (1,)), inputs[0])
