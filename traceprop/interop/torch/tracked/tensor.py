"""`TorchTensor`: a torch tensor that knows which source rows each of its rows came from.

It is an object with `__torch_function__`, and no subclass of `torch.Tensor`: hooks of a subclass
cost 10 µs an operation, and a function that looks at a subclass's memory would lose its lineage
unseen. Its methods and attributes are torch's. What a NumPy tensor has beyond those says how to get
there: `.numpy()` gives the same values, on the same memory, as a NumPy tensor.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import torch

from traceprop.errors import LineageError
from traceprop.interop.torch.tracked import handlers as handlers
from traceprop.interop.torch.tracked.calls import (
    SIMPLE,
    call,
    call_torch,
    chooser,
    is_simple,
    record_one,
    strip,
    wrap_result,
)
from traceprop.interop.torch.tracked.ops import OPS, Door, known_dtype, op_of
from traceprop.interop.torch.tracked.plain import KIND, known_tensor, wrap_torch
from traceprop.interop.torch.tracked.values import DTYPES, to_numpy, to_torch
from traceprop.interop.torch.tracked.writes import functional, write_alone
from traceprop.lineage.graph.escaped import Escape, escapes_of, note_escape
from traceprop.lineage.graph.node import FIRST, ONE, PAIR, Node, Op, flat, make_node, unflat
from traceprop.lineage.recording.calls import Captured
from traceprop.lineage.recording.counts import count_left
from traceprop.lineage.recording.escapes import escape
from traceprop.lineage.recording.kept_arrays import hold_plain
from traceprop.lineage.recording.plain_targets import ADOPTIONS
from traceprop.lineage.recording.subscript import numbered
from traceprop.lineage.recording.tracked import (
    Tracked,
    attach_view,
    before_write,
    hold,
    spoil,
    wrap,
    write,
)
from traceprop.lineage.registry import implements
from traceprop.lineage.rules.elementwise import elementwise_rows
from traceprop.lineage.tensor import ProvenanceTensor

_NUMBERS: Final = frozenset({int, float, bool, complex})
_BASIC: Final = frozenset({int, slice, type(None), type(Ellipsis)})

TO_NUMPY: Final = Op("numpy of torch", lambda array: array)
TO_TORCH: Final = Door("torch of numpy", lambda array: array)
"""The doors between NumPy and torch tensors: the same values, and the same memory."""

for _door in (TO_NUMPY, TO_TORCH):
    implements(_door, family="elementwise", quiet=True)(elementwise_rows)

_GETITEM: Final = op_of(torch.Tensor.__getitem__)
_SETITEM: Final = op_of(torch.Tensor.__setitem__)

Method = Callable[..., Any]


def _binary(plain: Callable[[Any, Any], Any], function: Any) -> Method:
    """Return the method for `tensor <op> other`; the two ordinary cases take a short way."""
    op = op_of(function)
    fixed = plain is operator.matmul  # has a shape of its own

    def method(self: Tracked, other: Any) -> Any:
        node = self._node if self._state is None else self.node
        shape: tuple[int, ...] | None = node.shape
        array = self._array
        inputs: tuple[Node, ...]
        args: tuple[Any, ...]
        if type(other) is TorchTensor:
            second = other._node if other._state is None else other.node
            operand = other._array
            inputs, args = (node, second), PAIR
            if second.shape != shape:
                shape = None
        elif type(other) in _NUMBERS:
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
        tensor = TorchTensor()
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
        if kind in _NUMBERS or (kind is TorchTensor and self._state is None):
            node = before_write(self)
            array = self._array
            inputs: tuple[Node, ...] = (node,)
            args: tuple[Any, ...] = (FIRST, other)
            operand = other
            if kind is TorchTensor:
                inputs, args, operand = (node, other.node), PAIR, other._array
            try:
                function(array, operand)
            except BaseException:
                spoil(self, inputs, node)
                raise
            write(self, make_node(op, inputs, args, None, array.shape, node.dtype), node)
            return self
        if isinstance(other, Tracked) and type(other) is not TorchTensor:
            other = from_numpy(other)
        return call_torch(function, (self, other), None)

    return method


def _method(name: str, function: Method) -> Method:
    op = op_of(function)

    def method(self: Tracked, *args: Any, **kwargs: Any) -> Any:
        if op.handler is call and (not (args or kwargs) or is_simple(args, kwargs)):
            return record_one(op, self, args, kwargs)
        return call_torch(function, (self, *args), kwargs)

    method.__name__ = name
    method.__doc__ = f"As `torch.Tensor.{name}`."
    return method


def _attribute(name: str) -> property:
    return property(operator.attrgetter(f"_array.{name}"), doc=f"As `torch.Tensor.{name}`.")


class TorchTensor(ProvenanceTensor):
    """A torch tensor with its lineage, to be used as a torch tensor is.

    It comes from `traceprop.array`, `traceprop.torch.from_numpy`, and from torch functions,
    operators and methods on those.

    Examples
    --------
    >>> import torch
    >>> X = traceprop.array(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), name="table")
    >>> kept = X[X[:, 1] > 3]
    >>> kept.sources()
    {table: row 1}
    """

    __slots__ = ()
    __array_ufunc__ = None  # type: ignore[assignment]
    __array_priority__ = 1000

    @classmethod
    def __torch_function__(
        cls, function: Method, types: Any, args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        op = None if kwargs else OPS.get(function)
        if op is not None and (handler := op.handler) is not None:
            # `call_torch` in short, for most calls.
            if handler is not call:
                return handler(op, args, {})
            if type(args[0]) is cls:
                if len(args) == 1:
                    return record_one(op, args[0], (), None)
                for value in args[1:]:
                    if type(value) not in SIMPLE:
                        break
                else:
                    return record_one(op, args[0], args[1:], None)
        return call_torch(function, args, kwargs)

    def __array_function__(
        self, function: Method, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return function(*_in_numpy(args), **{name: _in_numpy(v) for name, v in kwargs.items()})

    def numpy(self, *, force: bool = False) -> Any:
        """Go on in NumPy: the same values with the same lineage, on the same memory on the CPU."""
        array = self._array
        if force:
            array = array.detach().cpu().resolve_conj().resolve_neg()
        values = array.numpy() if not force else to_numpy(array)
        node = make_node(TO_NUMPY, (self.node,), ONE, None, values.shape, values.dtype)
        tensor = wrap(ProvenanceTensor, values, node)
        if array.is_cpu:
            attach_view(tensor, self)
        return tensor

    def torch(self, *, dtype: torch.dtype | None = None) -> Any:
        """Return all rows as one torch tensor that carries their ids to the model."""
        return self.to(torch.float32 if dtype is None and self.dtype not in _EXACT else self.dtype
                       ).numpy().torch(dtype=dtype)  # fmt: skip

    def __getitem__(self, key: Any) -> Any:
        array = self._array
        node = self._node if self._state is None else self.node
        kind = type(key)
        if kind is int or kind is slice or (kind is tuple and all(type(k) in _BASIC for k in key)):
            result = array[key]
            made = make_node(
                _GETITEM, (node,), (FIRST, key), None, result.shape, known_dtype(result.dtype)
            )
            tensor = wrap_torch(result, made)
            attach_view(tensor, self)
            return tensor
        if kind is TorchTensor:
            result = array[key._array]
            inputs: tuple[Node, ...] = (node, key.node)
            args = (FIRST, hold(key, 1, chooser(key._array)))
            made = make_node(_GETITEM, inputs, args, None, result.shape, known_dtype(result.dtype))
            tensor = wrap_torch(result, made)
            if not key._array.ndim:
                _attach_if_view(tensor, self)
            return tensor
        if kind is torch.Tensor and (not ADOPTIONS or known_tensor(key) is None):
            # As in `record_one`: what can be made before the operation is made before it.
            made = Node()
            made.op = _GETITEM
            made.inputs = (node,)
            made.args = (FIRST, hold_plain(chooser(key)))
            made.kwargs = made.item = made.memo = None
            made.dtype = node.dtype
            tensor = TorchTensor()
            tensor._node = made
            tensor._state = tensor._reuse = None
            tensor._array = result = array[key]
            made.shape = result.shape
            if not key.ndim:
                _attach_if_view(tensor, self)
            return tensor
        captured = _captured(self, numbered(self, key) if kind in (str, list) else key)
        return wrap_result(_GETITEM, captured, array[captured.args[1]])

    def __setitem__(self, key: Any, value: Any) -> None:
        kind = type(key)
        if kind is int and type(value) in _NUMBERS:
            write_alone(_SETITEM, self, (key, value), None)
            return
        if kind is str or kind is list:
            key = numbered(self, key)
        call_torch(torch.Tensor.__setitem__, (self, _listed(key), value), None)

    def __iter__(self) -> Iterator[Any]:
        return iter(call_torch(torch.Tensor.unbind, (self, 0), None))

    def __reversed__(self) -> Any:
        return call_torch(torch.flip, (self, (0,)), None) if self._array.ndim else self

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __contains__(self, value: Any) -> bool:
        escape(self, "in")
        return bool((self._array == (value._array if isinstance(value, Tracked) else value)).any())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.numpy().__array__(dtype, copy)

    def __reduce__(self) -> Any:
        node = self.node
        return _restore, (self._array, flat(node), [tuple(each) for each in escapes_of(node)])

    def __getattr__(self, name: str) -> Any:
        beyond = f": X.numpy().{name} is NumPy's" if hasattr(ProvenanceTensor, name) else ""
        raise AttributeError(f"a torch tensor has no {name!r}{beyond}")

    def __copy__(self) -> Any:
        return wrap_torch(copy.copy(self._array), self.node)

    def __deepcopy__(self, memo: Any) -> Any:
        return wrap_torch(self._array.detach().clone(), self.node)

    def __format__(self, spec: str) -> str:
        return format(self._array, spec)

    def __repr__(self) -> str:
        from traceprop.lineage.answers.printing import lineage

        return f"TorchTensor({self._array!r},\n            {lineage(self)})"

    def __str__(self) -> str:
        return str(self._array)

    def _plain(self) -> Any:
        return to_numpy(self._array)

    def in_numpy(self) -> Any:
        """Return the tensor as one over a NumPy array."""
        return self.numpy()

    @property
    def grad(self) -> Any:
        """The gradient that autograd keeps: a plain tensor, made of these values."""
        if self._array.grad is not None:
            escape(self, "grad")
        return self._array.grad

    @grad.setter
    def grad(self, value: Any) -> None:
        self._array.grad = value._array if isinstance(value, Tracked) else value

    @property
    def data(self) -> Any:
        """The same values, on the same memory, without autograd."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        raise LineageError("A tensor can't be given other memory: write into it with copy_.")

    @property
    def requires_grad(self) -> bool:
        """Whether autograd follows it."""
        return bool(self._array.requires_grad)

    @requires_grad.setter
    def requires_grad(self, on: bool) -> None:
        self._array.requires_grad_(on)


KIND[0] = TorchTensor


def _restore(
    tensor: torch.Tensor, records: list[tuple[Any, ...]], escapes: list[tuple[Any, ...]]
) -> Any:
    """Make a tensor from its pickle."""
    node = unflat(records)
    for noted in escapes:
        note_escape(node, Escape(*noted))
    return wrap_torch(tensor, node)


_EXACT: Final = frozenset(
    {torch.float64, torch.float32, torch.float16, torch.int64, torch.int32, torch.int16,
     torch.int8, torch.uint8, torch.bool}
)  # fmt: skip


def _in_numpy(value: Any) -> Any:
    """Return arguments with NumPy tensors for torch tensors."""
    if isinstance(value, TorchTensor):
        return value.numpy()
    if isinstance(value, (tuple, list)):
        return type(value)(_in_numpy(each) for each in value)
    return value


def _captured(tensor: Tracked, key: Any) -> Captured:
    """Take the key of `tensor[key]` apart."""
    captured = Captured()
    inputs: list[Tracked] = [tensor]
    plain, template = strip(_listed(key), inputs, True)
    captured.inputs = inputs
    captured.args, captured.kwargs = (tensor._array, plain), {}
    captured.template, captured.template_kwargs = (FIRST, template), None
    captured.nodes = tuple(each.node for each in inputs)
    return captured


def _listed(key: Any) -> Any:
    """Return a key with tensors for the lists in it, as torch reads them."""
    if type(key) is tuple:
        return tuple(_listed(each) for each in key)
    if type(key) is list:
        if any(isinstance(each, Tracked) for each in key):
            return call_torch(torch.stack, (key,), None)
        return torch.tensor(key) if key else torch.empty(0, dtype=torch.int64)
    if isinstance(key, range):
        return torch.tensor(list(key), dtype=torch.int64)
    return key


def _attach_if_view(tensor: Tracked, parent: Tracked) -> None:
    own, whole = tensor._array.untyped_storage(), parent._array.untyped_storage()
    if own.data_ptr() and own.data_ptr() == whole.data_ptr():
        attach_view(tensor, parent)


def from_numpy(X: Any) -> Any:
    """Go on in torch: a torch tensor of the same values, with the same lineage.

    Parameters
    ----------
    X : ProvenanceTensor
        Over a NumPy array.

    Returns
    -------
    TorchTensor
        On the same memory, as `torch.from_numpy` gives it; on a copy where torch can't share it
        (negative strides, read-only arrays).

    Raises
    ------
    LineageError
        When X isn't tracked, or torch has no such type.

    Examples
    --------
    >>> X = traceprop.array([[1.0, 2.0], [3.0, 4.0]], name="table")
    >>> traceprop.torch.from_numpy(X).softmax(dim=1)[1].sources()
    {table: row 1}
    """
    if isinstance(X, TorchTensor):
        return X
    if not isinstance(X, Tracked):
        raise LineageError("from_numpy takes a tensor with lineage: make one with traceprop.array.")
    count_left(X.node, "torch.from_numpy", None)  # torch's shapes don't say where they are read
    array = np.asarray(X._array)
    tensor = to_torch(array)
    node = make_node(TO_TORCH, (X.node,), ONE, None, tuple(tensor.shape), known_dtype(tensor.dtype))
    made = wrap_torch(tensor, node)
    if np.may_share_memory(array, to_numpy(tensor)):
        attach_view(made, X)
    return made


def tracked(tensor: torch.Tensor, source: Any, name: Any, columns: Any, dtype: Any) -> Any:
    """Make a tensor of a plain torch tensor; see `traceprop.array`."""
    from traceprop.interop.torch.sample_tensor import SampleTensor
    from traceprop.interop.torch.tracked.plain import of_samples
    from traceprop.lineage.tensor import array

    if isinstance(tensor, SampleTensor):
        known = of_samples(tensor)
        if known is not None:
            return known.clone() if dtype is None else known.to(dtype, copy=True)
        tensor = tensor.plain()
    plain = tensor.detach().clone() if dtype is None else tensor.detach().to(dtype, copy=True)
    if not plain.is_contiguous() and tensor.is_contiguous():
        plain = plain.contiguous()
    leaf = array(to_numpy(plain), source=source, name=name, columns=columns)
    made = make_node(
        TO_TORCH, (leaf.node,), ONE, None, tuple(plain.shape), known_dtype(plain.dtype)
    )
    return wrap_torch(plain, made)


_PLAIN_OPERATORS: Final = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "truediv": torch.div,
    "floordiv": torch.floor_divide, "mod": torch.remainder, "pow": torch.pow,
    "matmul": torch.matmul, "and": torch.bitwise_and, "or": torch.bitwise_or,
    "xor": torch.bitwise_xor, "lshift": torch.Tensor.__lshift__,
    "rshift": torch.Tensor.__rshift__,
}  # fmt: skip
_COMPARISONS: Final = {
    "eq": torch.eq, "ne": torch.ne, "lt": torch.lt, "le": torch.le, "gt": torch.gt, "ge": torch.ge,
}  # fmt: skip


def _fill_class() -> None:
    """Give the class torch's operators, methods and attributes; the rest of NumPy's says so."""

    def put(name: str, value: Any) -> None:
        setattr(TorchTensor, name, value)

    for name, function in (_PLAIN_OPERATORS | _COMPARISONS).items():
        plain = getattr(operator, name if hasattr(operator, name) else f"{name}_")
        put(f"__{name}__", _binary(plain, function))
        if name in _PLAIN_OPERATORS:
            put(f"__r{name}__", _reflected(plain, getattr(torch.Tensor, f"__r{name}__")))
            inplace = getattr(torch.Tensor, f"__i{name}__", None)
            put(f"__i{name}__", _inplace(inplace) if inplace is not None else None)
    for name in dir(torch.Tensor):
        if name in _OWN or (name.startswith("_") and name not in _DUNDERS):
            continue
        value = getattr(torch.Tensor, name)
        if isinstance(value, type):
            continue
        if callable(value):
            put(name, _method(name, value))
        else:
            put(name, _property(name, value))
    for name in dir(ProvenanceTensor):
        if not name.startswith("_") and name not in _ANSWERS and not hasattr(torch.Tensor, name):
            put(name, _missing(name))


_OWN: Final = frozenset(
    {"numpy", "grad", "data", "requires_grad", "columns", "trace", "__module__", "__class__"}
)
_DUNDERS: Final = frozenset(
    {"__float__", "__int__", "__bool__", "__complex__", "__index__", "__len__", "__neg__",
     "__pos__", "__abs__", "__invert__", "__dlpack__", "__dlpack_device__", "_version", "_base"}
)  # fmt: skip
_ANSWERS: Final = frozenset(
    {"sources", "ops", "columns", "trace", "dependencies", "cells", "ancestors", "escapes",
     "numpy", "torch", "node", "in_numpy"}
)  # fmt: skip
_TENSORS: Final = frozenset({"T", "H", "mT", "mH", "real", "imag"})


def _property(name: str, value: Any) -> property:
    """Return an attribute: of tensors a tracked one, else the plain tensor's."""
    if name not in _TENSORS:
        return _attribute(name)
    getter = value.__get__

    def get(self: Tracked) -> Any:
        return call_torch(getter, (self,), None)

    def put(self: Tracked, new: Any) -> None:
        get(self)[...] = new

    return property(get, put if name in ("real", "imag") else None)


def _missing(name: str) -> property:
    """Return what stands for an attribute that NumPy tensors have and torch's haven't."""

    def get(self: Tracked) -> Any:
        raise AttributeError(name)  # and `__getattr__` says where it is

    return property(get)


_fill_class()
__all__ = ["TorchTensor", "from_numpy", "tracked"]
