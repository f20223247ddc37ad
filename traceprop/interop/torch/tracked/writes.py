"""In-place torch functions (`add_`, `x[m] = v`, `inplace=True`, `out=`) as writes into a tensor.

A function that ends in `_` does what the one without it does, and puts the result into its first
argument: so the node it leaves is that of the function without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch

from traceprop.errors import LineageError
from traceprop.interop.torch.tracked.calls import WRITERS, capture, is_simple, wrap_result
from traceprop.interop.torch.tracked.ops import TorchOp, bare_name, known_dtype, op_of
from traceprop.interop.torch.tracked.plain import KIND, adopt, known_tensor, wrap_torch
from traceprop.interop.torch.tracked.values import to_numpy
from traceprop.lineage.graph.edge import opaque
from traceprop.lineage.graph.node import CONSTANT, FIRST, Held, Op, make_node, slot
from traceprop.lineage.graph.template import slots
from traceprop.lineage.recording.calls import Captured, renumber
from traceprop.lineage.recording.escapes import escape
from traceprop.lineage.recording.tracked import Tracked, before_write, spoil, write
from traceprop.lineage.recording.value_shaped import is_value_shaped
from traceprop.lineage.registry import implements

SHARED: Final = Op("torch write of shared memory")
"""`shared(target, *others)`: a write that read cells of the memory that it wrote."""

implements(SHARED, family="mutators")(opaque)

SETITEM_NAME: Final = "torch.Tensor.__setitem__"
_CELL_BY_CELL: Final = frozenset({"elementwise", "torch: elementwise", "torch: choosing"})
_WHOLE: Final = (".fill_", ".copy_", ".zero_")


def functional(op: TorchOp) -> TorchOp:
    """Return the operation that leaves its argument alone and gives what `op` writes."""
    if op.written_as is None:
        op.written_as = op
        if op.entry.family not in ("torch: random", "torch: creation"):
            for home in (torch.Tensor, torch, torch.nn.functional):
                found = getattr(home, bare_name(op.name), None)
                if callable(found) and found is not op.function:
                    op.written_as = op_of(found)
                    break
    without: TorchOp = op.written_as
    return without


def setitem_op() -> TorchOp:
    """Return `x[key] = value` as an operation."""
    return op_of(torch.Tensor.__setitem__)


def write_call(op: TorchOp, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Run an in-place function and move its target's node on."""
    if args and type(args[0]) is KIND[0] and is_simple(args[1:], kwargs):
        return write_alone(op, args[0], args[1:], kwargs)
    captured = capture(op, args, kwargs)
    target = _target(captured, args, op)
    before = before_write(target)
    try:
        result = op.function(*captured.args, **captured.kwargs)
    except BaseException:
        spoil(target, captured.nodes, before)
        raise
    made, template, kwargs = _written(op, captured, target)
    array = target._array
    shape, dtype = tuple(array.shape), known_dtype(array.dtype)
    write(target, make_node(made, captured.nodes, template, kwargs, shape, dtype), before)
    return target if result is None or isinstance(result, torch.Tensor) else result


def write_alone(
    op: TorchOp, target: Tracked, rest: Sequence[Any], kwargs: dict[str, Any] | None
) -> Any:
    """Run an in-place function that reads nothing but its target and plain parameters."""
    before = before_write(target)
    array = target._array
    try:
        result = op.function(array, *rest, **kwargs) if kwargs else op.function(array, *rest)
    except BaseException:
        spoil(target, (before,), before)
        raise
    made, template, named = _left(op, (FIRST, *rest), kwargs)
    node = make_node(made, (before,), template, named, array.shape, known_dtype(array.dtype))
    write(target, node, before)
    return target if result is None or isinstance(result, torch.Tensor) else result


def _target(captured: Captured, args: Sequence[Any], op: TorchOp) -> Tracked:
    """Return the tensor that is written; a plain one is taken into the lineage."""
    first = args[0] if args else None
    if isinstance(first, Tracked):
        if not isinstance(first._array, torch.Tensor):
            raise LineageError(
                f"{op.name} would write into a NumPy tensor: use NumPy's own operators on it."
            )
        return first
    known = known_tensor(first) if isinstance(first, torch.Tensor) else None
    if known is not None:
        escape(captured.inputs[-1], f"{op.name} into a plain tensor")
        found: Tracked = known
        return found
    if not captured.inputs or not isinstance(first, torch.Tensor):
        raise LineageError(f"{op.name} needs a tensor to write into: give it first.")
    escape(captured.inputs[-1], f"{op.name} into a plain tensor")
    shape, dtype = tuple(first.shape), known_dtype(first.dtype)
    made: Tracked = wrap_torch(first, make_node(CONSTANT, (), (), None, shape, dtype))
    adopt(first, made)
    order = {old: old + 1 for old in range(len(captured.inputs))}
    captured.template = (FIRST, *renumber(captured.template[1:], order))
    captured.template_kwargs = renumber(captured.template_kwargs, order)
    captured.inputs.insert(0, made)
    captured.nodes = (made.node, *captured.nodes)
    return made


def _written(op: TorchOp, captured: Captured, target: Tracked) -> Any:
    """Return the operation, and the arguments, that say what the target now holds."""
    if _reads_what_it_writes(op, captured, target):
        return SHARED, tuple(map(slot, range(len(captured.inputs)))), None
    return _left(op, captured.template, captured.template_kwargs)


def _left(op: TorchOp, template: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
    """Return the operation and the arguments whose result a write leaves in its target."""
    if op.name == SETITEM_NAME:
        return op, template, kwargs or None
    if op.name.endswith(_WHOLE):
        rest = [*template[1:], *(kwargs or {}).values()]
        value = rest[0] if rest else 0
        return setitem_op(), (template[0], Ellipsis, value), None
    if kwargs and "inplace" in kwargs:
        kwargs = {name: value for name, value in kwargs.items() if name != "inplace"}
    return op.written_as or functional(op), template, kwargs or None


def left_as_called(op: TorchOp) -> TorchOp | None:
    """Return the operation that a write leaves with its arguments as they are, None for others."""
    if op.name == SETITEM_NAME or op.name.endswith(_WHOLE):
        return None
    return functional(op)


def _reads_what_it_writes(op: TorchOp, captured: Captured, target: Tracked, at: int = 1) -> bool:
    """Whether a call may read cells that it wrote before.

    Cell by cell an operand may lie exactly on what is written; anywhere else, and where cells are
    moved or summed, torch doesn't say what it reads.

    Parameters
    ----------
    at : int
        The first of the inputs that are read; the target itself comes before those.
    """
    region = target._array
    root = None if target._state is None else target._state.root
    others = [
        each._array
        for each in captured.inputs[at:]
        if each is target or (root is not None and each._state is not None
                              and each._state.root is root)
    ]  # fmt: skip
    if not others:
        return False
    if op.name == SETITEM_NAME:
        if slots(captured.template[1]) or any(isinstance(p, Held) for p in _parts(captured)):
            return True
        region = region[captured.args[1]]
    elif functional(op).entry.family not in _CELL_BY_CELL:
        return True
    return any(_overlaps(region, each) for each in others)


def _parts(captured: Captured) -> tuple[Any, ...]:
    key = captured.template[1]
    return key if type(key) is tuple else (key,)


def _overlaps(region: torch.Tensor, other: Any) -> bool:
    if not isinstance(other, torch.Tensor):
        return True
    same = region.data_ptr() == other.data_ptr() and region.shape == other.shape
    if same and region.stride() == other.stride():
        return False
    return np.may_share_memory(to_numpy(region), to_numpy(other))


def reshape_call(op: TorchOp, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`t_`, `squeeze_`, …: change a tensor's own axes; refused where others share its memory."""
    target = args[0]
    if not isinstance(target, Tracked) or target._state is not None:
        raise LineageError(
            f"{op.name} changes the axes of a tensor whose memory others share: use "
            f"x = x.{bare_name(op.name)}(...)."
        )
    captured = capture(op, args, kwargs)
    op.function(*captured.args, **captured.kwargs)
    without = functional(op)
    array = target._array
    target._node = make_node(
        without, captured.nodes, captured.template, captured.template_kwargs,
        tuple(array.shape), known_dtype(array.dtype),
    )  # fmt: skip
    return target


def call_into(op: TorchOp, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Call a function that writes its result, or its results, into `out`."""
    rest = {name: value for name, value in kwargs.items() if name != "out"}
    outs = kwargs["out"]
    several = isinstance(outs, (tuple, list))
    targets = list(outs) if several else [outs]
    captured = capture(op, args, rest)
    befores = [before_write(each) if isinstance(each, Tracked) else None for each in targets]
    plain = [each._array if isinstance(each, Tracked) else each for each in targets]
    if captured.inputs and not all(isinstance(each, Tracked) for each in targets):
        escape(captured.inputs[0], f"{op.name} into a plain tensor")
    shapes = [tuple(each.shape) for each in plain]
    try:
        op.function(*captured.args, **captured.kwargs, out=tuple(plain) if several else plain[0])
    except BaseException:
        for each, before in zip(targets, befores, strict=True):
            if isinstance(each, Tracked) and before is not None:
                spoil(each, captured.nodes, before)
        raise
    made = []
    for item, (each, before, shape) in enumerate(zip(targets, befores, shapes, strict=True)):
        made.append(_put(op, captured, each, before, item if several else None, shape))
    return type(outs)(made) if several else made[0]


def _put(
    op: TorchOp, captured: Captured, target: Any, before: Any, item: int | None,
    shape: tuple[int, ...],
) -> Any:  # fmt: skip
    """Give one `out` tensor its node."""
    if not isinstance(target, Tracked):
        if not captured.inputs:
            return target
        made = wrap_result(op, captured, target, item)
        adopt(target, made)
        return made
    array = target._array
    if tuple(array.shape) != shape and target._state is not None:
        raise LineageError(
            f"{op.name} made an out= tensor of another shape, which other tensors share: give one "
            "of the result's shape."
        )
    template, nodes = captured.template_kwargs, captured.nodes
    if is_value_shaped(target) and tuple(array.shape) == shape:
        template = {**(template or {}), "out": slot(len(nodes))}
        nodes = (*nodes, target._made_by())
    shared = _reads_what_it_writes(op, captured, target, 0)
    if shared:
        node = make_node(SHARED, nodes, tuple(map(slot, range(len(nodes)))), None,
                         tuple(array.shape), known_dtype(array.dtype))  # fmt: skip
    else:
        node = make_node(op, nodes, captured.template, template, tuple(array.shape),
                         known_dtype(array.dtype), item)  # fmt: skip
    write(target, node, before)
    return target


WRITERS[False] = write_call
WRITERS[True] = call_into
