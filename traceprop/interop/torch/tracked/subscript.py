"""`x[key]` and `x[key] = value` on a torch tensor, and iteration over its rows.

What `lineage.recording.subscript` is for NumPy: numbers and slices give views; masks and indices
are held, since rows are in their values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import torch

from traceprop.interop.torch.tracked.calls import (
    call_torch,
    chooser,
    hold_chooser,
    strip,
    wrap_result,
)
from traceprop.interop.torch.tracked.operators import NUMBERS
from traceprop.interop.torch.tracked.ops import known_dtype, op_of
from traceprop.interop.torch.tracked.plain import known_tensor, wrap_torch
from traceprop.interop.torch.tracked.writes import write_alone
from traceprop.lineage.graph.node import FIRST, Node, make_node
from traceprop.lineage.recording.calls import Captured
from traceprop.lineage.recording.plain_targets import ADOPTIONS
from traceprop.lineage.recording.subscript import numbered
from traceprop.lineage.recording.tracked import Tracked, attach_view, hold
from traceprop.lineage.tensor import ProvenanceTensor

_BASIC: Final = frozenset({int, slice, type(None), type(Ellipsis)})
_GETITEM: Final = op_of(torch.Tensor.__getitem__)
_SETITEM: Final = op_of(torch.Tensor.__setitem__)


class TorchSubscript(ProvenanceTensor):
    """Indexing and iteration."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        array = self._array
        node = self._node if self._state is None else self._made_by()
        kind = type(key)
        if kind is int or kind is slice or (kind is tuple and all(type(k) in _BASIC for k in key)):
            result = array[key]
            made = make_node(
                _GETITEM, (node,), (FIRST, key), None, result.shape, known_dtype(result.dtype)
            )
            tensor = wrap_torch(result, made)
            attach_view(tensor, self)
            return tensor
        if kind is type(self):
            result = array[key._array]
            inputs: tuple[Node, ...] = (node, key._made_by())
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
            made.args = (FIRST, hold_chooser(key))
            made.kwargs = made.item = made.memo = None
            made.dtype = node.dtype
            tensor = type(self)()
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
        if kind is int and type(value) in NUMBERS:
            write_alone(_SETITEM, self, (key, value), None)
            return
        if kind is str or kind is list:
            key = numbered(self, key)
        call_torch(torch.Tensor.__setitem__, (self, _listed(key), value), None)

    def __iter__(self) -> Iterator[Any]:
        return iter(call_torch(torch.Tensor.unbind, (self, 0), None))

    def __reversed__(self) -> Any:
        return call_torch(torch.flip, (self, (0,)), None) if self._array.ndim else self


def _captured(tensor: Tracked, key: Any) -> Captured:
    """Take the key of `tensor[key]` apart."""
    captured = Captured()
    inputs: list[Tracked] = [tensor]
    plain, template = strip(_listed(key), inputs, True)
    captured.inputs = inputs
    captured.args, captured.kwargs = (tensor._array, plain), {}
    captured.template, captured.template_kwargs = (FIRST, template), None
    captured.nodes = tuple(each._made_by() for each in inputs)
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
