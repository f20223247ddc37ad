"""`TorchTensor`: a torch tensor that knows which source rows each of its rows came from.

It is an object with `__torch_function__`, and no subclass of `torch.Tensor`: hooks of a subclass
cost 10 µs an operation, and a function that looks at a subclass's memory would lose its lineage
unseen. Its methods and attributes are torch's. What a NumPy tensor has beyond those says how to get
there: `.numpy()` gives the same values, on the same memory, as a NumPy tensor.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import torch

from traceprop.errors import LineageError
from traceprop.interop.torch.tracked import handlers as handlers
from traceprop.interop.torch.tracked import ways as ways
from traceprop.interop.torch.tracked.calls import call, call_torch, is_simple, record_one
from traceprop.interop.torch.tracked.doors import TO_NUMPY, from_numpy, tracked
from traceprop.interop.torch.tracked.members import give_members
from traceprop.interop.torch.tracked.operators import give_operators
from traceprop.interop.torch.tracked.ops import OPS
from traceprop.interop.torch.tracked.plain import KIND, wrap_torch
from traceprop.interop.torch.tracked.subscript import TorchSubscript
from traceprop.interop.torch.tracked.values import to_numpy
from traceprop.lineage.graph.escaped import Escape, escapes_of, note_escape
from traceprop.lineage.graph.node import ONE, flat, make_node, unflat
from traceprop.lineage.recording.escapes import escape
from traceprop.lineage.recording.tracked import Tracked, attach_view, wrap
from traceprop.lineage.tensor import ProvenanceTensor

Method = Callable[..., Any]


class TorchTensor(TorchSubscript):
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

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Torch's methods and attributes, which `give_members` gives the class."""

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
            if type(args[0]) is cls and (len(args) == 1 or is_simple(args[1:], None)):
                return record_one(op, args[0], args[1:], None)
            way = op.ways.get(tuple(map(type, args)))
            if way is not None:
                return way(args)
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
        node = make_node(TO_NUMPY, (self._made_by(),), ONE, None, values.shape, values.dtype)
        tensor = wrap(ProvenanceTensor, values, node)
        if array.is_cpu:
            attach_view(tensor, self)
        return tensor

    def torch(self, *, dtype: torch.dtype | None = None) -> Any:
        """Return all rows as one torch tensor that carries their ids to the model."""
        return self.to(torch.float32 if dtype is None and self.dtype not in _EXACT else self.dtype
                       ).numpy().torch(dtype=dtype)  # fmt: skip

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __contains__(self, value: Any) -> bool:
        escape(self, "in")
        return bool((self._array == (value._array if isinstance(value, Tracked) else value)).any())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.numpy().__array__(dtype, copy)

    def __reduce__(self) -> Any:
        node = self._made_by()
        return _restore, (self._array, flat(node), [tuple(each) for each in escapes_of(node)])

    def __copy__(self) -> Any:
        return wrap_torch(copy.copy(self._array), self._made_by())

    def __deepcopy__(self, memo: Any) -> Any:
        return wrap_torch(self._array.detach().clone(), self._made_by())

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
give_operators(TorchTensor)
give_members(TorchTensor)


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


__all__ = ["TorchTensor", "from_numpy", "tracked"]
