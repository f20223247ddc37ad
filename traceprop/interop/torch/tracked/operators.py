"""The operators of torch tensors: `x + y`, `2 - x`, `x += y`, `x < y`.

The ordinary operands, another torch tensor and a number, take a short way to their record; what
NumPy holds is answered in NumPy, as far as there is a door.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch

from traceprop.interop.torch.tracked.calls import call_torch
from traceprop.interop.torch.tracked.doors import from_numpy
from traceprop.interop.torch.tracked.ops import op_of
from traceprop.interop.torch.tracked.plain import KIND
from traceprop.interop.torch.tracked.values import DTYPES
from traceprop.interop.torch.tracked.writes import functional
from traceprop.lineage.graph.node import FIRST, PAIR, Node, make_node
from traceprop.lineage.recording.tracked import Tracked, before_write, spoil, write
from traceprop.lineage.tensor import ProvenanceTensor

Method = Callable[..., Any]

NUMBERS: Final = frozenset({int, float, bool, complex})

PLAIN: Final = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "truediv": torch.div,
    "floordiv": torch.floor_divide, "mod": torch.remainder, "pow": torch.pow,
    "matmul": torch.matmul, "and": torch.bitwise_and, "or": torch.bitwise_or,
    "xor": torch.bitwise_xor, "lshift": torch.Tensor.__lshift__,
    "rshift": torch.Tensor.__rshift__,
}  # fmt: skip
COMPARISONS: Final = {
    "eq": torch.eq, "ne": torch.ne, "lt": torch.lt, "le": torch.le, "gt": torch.gt, "ge": torch.ge,
}  # fmt: skip


def _binary(plain: Callable[[Any, Any], Any], function: Any) -> Method:
    """Return the method for `tensor <op> other`; the two ordinary cases take a short way."""
    op = op_of(function)
    fixed = plain is operator.matmul  # has a shape of its own

    def method(self: Tracked, other: Any) -> Any:
        node = self._node if self._state is None else self._made_by()
        shape: tuple[int, ...] | None = node.shape
        array = self._array
        inputs: tuple[Node, ...]
        args: tuple[Any, ...]
        if type(other) is type(self):
            second = other._node if other._state is None else other._made_by()
            operand = other._array
            inputs, args = (node, second), PAIR
            if second.shape != shape:
                shape = None
        elif type(other) in NUMBERS:
            operand = other
            inputs, args = (node,), (FIRST, other)
        elif isinstance(other, (np.ndarray, ProvenanceTensor)):
            return from_numpy(plain(self.numpy(), other))  # type: ignore[attr-defined]
        elif other is None or isinstance(other, (str, list, tuple, dict)):
            return NotImplemented
        else:
            return call_torch(function, (self, other), None)
        made = Node()
        made.op = op
        made.inputs = inputs
        made.args = args
        made.kwargs = made.item = made.memo = None
        made.dtype = node.dtype
        tensor = KIND[0]()
        tensor._node = made
        tensor._state = tensor._reuse = None
        result = plain(array, operand)
        tensor._array = result
        made.shape = result.shape if shape is None or fixed else shape
        if result.dtype is not array.dtype:
            made.dtype = DTYPES[result.dtype]
        return tensor

    return method


def _reflected(plain: Callable[[Any, Any], Any], function: Method) -> Method:
    """Return the method for `other <op> tensor`, `other` no torch tensor."""

    def method(self: Tracked, other: Any) -> Any:
        if isinstance(other, (np.ndarray, ProvenanceTensor)):
            return from_numpy(plain(other, self.numpy()))  # type: ignore[attr-defined]
        if other is None or isinstance(other, (str, list, tuple, dict)):
            return NotImplemented
        return call_torch(function, (self, other), None)

    return method


def _inplace(function: Method) -> Method:
    """Return the method for `tensor <op>= other`."""
    op = functional(op_of(function))

    def method(self: Tracked, other: Any) -> Any:
        kind = type(other)
        if kind in NUMBERS or (kind is type(self) and self._state is None):
            node = before_write(self)
            array = self._array
            inputs: tuple[Node, ...] = (node,)
            args: tuple[Any, ...] = (FIRST, other)
            operand = other
            if kind is type(self):
                inputs, args, operand = (node, other._made_by()), PAIR, other._array
            try:
                function(array, operand)
            except BaseException:
                spoil(self, inputs, node)
                raise
            write(self, make_node(op, inputs, args, None, array.shape, node.dtype), node)
            return self
        if isinstance(other, Tracked) and type(other) is not type(self):
            other = from_numpy(other)
        return call_torch(function, (self, other), None)

    return method


def give_operators(kind: type[Tracked]) -> None:
    """Give the class of torch tensors torch's operators."""
    for name, function in (PLAIN | COMPARISONS).items():
        plain = getattr(operator, name if hasattr(operator, name) else f"{name}_")
        setattr(kind, f"__{name}__", _binary(plain, function))
        if name in PLAIN:
            reflected = getattr(torch.Tensor, f"__r{name}__")
            setattr(kind, f"__r{name}__", _reflected(plain, reflected))
            inplace = getattr(torch.Tensor, f"__i{name}__", None)
            setattr(kind, f"__i{name}__", _inplace(inplace) if inplace is not None else None)
