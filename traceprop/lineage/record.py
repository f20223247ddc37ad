"""Running a call on tracked arrays: take the arrays out, call NumPy, wrap what comes back.

`call` serves every function that has no faster way of its own. It replaces tracked arrays in the
arguments by plain ones, keeps the template, runs the function, and gives each resulting array a
node. Results that share memory with an argument become views of it; `out=` becomes a write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from traceprop.lineage.core import (
    Tracked,
    attach_view,
    before_write,
    hold,
    shares_memory,
    wrap,
    write,
)
from traceprop.lineage.escapes import escape
from traceprop.lineage.held import constant, hold_plain
from traceprop.lineage.node import Node, make_node, slot
from traceprop.lineage.registry import values_of
from traceprop.lineage.template import parameter_names, transform

Function = Callable[..., Any]


class Captured:
    """A call's arguments, apart: the tracked inputs, the plain values, the template.

    Parameters
    ----------
    args, kwargs
        As the caller gave them.
    values : collection of (int or str)
        Positions and names of arguments whose values the row rule needs (masks, indices).
    """

    __slots__ = ("args", "inputs", "kwargs", "template", "template_kwargs")

    def __init__(
        self,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        values: Sequence[int | str] = (),
    ) -> None:
        self.inputs: list[Tracked] = []
        plain, template = [], []
        for position, value in enumerate(args):
            stripped, kept = self._strip(value, position in values)
            plain.append(stripped)
            template.append(kept)
        self.args = tuple(plain)
        self.template = tuple(template)
        self.kwargs: dict[str, Any] = {}
        self.template_kwargs: dict[str, Any] | None = None
        if kwargs:
            self.template_kwargs = {}
            for name, value in kwargs.items():
                stripped, kept = self._strip(value, name in values)
                self.kwargs[name] = stripped
                self.template_kwargs[name] = kept

    def _strip(self, value: Any, chooses: bool) -> tuple[Any, Any]:
        if isinstance(value, Tracked):
            index = len(self.inputs)
            self.inputs.append(value)
            return value._array, hold(value, index) if chooses else slot(index)
        kind = type(value)
        if kind is tuple or kind is list:
            pairs = [self._strip(each, chooses) for each in value]
            return kind(pair[0] for pair in pairs), kind(pair[1] for pair in pairs)
        if isinstance(value, np.ndarray):
            return value, hold_plain(value, 0) if chooses else constant(value)
        return value, value

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The inputs' nodes, in the order of their slots."""
        return tuple(tensor.node for tensor in self.inputs)


def call(function: Function, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Call a NumPy function on arguments with tracked arrays among them, and record it."""
    out = kwargs.get("out")
    if out is None:
        position = out_position(function)
        if position is not None and len(args) > position:
            out = args[position]
            names = parameter_names(function)
            kwargs = {
                **dict(zip(names[position + 1 :], args[position + 1 :], strict=False)),
                **kwargs,
            }
            args = args[:position]
    elif "out" in kwargs:
        kwargs = {name: value for name, value in kwargs.items() if name != "out"}
    captured = Captured(args, kwargs, values_of(function))
    if out is not None:
        return call_into(function, captured, out)
    result = function(*captured.args, **captured.kwargs)
    return wrap_result(function, captured, result)


def call_into(function: Function, captured: Captured, out: Any) -> Any:
    """Call a function that writes its result into `out`, tracked or plain."""
    nodes = captured.nodes
    if not isinstance(out, Tracked):
        result = function(*captured.args, **captured.kwargs, out=out)
        if captured.inputs:
            escape(captured.inputs[0], f"{_name(function)}(out=) into a plain array")
        return _wrap_array(function, captured, result, None, nodes)
    before_write(out)
    function(*captured.args, **captured.kwargs, out=out._array)
    template, inputs = captured.template_kwargs, nodes
    if captured.kwargs.get("where") is not None:  # what isn't written stays
        template = {**(template or {}), "out": slot(len(nodes))}
        inputs = (*nodes, out.node)
    array = out._array
    write(out, make_node(function, inputs, captured.template, template, array.shape, array.dtype))
    return out


def wrap_result(function: Function, captured: Captured, result: Any) -> Any:
    """Give each array in a function's result its node."""
    if isinstance(result, (np.ndarray, np.generic)):
        return _wrap_array(function, captured, result, None, captured.nodes)
    if isinstance(result, (tuple, list)):
        counter = iter(range(1 << 62))
        nodes = captured.nodes
        return _wrap_several(function, captured, result, counter, nodes)
    if captured.inputs:
        escape(captured.inputs[0], _name(function))
    return result


def _wrap_several(
    function: Function, captured: Captured, result: Any, counter: Any, nodes: tuple[Node, ...]
) -> Any:
    """Wrap a tuple or list of results, numbering the arrays in it in order."""
    wrapped = []
    for each in result:
        if isinstance(each, (np.ndarray, np.generic)):
            wrapped.append(_wrap_array(function, captured, each, next(counter), nodes))
        elif isinstance(each, (tuple, list)):
            wrapped.append(_wrap_several(function, captured, each, counter, nodes))
        else:
            wrapped.append(each)
    kind = type(result)
    return kind(*wrapped) if hasattr(kind, "_fields") else kind(wrapped)


def _wrap_array(
    function: Function,
    captured: Captured,
    result: Any,
    item: int | None,
    nodes: tuple[Node, ...],
) -> Any:
    inputs = captured.inputs
    node = make_node(
        function,
        nodes,
        captured.template,
        captured.template_kwargs,
        result.shape,
        result.dtype,
        item,
    )
    for tensor in inputs:
        if result is tensor._array:
            return tensor
    wrapped = wrap(type(inputs[0]), result, node)
    if isinstance(result, np.ndarray) and result.base is not None:
        for position, tensor in enumerate(inputs):
            if shares_memory(result, tensor._array):
                if position == 0:
                    attach_view(wrapped, tensor)
                else:
                    _attach_later_view(wrapped, tensor, position)
                break
    return wrapped


def _attach_later_view(tensor: Tracked, parent: Tracked, position: int) -> None:
    """Attach a view whose parent isn't the first input: number it first in a node of its own."""
    node = tensor._node
    captured = [node.inputs[position], *node.inputs[:position], *node.inputs[position + 1 :]]
    order = {position: 0} | {
        old: new + 1 for new, old in enumerate(i for i in range(len(node.inputs)) if i != position)
    }
    tensor._node = make_node(
        node.op,
        tuple(captured),
        renumber(node.args, order),
        renumber(node.kwargs, order),
        node.shape,
        node.dtype,
        node.item,
    )
    attach_view(tensor, parent)


def renumber(template: Any, order: dict[int, int]) -> Any:
    """Return a template with its slots numbered anew."""
    return transform(template, lambda place: slot(order[place.index]))


@cache
def out_position(function: Function) -> int | None:
    """Position of a function's `out` parameter, None where it has none or takes it by name only."""
    names = parameter_names(function)
    return names.index("out") if "out" in names else None


def _name(function: Function) -> str:
    name = getattr(function, "__name__", None) or getattr(function, "name", "")
    return f"np.{name}"
