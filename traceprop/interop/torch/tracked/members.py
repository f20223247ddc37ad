"""The methods and attributes of torch tensors: torch's own, by their names."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

import torch

from traceprop.interop.torch.tracked.calls import call, call_torch, is_simple, record_one
from traceprop.interop.torch.tracked.ops import op_of
from traceprop.lineage.recording.tracked import Tracked
from traceprop.lineage.tensor import ProvenanceTensor

Method = Callable[..., Any]


def _method(name: str, function: Method) -> Method:
    op = op_of(function)

    def method(self: Tracked, *args: Any, **kwargs: Any) -> Any:
        if op.handler is call and (not (args or kwargs) or is_simple(args, kwargs)):
            return record_one(op, self, args, kwargs)
        if not kwargs:
            given = (self, *args)
            way = op.ways.get(tuple(map(type, given)))
            if way is not None:
                return way(given)
        return call_torch(function, (self, *args), kwargs)

    method.__name__ = name
    method.__doc__ = f"As `torch.Tensor.{name}`."
    return method


def _attribute(name: str) -> property:
    return property(operator.attrgetter(f"_array.{name}"), doc=f"As `torch.Tensor.{name}`.")


def give_members(kind: type[Tracked]) -> None:
    """Give the class of torch tensors torch's methods and attributes; NumPy's rest says so."""

    def put(name: str, value: Any) -> None:
        setattr(kind, name, value)

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
        raise AttributeError(f"a torch tensor has no {name!r}: X.numpy().{name} is NumPy's")

    return property(get)
