"""Short ways to a call's record, each found once for an operation and the types of its arguments.

The general way (`calls.call`, `writes.write_call`) looks at every argument of every call anew. What
it finds out follows nearly always from their types alone: which are tracked, which choose rows,
which are plain parameters. So that is worked out once, and kept at the operation. A way leaves the
same node as the general one; where types don't
decide, there is no short way, and the general one is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, Final

import torch

from traceprop.interop.torch.tracked.calls import (
    SIMPLE,
    WAYS,
    call,
    hold_chooser,
    wrap_several,
)
from traceprop.interop.torch.tracked.ops import TorchOp
from traceprop.interop.torch.tracked.plain import KIND
from traceprop.interop.torch.tracked.values import DTYPES
from traceprop.interop.torch.tracked.writes import left_as_called, write_alone, write_call
from traceprop.lineage.graph.node import FIRST, SLOTS, Node
from traceprop.lineage.recording.calls import Captured
from traceprop.lineage.recording.plain_targets import ADOPTIONS
from traceprop.lineage.recording.tracked import spoil, write

Way = Callable[[tuple[Any, ...]], Any]
Kinds = tuple[type, ...]

_KEPT: Final = 64
"""Ways of one operation, from which on no more are kept."""

_PLAIN: Final = torch.Tensor


def find_way(op: TorchOp, kinds: Kinds) -> Way | None:
    """Return the short way of positional arguments of these types, None where there is none."""
    found = _made(op, kinds)
    if len(op.ways) < _KEPT and len(kinds) <= len(SLOTS):
        op.ways[kinds] = found
    return found


def _made(op: TorchOp, kinds: Kinds) -> Way | None:
    alone = bool(kinds) and kinds[0] is KIND[0] and SIMPLE.issuperset(kinds[1:])
    if op.handler is write_call:
        return _write_alone(op) if alone else None
    if op.handler is not call:
        return None
    if alone or not op.fresh:  # `record_one` is short enough, and knows views
        return None
    tracked: list[int] = []
    choosers: list[int] = []
    for at, kind in enumerate(kinds):
        if kind is KIND[0] and at not in op.values:
            tracked.append(at)
        elif kind is _PLAIN and at in op.values:
            choosers.append(at)
        elif kind not in SIMPLE:
            return None
    return _record_several(op, tuple(tracked), tuple(choosers)) if tracked else None


def _record_several(op: TorchOp, tracked: tuple[int, ...], choosers: tuple[int, ...]) -> Way:
    """Return the way of tracked tensors, plain ones that choose rows, and plain parameters."""
    function = op.function
    placed = tuple(zip(tracked, SLOTS, strict=False))
    cls = KIND[0]

    def way(args: tuple[Any, ...]) -> Any:
        if choosers and ADOPTIONS:
            return call(op, args, {})
        plain = list(args)
        template = list(args)
        nodes = []
        for at, place in placed:
            tensor = args[at]
            nodes.append(tensor._node if tensor._state is None else tensor._made_by())
            plain[at] = tensor._array
            template[at] = place
        for at in choosers:
            template[at] = hold_chooser(args[at])
        # As in `record_one`: what can be made before the operation is made before it.
        made = Node()
        made.op = op
        made.inputs = tuple(nodes)
        made.args = tuple(template)
        made.kwargs = made.item = made.memo = None
        wrapped = cls()
        wrapped._node = made
        wrapped._state = wrapped._reuse = None
        wrapped._array = result = function(*plain)
        if type(result) is not _PLAIN or result.layout is not torch.strided:
            captured = Captured()
            captured.inputs, captured.nodes = [args[at] for at in tracked], made.inputs
            captured.template, captured.template_kwargs = made.args, None
            return wrap_several(op, captured, result, count())
        made.shape = result.shape
        made.dtype = DTYPES[result.dtype]
        return wrapped

    return way


def _write_alone(op: TorchOp) -> Way:
    """Return the way of an in-place function that reads its target and plain parameters alone."""
    function = op.function
    without = left_as_called(op)

    def way(args: tuple[Any, ...]) -> Any:
        target = args[0]
        if without is None or target._state is not None:
            return write_alone(op, target, args[1:], None)
        before = target._node
        rest = args[1:]
        made = Node()
        made.op = without
        made.inputs = (before,)
        made.args = (FIRST, *rest)
        made.kwargs = made.item = made.memo = None
        made.shape = before.shape
        made.dtype = before.dtype
        try:
            function(target._array, *rest)
        except BaseException:
            spoil(target, made.inputs, before)
            raise
        write(target, made, before)
        return target

    return way


WAYS.append(find_way)
