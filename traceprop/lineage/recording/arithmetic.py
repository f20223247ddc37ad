"""The operators of a tensor, each straight to its ufunc.

Going through `__array_ufunc__` would cost three times as much. What is here is the hot path of
all recording: an operator on two tensors, or a tensor and a number, makes the result, a node and
a tensor, and nothing else.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from sys import getrefcount
from typing import Any, Final

import numpy as np

from traceprop.lineage.graph.node import FIRST, ONE, PAIR, Node, Op, make_node
from traceprop.lineage.recording.calls import call, capture
from traceprop.lineage.recording.dying_operands import dying
from traceprop.lineage.recording.tracked import Tracked, before_write, spoil, wrap, write
from traceprop.lineage.recording.ufuncs import call_ufunc, leave
from traceprop.lineage.registry import implements
from traceprop.lineage.rules.elementwise import elementwise_rows

_NUMBERS: Final = frozenset({int, float, bool, complex})

Binary = Callable[[Tracked, Any], Any]
Unary = Callable[[Tracked], Any]


def _binary(ufunc: np.ufunc) -> Binary:
    """Return the method for `tensor <op> other`, cell by cell.

    After a large operation the caches are cold, and whatever is touched costs a hundred times what
    it does in a loop over small arrays. So all that can be is made before the operation: what was
    touched for the call is still near then, and after it little is touched again.
    """

    def method(self: Tracked, other: Any) -> Any:
        kind = type(self)
        node = self._node if self._state is None else self._made_by()
        shape: tuple[int, ...] | None = node.shape
        inputs: tuple[Node, ...]
        args: tuple[Any, ...]
        if type(other) is kind:
            second = other._node if other._state is None else other._made_by()
            inputs = (node, second)
            args = PAIR
            if second.shape is not shape and second.shape:
                shape = None
        elif type(other) in _NUMBERS:
            inputs = (node,)
            args = (FIRST, other)
        elif _defers(other):
            return NotImplemented
        else:
            return call_ufunc(ufunc, "__call__", (self, other), {})
        made = Node()
        made.op = ufunc
        made.inputs = inputs
        made.args = args
        made.kwargs = made.item = made.memo = None
        tensor = kind()
        tensor._node = made
        tensor._state = None
        reuse = self._reuse
        if args is PAIR:
            if reuse or other._reuse:
                space = dying(getrefcount(self), getrefcount(other), ufunc, self, other)
                array = ufunc(self._array, other._array, out=space)
                reuse = True
            else:
                array = ufunc(self._array, other._array)
                if reuse is False or other._reuse is False:
                    reuse = True
        elif reuse:
            space = dying(getrefcount(self), 0, ufunc, self, other)
            array = ufunc(self._array, other, out=space)
        else:
            array = ufunc(self._array, other)
            if reuse is False:
                reuse = True
        tensor._array = array
        tensor._reuse = reuse
        try:
            made.dtype = array.dtype
        except AttributeError:  # a cell of an object array
            return leave(self, array, ufunc)
        made.shape = array.shape if shape is None else shape
        return tensor

    return method


def _whole(ufunc: np.ufunc) -> Binary:
    """Return the method for `tensor <op> other` where a cell takes more than one cell of each."""

    def method(self: Tracked, other: Any) -> Any:
        if _defers(other):
            return NotImplemented
        return call_ufunc(ufunc, "__call__", (self, other), {})

    return method


_COMPARED: Final[dict[np.ufunc, Op]] = {
    np.equal: Op("==", operator.eq),
    np.not_equal: Op("!=", operator.ne),
}
"""`x == y` as operators: where the ufunc has no loop for two types, nothing is equal."""

implements(*_COMPARED.values(), family="elementwise", mixes=True)(elementwise_rows)


def _comparison(ufunc: np.ufunc) -> Binary:
    """Return the method for `tensor == other` and `tensor != other`."""
    ordinary, operation = _binary(ufunc), _COMPARED[ufunc]

    def method(self: Tracked, other: Any) -> Any:
        try:
            return ordinary(self, other)
        except TypeError:  # records, or a text and a number
            return call(operation, (self, other), {})

    return method


POWER: Final = Op("power", operator.pow)
"""`x ** y` on arrays: not quite np.power, since NumPy squares and takes roots in other ways."""

implements(POWER, family="elementwise", mixes=True)(elementwise_rows)


def _power(self: Tracked, other: Any, modulo: Any = None) -> Any:
    if modulo is not None or _defers(other):
        return NotImplemented
    return call(POWER, (self, other), {})


def _ipower(self: Tracked, other: Any) -> Any:
    if not isinstance(self._array, np.ndarray):
        return _power(self, other)
    captured = capture((self, other), {})
    nodes = captured.nodes
    before_write(self)
    array = self._array
    try:
        array **= captured.args[1]
    except BaseException:
        spoil(self, nodes, nodes[0])
        raise
    made = make_node(POWER, nodes, captured.template, None, array.shape, array.dtype)
    write(self, made, nodes[0])
    return self


def _reflected(ufunc: np.ufunc) -> Binary:
    """Return the method for `other <op> tensor`, `other` no tensor."""

    def method(self: Tracked, other: Any) -> Any:
        if type(other) in _NUMBERS and ufunc.nout == 1:
            array = ufunc(other, self._array)
            if isinstance(array, (np.ndarray, np.generic)):
                inputs = (self._made_by(),)
                made = make_node(ufunc, inputs, (other, FIRST), None, array.shape, array.dtype)
                return wrap(type(self), array, made)
        if _defers(other):
            return NotImplemented
        return call_ufunc(ufunc, "__call__", (other, self), {})

    return method


def _unary(ufunc: np.ufunc) -> Unary:
    """Return the method for `<op> tensor`."""

    def method(self: Tracked) -> Any:
        array = ufunc(self._array)
        if not isinstance(array, (np.ndarray, np.generic)):
            return leave(self, array, ufunc)
        node = self._made_by()
        made = make_node(ufunc, (node,), ONE, None, node.shape, array.dtype)
        return wrap(type(self), array, made)

    return method


def _inplace(ufunc: np.ufunc) -> Binary:
    """Return the method for `tensor <op>= other`; a scalar can't be written, so it is made anew."""

    def method(self: Tracked, other: Any) -> Any:
        if not isinstance(self._array, np.ndarray):
            return call_ufunc(ufunc, "__call__", (self, other), {})
        inputs: tuple[Node, ...]
        args: tuple[Any, ...]
        if type(other) is type(self):
            plain, inputs, args = other._array, (self._made_by(), other._made_by()), PAIR
        elif type(other) in _NUMBERS:
            plain, inputs, args = other, (self._made_by(),), (FIRST, other)
        elif _defers(other):
            return NotImplemented
        else:
            return call_ufunc(ufunc, "__call__", (self, other), {"out": (self,)})
        before_write(self)
        array = self._array
        try:
            ufunc(array, plain, out=array)
        except BaseException:
            spoil(self, inputs, inputs[0])
            raise
        write(self, make_node(ufunc, inputs, args, None, array.shape, array.dtype), inputs[0])
        return self

    return method


def _defers(other: Any) -> bool:
    """Whether another type wants to do this operation itself, as NumPy would let it."""
    kind = type(other)
    return getattr(kind, "__array_ufunc__", False) is None


def _imatmul(self: Tracked, other: Any) -> Any:
    return call_ufunc(np.matmul, "__call__", (self, other), {"out": (self,)})


class Arithmetic(Tracked):
    """Operators."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    __add__ = _binary(np.add)
    __sub__ = _binary(np.subtract)
    __mul__ = _binary(np.multiply)
    __truediv__ = _binary(np.true_divide)
    __floordiv__ = _binary(np.floor_divide)
    __mod__ = _binary(np.remainder)
    __pow__ = _power
    __divmod__ = _whole(np.divmod)
    __matmul__ = _whole(np.matmul)
    __and__ = _binary(np.bitwise_and)
    __or__ = _binary(np.bitwise_or)
    __xor__ = _binary(np.bitwise_xor)
    __lshift__ = _binary(np.left_shift)
    __rshift__ = _binary(np.right_shift)
    __lt__ = _binary(np.less)
    __le__ = _binary(np.less_equal)
    __gt__ = _binary(np.greater)
    __ge__ = _binary(np.greater_equal)
    __eq__ = _comparison(np.equal)
    __ne__ = _comparison(np.not_equal)

    __radd__ = _reflected(np.add)
    __rsub__ = _reflected(np.subtract)
    __rmul__ = _reflected(np.multiply)
    __rtruediv__ = _reflected(np.true_divide)
    __rfloordiv__ = _reflected(np.floor_divide)
    __rmod__ = _reflected(np.remainder)
    __rpow__ = _reflected(np.power)
    __rdivmod__ = _reflected(np.divmod)
    __rmatmul__ = _reflected(np.matmul)
    __rand__ = _reflected(np.bitwise_and)
    __ror__ = _reflected(np.bitwise_or)
    __rxor__ = _reflected(np.bitwise_xor)
    __rlshift__ = _reflected(np.left_shift)
    __rrshift__ = _reflected(np.right_shift)

    __iadd__ = _inplace(np.add)
    __isub__ = _inplace(np.subtract)
    __imul__ = _inplace(np.multiply)
    __itruediv__ = _inplace(np.true_divide)
    __ifloordiv__ = _inplace(np.floor_divide)
    __imod__ = _inplace(np.remainder)
    __ipow__ = _ipower
    __iand__ = _inplace(np.bitwise_and)
    __ior__ = _inplace(np.bitwise_or)
    __ixor__ = _inplace(np.bitwise_xor)
    __ilshift__ = _inplace(np.left_shift)
    __irshift__ = _inplace(np.right_shift)
    __imatmul__ = _imatmul

    __neg__ = _unary(np.negative)
    __pos__ = _unary(np.positive)
    __abs__ = _unary(np.absolute)
    __invert__ = _unary(np.invert)
