"""`X[key]` and `X[key] = value` on a tensor: recording what `rules.indexing` reads later."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from sys import getrefcount as refcount
from typing import Any, Final, cast

import numpy as np

from traceprop.errors import LineageError, UnknownNameError
from traceprop.lineage.answers.columns import columns
from traceprop.lineage.graph.node import FIRST, Node, make_held, make_node, slot
from traceprop.lineage.recording.counts import count_left, told_by_error
from traceprop.lineage.recording.escapes import escape
from traceprop.lineage.recording.granularity import level
from traceprop.lineage.recording.kept_arrays import constant, hold_plain
from traceprop.lineage.recording.plain_targets import adopted
from traceprop.lineage.recording.tracked import (
    KIND,
    Tracked,
    attach_view,
    before_write,
    hold,
    shares_memory,
    spoil,
    wrap,
    write,
)
from traceprop.lineage.rules.indexing import GETITEM
from traceprop.lineage.rules.mutators import SETITEM, SETITEM_LATE

# Up to Python 3.13 a value on its way into a call is counted by whoever holds it: this frame's
# `key` and getrefcount's own argument make two. From 3.14 on the caller may only have lent it.
_ONLY_OURS: Final = 2 if sys.version_info < (3, 14) else -1
_BASIC: Final = frozenset({int, slice, type(None), type(Ellipsis)})


def _is_basic(key: tuple[Any, ...]) -> bool:
    """Whether a key has only numbers, slices, None and `...`: the result is a view."""
    for part in key:  # noqa: SIM110 - `all` would make a generator, on the hot path
        if type(part) not in _BASIC:
            return False
    return True


class Subscript(Tracked):
    """Indexing and iteration."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        array = self._array
        node = self._node if self._state is None else self._made_by()
        inputs: tuple[Node, ...] = (node,)
        kind = type(key)
        if kind is int or kind is slice or (kind is tuple and _is_basic(key)):
            try:
                result = array[key]
            except IndexError:
                told_by_error(inputs)
                raise
            args: tuple[Any, ...] = (FIRST, key)
        elif kind is type(self):
            result = array[key._array]
            if (
                key._state is None
                and refcount(key) <= _ONLY_OURS
                and refcount(key._array) <= 2
                and level.get() != "op"
            ):
                # A mask made for this line alone: nobody is left to write into it.
                inputs = (node, key._node)
                args = (FIRST, make_held(1, key._array))
            else:
                inputs = (node, key._made_by())
                args = (FIRST, hold(key, 1))
        else:
            if kind is str or kind is list:
                key = numbered(self, key)
            tensors: list[Tracked] = [self]
            plain, template = _strip_key(key, tensors)
            try:
                result = array[plain]
            except IndexError:
                told_by_error(inputs)
                raise
            inputs = tuple(tensor._made_by() for tensor in tensors)
            args = (FIRST, template)
        if not isinstance(result, (np.ndarray, np.generic)):
            escape(self, "an element of an object array")
            return result
        made = make_node(GETITEM, inputs, args, None, result.shape, result.dtype)
        tensor = wrap(type(self), result, made)
        # A record is a view although it is a scalar.
        base = result.base if isinstance(result, (np.ndarray, np.void)) else None
        if base is not None and (
            base is array
            or base is array.base
            or (
                type(array) is np.void and shares_memory(result, array)
            )  # through arrays of its own
        ):
            attach_view(tensor, self)
            if kind is int:
                self._state.read = tensor._state.read = key, _instruction(2)  # type: ignore[union-attr]
                if node.op is np.transpose and len(array.shape) == 2:
                    # A column, as in `age, income = X.T`: its rows are the rows of X.
                    column = (FIRST, (slice(None), key))
                    tensor._node = make_node(
                        GETITEM, node.inputs, column, None, result.shape, result.dtype
                    )
        return tensor

    def __setitem__(self, key: Any, value: Any) -> None:
        if type(key) is str or type(key) is list:
            key = numbered(self, key)
        tensors: list[Tracked] = [self]
        value_template: Any
        plain_key, key_template = _strip_key(key, tensors)
        if isinstance(value, np.ndarray):
            known = adopted(value, KIND[0])
            value = value if known is None else known
        if isinstance(value, Tracked):
            value = value.in_numpy()
            plain_value, value_template = value._array, slot(len(tensors))
            tensors.append(value)
        elif isinstance(value, np.ndarray):
            plain_value, value_template = value, constant(value)
        elif isinstance(value, (list, tuple)) and any(isinstance(v, Tracked) for v in value):
            stacked = cast(Any, np.stack(value))
            plain_value, value_template = stacked._array, slot(len(tensors))
            tensors.append(stacked)
        else:
            plain_value = value_template = value
        if isinstance(value, Tracked) and value._state is not None:
            _refuse_swap(self, key, value)
        inputs = tuple(tensor._made_by() for tensor in tensors)
        before_write(self)
        array = self._array
        try:
            array[plain_key] = plain_value
        except BaseException:
            spoil(self, inputs, inputs[0])
            raise
        args = (FIRST, key_template, value_template)
        op = SETITEM
        if self._state is not None and len(tensors) > 1 and _reads_late(plain_key, tensors):
            op = SETITEM_LATE
        write(self, make_node(op, inputs, args, None, array.shape, array.dtype), inputs[0])

    def __iter__(self) -> Iterator[Any]:
        if not self._array.ndim:
            raise TypeError("iteration over a 0-d array")
        count_left(self._made_by(), "iteration")
        return (self[i] for i in range(len(self._array)))

    def __len__(self) -> int:
        count_left(self._made_by(), "len")
        return len(self._array)

    def __contains__(self, value: Any) -> bool:
        escape(self, "in")
        return bool(np.any(self._array == (value._array if isinstance(value, Tracked) else value)))


def numbered(tensor: Tracked, key: Any) -> Any:
    """Return a key of column names as one of column numbers; of anything else, the key itself.

    Raises
    ------
    UnknownNameError
        When there is no such column.
    """
    listed = [key] if type(key) is str else key
    if not listed or type(listed[0]) is not str or tensor._made_by().dtype.names is not None:
        return key
    names = columns(tensor._made_by()) or ()
    for name in listed:
        if name not in names:
            there = f"there are {', '.join(names)}" if names else "its columns have no names"
            raise UnknownNameError(f"There is no column {name!r}: {there}.")
    numbers = [names.index(name) for name in listed]
    before = (slice(None),) * (tensor._array.ndim - 1)
    return (*before, numbers[0] if type(key) is str else numbers)


def _reads_late(key: Any, tensors: list[Tracked]) -> bool:
    """Whether a write by a mask reads the mask, or what is written, from cells that it wrote.

    NumPy makes a copy first where it writes by numbers, slices and indices, but not by a mask.
    """
    if not isinstance(key, np.ndarray) or key.dtype != bool:
        return False
    target = tensors[0]._array
    return any(
        isinstance(each._array, np.ndarray) and np.may_share_memory(each._array, target)
        for each in tensors[1:]
    )


def _refuse_swap(target: Tracked, key: Any, value: Tracked) -> None:
    """Refuse a swap of rows by C code that takes rows for copies, before a byte moves.

    `rng.shuffle(X)` does `X[i], X[j] = X[j], X[i]`. The rows are views, so that rows would be
    doubled and lost, with no more than a warning. In Python code reading j, reading i and writing
    row j into i are three instructions; here all happen in the one that called the C code.
    """
    state = value._state
    if state is None or state.read is None or state.parent is not target or type(key) is not int:
        return
    now = _instruction(3)
    other_row, instruction = state.read
    last_read = target._own_state().read
    if other_row != key and instruction == now and last_read == (key, now):
        raise LineageError(
            "This would swap rows of a tensor through views and lose some of them, as "
            "rng.shuffle(X) does. Write X = X[rng.permutation(len(X))], or rng.permuted(X, axis=0)."
        )


def _instruction(depth: int) -> tuple[int, int]:
    """Frame (by id) and instruction (by offset) that run `depth` calls above."""
    frame = sys._getframe(depth)
    return id(frame), frame.f_lasti


def _strip_key(key: Any, tensors: list[Tracked]) -> tuple[Any, Any]:
    """Split a key into what NumPy indexes with and what the node keeps; collect its tensors."""
    if isinstance(key, Tracked):
        key = key.in_numpy()
        held = hold(key, len(tensors))
        tensors.append(key)
        return key._array, held
    if isinstance(key, np.ndarray):
        known = adopted(key, KIND[0])
        return (key, hold_plain(key)) if known is None else _strip_key(known, tensors)
    if type(key) is tuple:
        pairs = [_strip_key(each, tensors) for each in key]
        return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)
    if type(key) is list and not (key and isinstance(key[0], str)):
        if any(isinstance(each, Tracked) for each in key):
            return _strip_key(np.stack(key), tensors)
        array = np.asarray(key) if key else np.empty(0, dtype=np.intp)
        return array, hold_plain(array)
    return key, key
