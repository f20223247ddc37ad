"""Torch functions as operations of a lineage: found by function, and again by a saved name.

A `TorchOp` runs the torch function on NumPy arrays and gives arrays back, so that whatever works
on nodes (rows run on numbers, replay, saved lineages) need not know of torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch

from traceprop.errors import LineageError
from traceprop.interop.torch.tracked.entries import (
    ENTRIES,
    UNCLASSIFIED,
    UNKNOWN_ENTRY,
    Entry,
    Like,
    in_numpy,
)
from traceprop.interop.torch.tracked.families import load_families
from traceprop.interop.torch.tracked.values import DTYPES, to_numpy, to_torch, torch_dtype
from traceprop.lineage.cells.maps import Refined
from traceprop.lineage.cells.movement import moved as moved_cells
from traceprop.lineage.cells.table import refines, rule_for, wide
from traceprop.lineage.graph.node import Constant, Node, Op, make_node
from traceprop.lineage.registry import RowRule, add_rule
from traceprop.lineage.rules.indexing import GETITEM
from traceprop.lineage.rules.mutators import SETITEM

Function = Callable[..., Any]

_STAND_FOR: Final[dict[str, Any]] = {
    "__getitem__": GETITEM, "__setitem__": SETITEM, "stack": np.stack, "hstack": np.hstack,
    "vstack": np.vstack, "dstack": np.dstack, "column_stack": np.column_stack,
    "row_stack": np.vstack,
}  # fmt: skip

HOMES: Final[dict[str, Any]] = {
    "torch.Tensor": torch.Tensor,
    "torch": torch,
    "torch.nn.functional": torch.nn.functional,
    "torch.linalg": torch.linalg,
    "torch.fft": torch.fft,
    "torch.special": torch.special,
    "torch.functional": torch.functional,
}
_QUANTIZED: Final = np.dtype("V1")
_SCALARS: Final = frozenset({"scatter", "index_fill", "fill_diagonal"})
"""Functions that take a number for a value, and no tensor without axes."""

_OPERATORS: Final = {
    "__add__": "add", "__radd__": "add", "__sub__": "sub", "__mul__": "mul", "__rmul__": "mul",
    "__rsub__": "rsub", "__truediv__": "div", "__div__": "div", "__rtruediv__": "reciprocal",
    "__idiv__": "div", "__rdiv__": "reciprocal", "__floordiv__": "floor_divide",
    "__rfloordiv__": "floor_divide", "__mod__": "remainder",
    "__rmod__": "remainder", "__pow__": "pow", "__rpow__": "pow", "__matmul__": "matmul",
    "__and__": "bitwise_and", "__rand__": "bitwise_and", "__or__": "bitwise_or",
    "__ror__": "bitwise_or", "__xor__": "bitwise_xor", "__rxor__": "bitwise_xor",
    "__lshift__": "bitwise_left_shift", "__rlshift__": "bitwise_left_shift",
    "__rshift__": "bitwise_right_shift", "__rrshift__": "bitwise_right_shift",
    "__eq__": "eq", "__ne__": "ne", "__lt__": "lt", "__le__": "le", "__gt__": "gt", "__ge__": "ge",
    "__invert__": "bitwise_not",
    "__iadd__": "add", "__isub__": "sub", "__imul__": "mul", "__itruediv__": "div",
    "__ifloordiv__": "floor_divide", "__imod__": "remainder", "__ipow__": "pow",
    "__iand__": "bitwise_and", "__ior__": "bitwise_or", "__ixor__": "bitwise_xor",
    "__ilshift__": "bitwise_left_shift", "__irshift__": "bitwise_right_shift",
}  # fmt: skip


class TorchOp(Op):
    """A torch function as an operation on plain arrays.

    Attributes
    ----------
    function : callable
    entry : Entry
    like : Like or None
        The NumPy call with the same row behaviour.
    by_memory : bool
        Views that it makes show memory as it lies.
    never : str or None
        Why it isn't run again in a replay.
    handler, written_as
        What `tracked.handlers` and `tracked.writes` found out about it, None until then.
    ways : dict
        Types of positional arguments → their short way, or None; see `tracked.ways`.
    """

    __slots__ = ("by_memory", "entry", "fresh", "function", "handler", "like", "never", "values",
                 "ways", "written_as")  # fmt: skip

    def __init__(self, name: str, function: Function, entry: Entry) -> None:
        super().__init__(name, self._run, lambda node: self.never)
        self.function = function
        self.entry = entry
        self.like: Like | None = entry.like
        self.by_memory = entry.by_memory
        self.fresh = entry.fresh
        self.never = entry.never
        self.values = entry.values
        self.handler: Any = None
        self.ways: dict[tuple[type, ...], Any] = {}
        self.written_as: Any = None
        if entry.status == UNCLASSIFIED:
            self.never = "nobody has said that it gives the same again"

    @property
    def stands_for(self) -> Any:
        """The operation by which idioms know this one: NumPy's, or this one itself."""
        last = bare_name(self.name)
        return self.like.function if self.like is not None else _STAND_FOR.get(last, self)

    def in_numpy(self, node: Node) -> Node:
        """Return a node of this operation as the NumPy call with the same row behaviour."""
        if self.like is not None:
            return in_numpy(node)
        return make_node(self.stands_for, node.inputs, node.args, node.kwargs, node.shape,
                         node.dtype, node.item)  # fmt: skip

    def tensor_of(self, array: Any, node: Node) -> Any:
        """Make a tracked tensor of an array, which is what an operation of torch gives."""
        return wrap_array(array, node)

    def cast(self, array: Any, dtype: Any) -> Any:
        """Return an array in another type, as torch casts."""
        return to_numpy(to_torch(array).to(torch_dtype(dtype)))

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        scalars = bare_name(self.name) in _SCALARS
        plain = [_stripped(value, at in self.values, scalars) for at, value in enumerate(args)]
        named = {
            name: _stripped(value, name in self.values, scalars) for name, value in kwargs.items()
        }
        with torch.no_grad():
            try:
                return _arrays(self.function(*plain, **named))
            except RuntimeError as wrong:  # what torch raises for shapes that don't fit
                raise LineageError(f"{self.name} can't be run on arrays: {wrong}") from wrong


def _stripped(value: Any, chooses: bool = False, scalars: bool = False) -> Any:
    """Return an argument with tensors for arrays, and torch's types for NumPy's."""
    kind = type(value)
    if scalars and isinstance(value, np.ndarray) and not value.ndim:
        return value.item()
    if kind is np.ndarray or isinstance(value, np.ndarray):
        if chooses and value.dtype.kind in "iu":
            value = value.astype(np.int64, copy=False)  # kept in fewer bytes than torch takes
        return to_torch(value)
    if kind is tuple or kind is list:
        return kind(_stripped(each, chooses) for each in value)
    if isinstance(value, np.dtype):
        return torch_dtype(value)
    if isinstance(value, Constant):
        return to_torch(value.read())
    return value.item() if isinstance(value, np.generic) else value


def _arrays(result: Any) -> Any:
    """Return a result with arrays for tensors."""
    if isinstance(result, torch.Tensor):
        return to_numpy(result)
    if isinstance(result, (tuple, list)):
        return [_arrays(each) for each in result]
    return result


def wrap_array(array: Any, node: Node) -> Any:
    """Make a tracked torch tensor of an array and its node."""
    from traceprop.interop.torch.tracked.plain import wrap_torch

    return wrap_torch(to_torch(array), node)


class Door(Op):
    """The operation of a door into torch: the same values, and a torch tensor."""

    __slots__ = ()

    def tensor_of(self, array: Any, node: Node) -> Any:
        """As `TorchOp.tensor_of`."""
        return wrap_array(array, node)


OPS: Final[dict[Any, TorchOp]] = {}
_NAMED: Final[dict[str, TorchOp]] = {}


def op_of(function: Function) -> TorchOp:
    """Return the operation that a torch function is; made when it is first met."""
    op = OPS.get(function)
    if op is None:
        op = OPS[function] = _made(qualified_name(function), function)
    return op


def op_named(name: str) -> TorchOp:
    """Return the operation of a saved name.

    Raises
    ------
    KeyError
        When no such torch function is classified.
    """
    op = _NAMED.get(name)
    if op is None:
        home, _, last = name.rpartition(".")
        if home not in HOMES or find_entry(name) is UNKNOWN_ENTRY:
            raise KeyError(name)
        op = op_of(getattr(HOMES[home], last))
    return op


def _made(name: str, function: Function) -> TorchOp:
    known = _NAMED.get(name)
    if known is not None and known.function is function:
        return known
    entry = find_entry(name)
    op = TorchOp(name, function, entry)
    add_rule(
        op,
        RowRule(
            entry.rows,
            entry.family,
            mixes=entry.mixes,
            values=entry.values,
            data=entry.data,
            quiet=entry.quiet,
            written=entry.written,
            shape_from_values=entry.shape_from_values,
        ),
    )
    if entry.like is not None and entry.cells:
        refines(op)(_cells_of_like)
    elif name == "torch.Tensor.view":
        refines(op)(_view_cells)
    elif entry.family.startswith("torch: "):
        wide(op, reason="cells of this torch function are answered by their rows")
    _NAMED[name] = op
    return op


def _cells_of_like(node: Node) -> Refined:
    """Cells of a function that goes as a NumPy function does."""
    same = in_numpy(node)
    rule = rule_for(same.op)
    return {} if rule is None else rule(same)


def _view_cells(node: Node) -> Refined:
    """Cells of `view(shape)`; of `view(dtype)`, another reading of the bytes, the rows."""
    if any(isinstance(value, np.dtype) for value in node.args[1:]):
        return {}
    return moved_cells(node, (0,))


def qualified_name(function: Function) -> str:
    """Return a function's home and name, "torch.Tensor.sum"."""
    name = getattr(function, "__name__", "") or type(function).__name__
    owner = getattr(function, "__self__", None)
    if name == "__get__" and owner is not None:  # a property of Tensor
        called = [each for each in dir(torch.Tensor) if getattr(torch.Tensor, each) is owner]
        return f"torch.Tensor.{called[0] if called else owner}"
    for home, module in HOMES.items():
        for known in (name, name.removeprefix(f"{home.rpartition('.')[2]}_")):
            if getattr(module, known, None) is function:  # torch.fft.fft is called "fft_fft"
                return f"{home}.{known}"
    return f"{getattr(function, '__module__', None) or 'torch'}.{name}"


def bare_name(name: str) -> str:
    """Return what a table calls a function: without its home, `_` and operators' underscores."""
    last = name.rpartition(".")[2]
    if last in _OPERATORS:
        return _OPERATORS[last]
    return last.rstrip("_") if last.endswith("_") and not last.startswith("__") else last


def find_entry(name: str) -> Entry:
    """Return what is known of a function, by its qualified name."""
    load_families()
    last = name.rpartition(".")[2]
    without = name.removeprefix("torch.")
    for key in (without, without.rstrip("_"), last, bare_name(name)):
        entry = ENTRIES.get(key)
        if entry is not None:
            return entry
    return UNKNOWN_ENTRY


def known_dtype(dtype: torch.dtype) -> Any:
    """Return the NumPy type of a tensor that was just made, a void for quantized ones."""
    return DTYPES.get(dtype, _QUANTIZED)
