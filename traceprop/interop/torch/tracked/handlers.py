"""How calls are executed for which recording "the result" isn't enough: doors, writes, refusals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

import torch

from traceprop.errors import LineageError
from traceprop.interop.torch.tracked.calls import HANDLERS, WRITERS, call, capture
from traceprop.interop.torch.tracked.entries import ESCAPE
from traceprop.interop.torch.tracked.ops import TorchOp
from traceprop.interop.torch.tracked.plain import KIND
from traceprop.interop.torch.tracked.values import DTYPES
from traceprop.interop.torch.tracked.writes import reshape_call, write_call
from traceprop.lineage.graph.node import SLOTS, Node
from traceprop.lineage.recording.escapes import escape
from traceprop.lineage.recording.tracked import Tracked, expose
from traceprop.lineage.registry import REFUSED

Handler = Callable[[TorchOp, Sequence[Any], dict[str, Any]], Any]

_ITSELF: Final = frozenset({"requires_grad_", "detach_"})
_AXES: Final = frozenset({"t_", "transpose_", "swapaxes_", "swapdims_", "squeeze_", "unsqueeze_"})
_SHARES: Final = frozenset(
    {"__dlpack__", "data_ptr", "const_data_ptr", "untyped_storage", "storage", "share_memory_"}
)
_APART: Final = frozenset(
    {"broadcast_tensors", "meshgrid", "atleast_1d", "atleast_2d", "atleast_3d"}
)
_STATISTICS: Final = frozenset({"batch_norm", "instance_norm"})


def find_handler(op: TorchOp) -> Handler:
    """Return how calls of an operation are executed; `call` is the ordinary way."""
    entry, name = op.entry, op.name.rpartition(".")[2]
    if entry.status == REFUSED:
        return refuse
    if entry.status == ESCAPE:
        return leave
    if entry.family == "torch: metadata":
        return describe
    if op.name in ("torch.cat", "torch.concat", "torch.concatenate"):
        return join
    if name == "numpy":
        return go_to_numpy
    if name in _ITSELF:
        return itself
    if name in _APART:
        return apart
    if name in _AXES:
        return reshape_call
    if name == "__setitem__" or _writes_by_name(name):
        return write_call
    return keep_statistics if name in _STATISTICS else call


def _writes_by_name(name: str) -> bool:
    if name.startswith("__"):
        return name.startswith("__i") and name not in ("__invert__", "__int__", "__index__")
    return name.endswith("_")


def refuse(op: TorchOp, args: Sequence[Any], kwargs: dict[str, Any]) -> NoReturn:
    """Say what to do instead.

    Raises
    ------
    LineageError
        Always.
    """
    raise LineageError(f"{op.name} can't keep lineage: {op.entry.reason}.")


def leave(op: TorchOp, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Say that values leave, before they do."""
    captured = capture(op, args, kwargs)
    last = op.name.rpartition(".")[2]
    for tensor in captured.inputs:
        escape(tensor, last)
        if last in _SHARES:
            expose(tensor)
    return op.function(*captured.args, **captured.kwargs)


def describe(op: TorchOp, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Give the plain tensor's answer."""
    return op.function(*_plain(args), **{name: _plain(value) for name, value in kwargs.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, Tracked):
        return value._array
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        return type(value)(_plain(each) for each in value)
    return value


def join(op: TorchOp, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`torch.cat` of tensors, the join that programs do most; anything more the general way."""
    if kwargs.get("out") is not None:
        return WRITERS[True](op, args, kwargs)
    parts, *rest = args or ((),)
    if kwargs or type(parts) not in (tuple, list) or (rest and type(rest[0]) is not int):
        return call(op, args, kwargs)
    kind = KIND[0]
    arrays, nodes = [], []
    for part in parts:
        if type(part) is not kind:
            return call(op, args, kwargs)
        arrays.append(part._array)
        nodes.append(part._node if part._state is None else part.node)
    if len(nodes) > len(SLOTS):
        return call(op, args, kwargs)
    made = Node()
    made.op = op
    made.inputs = tuple(nodes)
    made.args = (SLOTS[: len(nodes)], *rest)
    made.kwargs = made.item = made.memo = None
    tensor = kind()
    tensor._node = made
    tensor._state = tensor._reuse = None
    tensor._array = joined = op.function(arrays, *rest)
    made.shape = joined.shape
    made.dtype = DTYPES[joined.dtype]
    return tensor


def go_to_numpy(op: TorchOp, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`Tensor.numpy(x)`: the same values as a NumPy tensor."""
    return args[0].numpy(**kwargs)


def itself(op: TorchOp, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Leave the tensor what it is, but for what autograd knows of it."""
    target = args[0]
    op.function(_plain(target), *args[1:], **kwargs)
    return target


def apart(op: TorchOp, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Record each result as a view of its own argument, where several are of one memory.

    Together they would be views of the first alone, and a write through another of them would not
    be seen. What a result shows of its argument is the argument expanded, whatever the function.
    """
    several = args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args
    tracked = [each for each in several if isinstance(each, Tracked)]
    places = {_plain(each).untyped_storage().data_ptr() for each in tracked}
    if len(places) == len(tracked):
        return call(op, args, kwargs)
    plain = [_plain(each) for each in several]
    results = list(op.function(*plain, **kwargs))
    swapped = op.name.endswith("meshgrid") and kwargs.get("indexing") == "xy" and len(plain) > 1
    for i, (argument, result) in enumerate(zip(several, results, strict=True)):
        if isinstance(argument, Tracked):
            each: Any = argument
            wanted: list[int] = list(result.shape)
            if op.name.endswith("meshgrid"):
                if swapped:
                    wanted[0], wanted[1] = wanted[1], wanted[0]
                each = each.reshape([-1 if j == i else 1 for j in range(len(wanted))])
            made: Any = each.reshape(wanted) if "atleast" in op.name else each.expand(wanted)
            results[i] = made.transpose(0, 1) if swapped else made
    return tuple(results)


def keep_statistics(op: TorchOp, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`batch_norm` in training writes running statistics of its rows into plain tensors."""
    kept = [kwargs.get("running_mean"), kwargs.get("running_var"), *args[1:5]]
    training = args[5] if len(args) > 5 else op.name.endswith("instance_norm")
    training = kwargs.get("training", kwargs.get("use_input_stats", training))
    if training:
        if any(isinstance(each, Tracked) for each in kept[:2]):
            raise LineageError(
                f"{op.name} would write its statistics into tracked tensors: give plain ones."
            )
        running = [
            each for each in kept if isinstance(each, torch.Tensor) and not each.requires_grad
        ]
        if running and isinstance(args[0], Tracked):
            escape(args[0], f"running statistics of {op.name}")
    return call(op, args, kwargs)


HANDLERS.append(find_handler)
