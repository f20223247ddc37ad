"""Running a call on tracked arrays: take the arrays out, call NumPy, wrap what comes back.

`call` serves every function that has no faster way of its own. It replaces tracked arrays in the
arguments by plain ones, keeps the template, runs the function, and gives each resulting array a
node. Results that share memory with an argument become views of it; `out=` becomes a write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import count
from typing import Any, Final, NamedTuple

import numpy as np

from traceprop.errors import LineageError
from traceprop.lineage.graph.node import Constant, Held, Node, make_node, slot
from traceprop.lineage.graph.template import Place, count_needed, parameter_names, transform
from traceprop.lineage.recording.counts import told_by_error
from traceprop.lineage.recording.escapes import escape
from traceprop.lineage.recording.kept_arrays import constant, hold_plain
from traceprop.lineage.recording.plain_targets import adopt, adopted
from traceprop.lineage.recording.shapes import RowShape
from traceprop.lineage.recording.tracked import (
    KIND,
    LARGE,
    Tracked,
    attach_view,
    before_write,
    hold,
    shares_memory,
    spoil,
    write,
)
from traceprop.lineage.recording.value_shaped import is_value_shaped
from traceprop.lineage.registry import rule_of

Function = Callable[..., Any]

_SIMPLE: Final = frozenset({int, float, bool, str, type(None), type, slice, type(Ellipsis)})


class Captured:
    """A call's arguments, apart.

    Attributes
    ----------
    inputs : list of Tracked
    nodes : tuple of Node
        The inputs' nodes, as they were before the call.
    args, kwargs
        The plain values.
    template, template_kwargs
        What the node keeps of them.
    """

    __slots__ = ("args", "inputs", "kwargs", "nodes", "template", "template_kwargs")

    inputs: list[Tracked]
    nodes: tuple[Node, ...]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    template: tuple[Any, ...]
    template_kwargs: dict[str, Any] | None


def capture(
    args: Sequence[Any], kwargs: dict[str, Any], values: Sequence[int | str] = ()
) -> Captured:
    """Take a call's arguments apart.

    Parameters
    ----------
    args, kwargs
        As the caller gave them.
    values : collection of (int or str)
        Positions and names of arguments whose values the row rule needs (masks, indices).
    """
    captured = Captured()
    inputs: list[Tracked] = []
    plain: list[Any] = []
    template: list[Any] = []
    for value in args:
        if type(value) in _SIMPLE:
            plain.append(value)
            template.append(value)
        else:
            stripped, kept = strip(value, inputs, values and len(plain) in values)
            plain.append(stripped)
            template.append(kept)
    captured.args = tuple(plain)
    captured.template = tuple(template)
    captured.kwargs = {}
    captured.template_kwargs = None
    if kwargs:
        captured.template_kwargs = {}
        for name, value in kwargs.items():
            stripped, kept = strip(value, inputs, name in values)
            captured.kwargs[name] = stripped
            captured.template_kwargs[name] = kept
    nodes: list[Node] = []
    for tensor in inputs:
        nodes.append(tensor._node if tensor._state is None else tensor._made_by())
    captured.nodes = tuple(nodes)
    captured.inputs = inputs
    return captured


def strip(value: Any, inputs: list[Tracked], chooses: Any = False) -> tuple[Any, Any]:
    """Return a value without tracked arrays, and its template; collect the arrays' tensors."""
    if isinstance(value, Tracked):
        value = value.in_numpy()
        index = len(inputs)
        inputs.append(value)
        return value._array, hold(value, index) if chooses else slot(index)
    kind = type(value)
    if kind is tuple or kind is list:
        plain: list[Any] = []
        template: list[Any] = []
        for each in value:
            if type(each) is KIND[0] and not chooses:
                template.append(slot(len(inputs)))
                inputs.append(each)
                plain.append(each._array)
            else:
                stripped, kept = strip(each, inputs, chooses)
                plain.append(stripped)
                template.append(kept)
        return (tuple(plain), tuple(template)) if kind is tuple else (plain, template)
    if isinstance(value, np.ndarray):
        known = adopted(value, KIND[0])
        if known is not None:
            return strip(known, inputs, chooses)
        if isinstance(value, np.matrix):
            raise LineageError(
                "np.matrix multiplies in its own way, which a tensor can't take over: pass "
                "np.asarray(matrix)."
            )
        return value, hold_plain(value) if chooses else constant(value)
    if isinstance(value, RowShape):
        return (plain_shape := value.all()), plain_shape
    return value, value


class _Traits(NamedTuple):
    """What recording a function has to know of it."""

    out: int  # position of `out`; beyond all positions where it has none
    needed: int  # arguments without a default
    values: tuple[int | str, ...]


@cache
def _traits(function: Function) -> _Traits:
    names = parameter_names(function)
    out = names.index("out") if "out" in names else 1 << 30
    return _Traits(out, count_needed(function), rule_of(function).values)


def in_order(
    function: Function, args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Put arguments that a function can't do without in their places, if they came by name."""
    if not kwargs or len(args) >= _traits(function).needed:
        return tuple(args), kwargs
    ordered, rest = list(args), dict(kwargs)
    for name in parameter_names(function)[len(args) : _traits(function).needed]:
        if name not in rest:
            break
        ordered.append(rest.pop(name))
    return tuple(ordered), rest


def call(function: Function, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Call a NumPy function on arguments with tracked arrays among them, and record it."""
    out_position, needed, values = _traits(function)
    if kwargs or len(args) > out_position:
        if len(args) < needed:
            args, kwargs = in_order(function, args, kwargs)
        out, args, kwargs = _take_out(function, out_position, args, kwargs)
        if out is not None:
            return call_into(function, capture(args, kwargs, values), out)
    captured = capture(args, kwargs, values)
    try:
        result = function(*captured.args, **captured.kwargs)
    except (ValueError, IndexError):
        told_by_error(captured.nodes)
        raise
    if type(result) is np.ndarray:
        return _wrap_array(function, captured, result)
    return wrap_result(function, captured, result)


def _take_out(
    function: Function, position: int, args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[Any, Sequence[Any], dict[str, Any]]:
    """Take `out` from the arguments, and name those that came after it."""
    if len(args) > position:
        names = parameter_names(function)[position + 1 :]
        after = dict(zip(names, args[position + 1 :], strict=False))
        return args[position], args[:position], {**after, **kwargs}
    if "out" in kwargs:
        return kwargs["out"], args, {name: v for name, v in kwargs.items() if name != "out"}
    return None, args, kwargs


def call_into(function: Function, captured: Captured, out: Any) -> Any:
    """Call a function that writes its result into `out`, tracked or plain."""
    nodes = captured.nodes
    if not isinstance(out, Tracked):
        into_plain(function, captured.inputs)
        wrapped = _wrap_array(
            function, captured, function(*captured.args, **captured.kwargs, out=out)
        )
        adopt(out, wrapped)
        return wrapped
    before = before_write(out)
    try:
        function(*captured.args, **captured.kwargs, out=out._array)
    except BaseException:
        spoil(out, nodes, before)
        raise
    template, inputs = captured.template_kwargs, nodes
    # What isn't written stays, and so does what decided the shape.
    if captured.kwargs.get("where") is not None or is_value_shaped(out):
        template = {**(template or {}), "out": slot(len(nodes))}
        inputs = (*nodes, out.node)
    array = out._array
    made = make_node(function, inputs, captured.template, template, array.shape, array.dtype)
    write(out, made, before)
    return out


def into_plain(function: Function, inputs: Sequence[Tracked]) -> None:
    """Say that values are about to go into a plain array."""
    for tensor in inputs[:1]:
        escape(tensor, f"{door_name(function)} into a plain array")


def wrap_result(function: Function, captured: Captured, result: Any) -> Any:
    """Give each array in a function's result its node."""
    if isinstance(result, (np.ndarray, np.generic)):
        return _wrap_array(function, captured, result)
    if isinstance(result, (tuple, list)):
        return _wrap_several(function, captured, result, count())
    if captured.inputs:
        escape(captured.inputs[0], door_name(function))
    return result


def _wrap_several(
    function: Function,
    captured: Captured,
    result: Any,
    numbers: Iterator[int],
) -> Any:
    """Wrap a tuple or list of results, numbering the arrays in it in order."""
    wrapped = []
    for each in result:
        if isinstance(each, (np.ndarray, np.generic)):
            wrapped.append(_wrap_array(function, captured, each, next(numbers)))
        elif isinstance(each, (tuple, list)):
            wrapped.append(_wrap_several(function, captured, each, numbers))
        else:
            if each is not None and captured.inputs:
                escape(captured.inputs[0], door_name(function))
            wrapped.append(each)
    kind = type(result)
    return kind(*wrapped) if hasattr(kind, "_fields") else kind(wrapped)


def _wrap_array(
    function: Function, captured: Captured, result: Any, item: int | None = None
) -> Any:
    node = Node()
    node.op = function
    node.inputs = captured.nodes
    node.args = captured.template
    node.kwargs = captured.template_kwargs
    node.shape = result.shape
    node.dtype = result.dtype
    node.item = item
    node.memo = None
    inputs = captured.inputs
    wrapped = type(inputs[0])()
    wrapped._array = result
    wrapped._node = node
    wrapped._state = None
    wrapped._reuse = False if result.size > LARGE else None
    if type(result) is np.ndarray:
        for position, tensor in enumerate(inputs):
            if result is tensor._array:
                rule = rule_of(function)
                if not (rule.returns_argument or rule.returns_by_shape):
                    return tensor
            elif result.base is None or not shares_memory(result, tensor._array):
                continue
            if position:
                wrapped._node = _led_by(node, position)
            attach_view(wrapped, tensor)
            break
    return wrapped


def _led_by(node: Node, position: int) -> Node:
    """Return the node with one input in front: a view's parent is its first input."""
    others = [i for i in range(len(node.inputs)) if i != position]
    order = {old: new for new, old in enumerate([position, *others])}
    return make_node(
        node.op,
        tuple(node.inputs[i] for i in order),
        renumber(node.args, order),
        renumber(node.kwargs, order),
        node.shape,
        node.dtype,
        node.item,
    )


def renumber(template: Any, order: dict[int, int]) -> Any:
    """Return a template with its slots numbered anew."""

    def place(old: Place) -> Place:
        if isinstance(old, Constant):
            return old
        index = order.get(old.index, -1)
        return Held(index, old.array, old.mark) if isinstance(old, Held) else slot(index)

    return transform(template, place)


def door_name(function: Function) -> str:
    """Return what a function is called where it is a door out of the lineage."""
    name = getattr(function, "__name__", None) or getattr(function, "name", "")
    return f"np.{name}"
