"""Running a torch call on tracked tensors: take the tensors out, call torch, wrap what comes back.

What `lineage.recording.calls` is for NumPy. Results that share memory with an argument become views
of it; in-place functions, `inplace=True` and `out=` become writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, Final

import numpy as np
import torch

from traceprop.errors import LineageError
from traceprop.interop.torch.tracked.ops import OPS, TorchOp, known_dtype, op_of
from traceprop.interop.torch.tracked.plain import KIND, constant_of, known_tensor
from traceprop.interop.torch.tracked.values import DTYPES, numpy_dtype, to_numpy
from traceprop.lineage.graph.node import FIRST, ONE, Held, Node, make_node, slot
from traceprop.lineage.recording.calls import Captured, renumber
from traceprop.lineage.recording.escapes import escape
from traceprop.lineage.recording.kept_arrays import constant, hold_plain
from traceprop.lineage.recording.tracked import Tracked, attach_view, hold

Function = Callable[..., Any]
Values = Sequence[int | str]

SIMPLE: Final = frozenset({int, float, bool, str, type(None), slice, type(Ellipsis), complex})
"""Types of parameters that are kept in a template as they are."""

_CHOOSERS: Final = frozenset({torch.bool, torch.int64})
"""Types of masks and indices, which no gradient and no conjugation can be waiting on."""

HANDLERS: Final[list[Callable[[TorchOp], Any]]] = []
"""How the handler of an operation is found; set by `tracked.handlers`."""

WAYS: Final[list[Callable[[TorchOp, tuple[type, ...]], Any]]] = []
"""How the short way of types of arguments is found; set by `tracked.ways`."""

WRITERS: Final[dict[bool, Callable[..., Any]]] = {}
"""How `inplace=True` (False) and `out=` (True) are executed; set by `tracked.writes`."""

_FIRST: Final = ("input", "tensors", "tensor", "self", "x", "A")


def capture(op: TorchOp, args: Sequence[Any], kwargs: dict[str, Any]) -> Captured:
    """Take a call's arguments apart; see `lineage.recording.calls.Captured`."""
    if not args and kwargs:
        for name in _FIRST:
            if name in kwargs:
                args = (kwargs[name],)
                kwargs = {other: value for other, value in kwargs.items() if other != name}
                break
    captured = Captured()
    inputs: list[Tracked] = []
    plain: list[Any] = []
    template: list[Any] = []
    values = op.values
    tracked = KIND[0]
    for value in args:
        kind = type(value)
        if kind in SIMPLE:
            plain.append(value)
            template.append(value)
        elif kind is tracked and not (values and len(plain) in values):
            template.append(slot(len(inputs)))
            inputs.append(value)
            plain.append(value._array)
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
    captured.nodes = tuple([t._node if t._state is None else t._made_by() for t in inputs])
    captured.inputs = inputs
    return captured


def strip(value: Any, inputs: list[Tracked], chooses: Any = False) -> tuple[Any, Any]:
    """Return a value without tracked tensors, and its template; collect the tensors."""
    kind = type(value)
    if kind in SIMPLE:
        return value, value
    if kind is KIND[0] and not chooses:
        inputs.append(value)
        return value._array, slot(len(inputs) - 1)
    if isinstance(value, torch.Tensor):
        known = known_tensor(value)
        if known is None:
            if chooses:
                return value, hold_chooser(value)
            return value, constant_of(value)
        value = known
    if isinstance(value, Tracked):
        index = len(inputs)
        inputs.append(value)
        return value._array, _held(value, index) if chooses else slot(index)
    if kind is tuple or kind is list or kind is torch.Size:
        plain: list[Any] = []
        template: list[Any] = []
        for each in value:
            stripped, kept = strip(each, inputs, chooses)
            plain.append(stripped)
            template.append(kept)
        return (plain, template) if kind is list else (tuple(plain), tuple(template))
    if isinstance(value, np.ndarray):
        return value, hold_plain(value) if chooses else constant(value)
    if kind is torch.dtype:
        return value, numpy_dtype(value)
    return value, value


def _held(value: Tracked, index: int) -> Any:
    """Hold a tracked tensor's values as they are now: they choose rows."""
    array = value._array
    return hold(value, index, chooser(array) if isinstance(array, torch.Tensor) else None)


def chooser(tensor: torch.Tensor) -> Any:
    """Return a mask or an index as an array; bytes are a mask, as torch takes them."""
    if tensor.dtype in _CHOOSERS and tensor.is_cpu and tensor.layout is torch.strided:
        return tensor.numpy()
    array = to_numpy(tensor)
    return array != 0 if array.dtype == np.uint8 else array


def hold_chooser(tensor: torch.Tensor) -> Held:
    """Hold a plain mask or index."""
    return hold_plain(chooser(tensor))


def call(op: TorchOp, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Call a torch function on arguments with tracked tensors among them, and record it."""
    captured = capture(op, args, kwargs)
    result = op.function(*captured.args, **captured.kwargs)
    if isinstance(result, torch.Tensor):
        return wrap_result(op, captured, result)
    return wrap_several(op, captured, result, count())


def call_torch(function: Function, args: Sequence[Any], kwargs: dict[str, Any] | None) -> Any:
    """Do what a torch function does with tracked tensors among its arguments."""
    op = OPS.get(function) or op_of(function)
    if kwargs and kwargs.get("out", op) is None:  # as torch's own Python code passes it on
        kwargs = {name: value for name, value in kwargs.items() if name != "out"}
    handler = op.handler
    if handler is None:
        handler = op.handler = HANDLERS[0](op)
    if not kwargs:
        kinds = tuple(map(type, args))
        way = op.ways.get(kinds, op)
        if way is op:
            way = WAYS[0](op, kinds)
        if way is not None:
            return way(args)
    if handler is not call:
        return handler(op, args, kwargs or {})
    if args and type(args[0]) is KIND[0] and is_simple(args[1:], kwargs):
        return record_one(op, args[0], args[1:], kwargs)
    if kwargs and (kwargs.get("out") is not None or kwargs.get("inplace")):
        return WRITERS["out" in kwargs](op, args, kwargs)
    return call(op, args, kwargs or {})


def is_simple(rest: Sequence[Any], kwargs: dict[str, Any] | None) -> bool:
    """Whether arguments are numbers, names, slices, tuples of numbers, and nothing is written."""
    for value in rest:
        if type(value) not in SIMPLE and not (type(value) is tuple and _is_numbers(value)):
            return False
    if kwargs:
        if kwargs.get("inplace"):
            return False
        for value in kwargs.values():
            if type(value) not in SIMPLE and not (type(value) is tuple and _is_numbers(value)):
                return False
    return True


def _is_numbers(value: tuple[Any, ...]) -> bool:
    for each in value:  # noqa: SIM110 - `all` would make a generator, on the hot path
        if type(each) is not int:
            return False
    return True


def record_one(op: TorchOp, tensor: Tracked, rest: Any, kwargs: dict[str, Any] | None) -> Any:
    """Call a torch function on one tensor and plain parameters, and record it.

    As with NumPy's operators, what can be made before the operation is made before it: after a
    large one the caches are cold.
    """
    array = tensor._array
    made = Node()
    made.op = op
    made.inputs = (tensor._node if tensor._state is None else tensor._made_by(),)
    made.args = (FIRST, *rest) if rest else ONE
    made.kwargs = kwargs or None
    made.item = made.memo = None
    wrapped = KIND[0]()
    wrapped._node = made
    wrapped._state = wrapped._reuse = None
    if kwargs:
        result = op.function(array, *rest, **kwargs)
    else:
        result = op.function(array, *rest) if rest else op.function(array)
    if type(result) is not torch.Tensor or result.layout is not torch.strided:
        captured = Captured()
        captured.inputs, captured.nodes = [tensor], made.inputs
        captured.template, captured.template_kwargs = made.args, made.kwargs
        return wrap_several(op, captured, result, count())
    wrapped._array = result
    made.shape = result.shape
    made.dtype = DTYPES[result.dtype]
    if not op.fresh:
        if result is array:
            return tensor
        memory = result.untyped_storage().data_ptr()
        if memory and memory == array.untyped_storage().data_ptr():
            attach_view(wrapped, tensor)
    return wrapped


def wrap_several(op: TorchOp, captured: Captured, result: Any, numbers: Iterator[int]) -> Any:
    """Wrap a result that isn't one tensor, numbering the tensors in it in order."""
    if isinstance(result, torch.Tensor):
        return wrap_result(op, captured, result, next(numbers))
    if isinstance(result, (tuple, list)) and not isinstance(result, torch.Size):
        wrapped = [wrap_several(op, captured, each, numbers) for each in result]
        kind = type(result)
        return kind(*wrapped) if hasattr(kind, "_fields") else kind(wrapped)
    if result is not None and not isinstance(result, (torch.Size, torch.dtype)):
        escape(captured.inputs[0], op.name)
    return result


def wrap_result(
    op: TorchOp, captured: Captured, result: torch.Tensor, item: int | None = None
) -> Any:
    """Give one resulting tensor its node."""
    node = Node()
    node.op = op
    node.inputs = captured.nodes
    node.args = captured.template
    node.kwargs = captured.template_kwargs
    node.shape = result.shape
    node.dtype = known_dtype(result.dtype)
    node.item = item
    node.memo = None
    if result.layout is not torch.strided:
        raise LineageError(f"{op.name} gave a tensor of {result.layout}, which has no rows.")
    wrapped = KIND[0]()
    wrapped._array = result
    wrapped._node = node
    wrapped._state = wrapped._reuse = None
    if not op.fresh:
        memory = result.untyped_storage().data_ptr()
        for position, tensor in enumerate(captured.inputs):
            array = tensor._array
            if result is array:
                return tensor
            if memory and memory == _memory(array):
                if position:
                    wrapped._node = led_by(node, position)
                attach_view(wrapped, tensor)
                break
    return wrapped


def _memory(array: Any) -> int:
    if isinstance(array, torch.Tensor):
        return array.untyped_storage().data_ptr()
    return 0


def led_by(node: Node, position: int) -> Node:
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
