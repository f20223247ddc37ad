"""Writes: through operators, keys, functions and methods, on arrays and on views of them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from traceprop.testing.choices import Choices
from traceprop.testing.program import GETITEM, SETITEM, Builder, Var, method
from traceprop.testing.steps import REAL, index_of, like, mask_of, pick, step
from traceprop.testing.steps.indexing import draw_basic_key

_INPLACE = (operator.iadd, operator.isub, operator.imul, operator.ipow)


def pick_target(choices: Choices, b: Builder, kinds: str = "fi", ndim: int = 1) -> Var:
    """Pick an array that can be written; half of the time make a view of it first."""

    def writable(value: Any) -> bool:
        if not isinstance(value, np.ndarray) or (0 in value.strides and value.size > 1):
            return False  # cells that share memory: NumPy warns, and we refuse
        return value.flags.writeable

    x = pick(choices, b, kinds, ndim=ndim, test=writable)
    if choices.flag():
        return x
    ways = (
        (GETITEM, choices.slice(len(b.value(x)))),
        (method("T"),),
        (np.ravel,),
        (method("reshape"), (-1,)),
        (GETITEM, (..., None)),
        (np.flip,),
        (GETITEM, (..., slice(1, None))),
        (np.swapaxes, 0, -1),
        (method("view"), b.value(x).dtype),
    )
    function, *args = choices.pick(ways)
    view = b.call(function, x, *args)
    return view if writable(b.value(view)) and b.value(view).ndim >= ndim else x


@step("mutators")
def _inplace(choices: Choices, b: Builder) -> None:
    x = pick_target(choices, b)
    b.write(choices.pick(_INPLACE), x, like(choices, b, x, REAL))


@step("mutators")
def _set_by_basic_key(choices: Choices, b: Builder) -> None:
    x = pick_target(choices, b)
    key = draw_basic_key(choices, b.value(x).shape)
    shape = b.value(x)[key].shape
    way = choices.integer(0, 2)
    if way == 0:
        b.write(SETITEM, x, key, choices.integer(0, 3))
    elif way == 1:
        value = pick(choices, b, REAL, ndim=0, test=lambda v: _fits(v.shape, shape))
        b.write(SETITEM, x, key, value)
    else:
        b.write(SETITEM, x, key, b.call(GETITEM, x, key))


def _fits(value: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(value) <= len(shape) and all(
        x in (1, y) for x, y in zip(value[::-1], shape[::-1], strict=False)
    )


@step("mutators")
def _set_by_mask(choices: Choices, b: Builder) -> None:
    x = pick_target(choices, b)
    shape = b.value(x).shape
    mask = mask_of(choices, b, choices.pick((shape[:1], shape, shape[:2])))
    way = choices.integer(0, 3)
    if way == 0:
        b.write(SETITEM, x, mask, 9)
    elif way == 1:
        b.write(SETITEM, x, mask, b.call(np.mean, x, axis=0))
    elif way == 2:
        value = pick(choices, b, REAL, ndim=0, most=1)
        b.write(SETITEM, x, mask, value)
    else:
        b.write(SETITEM, x, mask, b.call(np.negative, b.call(GETITEM, x, mask)))


@step("mutators")
def _set_by_index(choices: Choices, b: Builder) -> None:
    x = pick_target(choices, b)
    index = index_of(choices, b, len(b.value(x)))
    shape = b.value(x)[b.value(index) if isinstance(index, Var) else index].shape
    value = pick(choices, b, REAL, ndim=0, test=lambda v: _fits(v.shape, shape))
    b.write(SETITEM, x, index, value if choices.flag() else 4)


@step("mutators")
def _set_cells(choices: Choices, b: Builder) -> None:
    x = pick_target(choices, b, ndim=2)
    rows, columns = b.value(x).shape[:2]
    places = choices.integers(0, rows - 1, 2), choices.integers(0, columns - 1, 2)
    value = pick(choices, b, REAL, ndim=0, most=1, test=lambda v: v.shape in ((), (1,), (2,)))
    b.write(SETITEM, x, places, value)


@step("mutators")
def _augmented_item(choices: Choices, b: Builder) -> None:
    """`x[key] += v`, as Python runs it."""
    x = pick_target(choices, b)
    key = choices.slice(len(b.value(x)))
    part = b.call(GETITEM, x, key)
    b.write(choices.pick(_INPLACE), part, choices.pick((2, 1, -1)))
    b.write(SETITEM, x, key, part)


@step("mutators")
def _copyto(choices: Choices, b: Builder) -> None:
    x = pick_target(choices, b)
    shape = b.value(x).shape
    value = pick(choices, b, REAL, ndim=0, test=lambda v: _fits(v.shape, shape))
    where = {"where": mask_of(choices, b, shape)} if choices.flag() else {}
    b.write(np.copyto, x, value, casting="unsafe", **where)


@step("mutators")
def _put(choices: Choices, b: Builder) -> None:
    x = pick_target(choices, b)
    value = pick(choices, b, REAL, most=1, test=len) if choices.flag() else [5, 6]
    way = choices.integer(0, 2)
    if way == 0:
        b.write(np.put, x, index_of(choices, b, b.value(x).size), value)
    elif way == 1:
        b.write(np.place, x, mask_of(choices, b, b.value(x).shape), value)
    else:
        b.write(np.putmask, x, mask_of(choices, b, b.value(x).shape), value)


@step("mutators")
def _put_along_axis(choices: Choices, b: Builder) -> None:
    x = pick_target(choices, b)
    axis = choices.axis(b.value(x).ndim)
    places = b.call(np.argmax, x, axis=axis, keepdims=True)
    b.write(np.put_along_axis, x, places, choices.pick((8, 0)), axis)


@step("mutators")
def _fill_diagonal(choices: Choices, b: Builder) -> None:
    x = pick_target(choices, b, ndim=2)
    value = pick(choices, b, REAL, ndim=0, most=1, test=np.size) if choices.flag() else 5
    b.write(np.fill_diagonal, x, value)


@step("mutators")
def _sort_in_place(choices: Choices, b: Builder) -> None:
    x = pick_target(choices, b)
    axis = choices.axis(b.value(x).ndim)
    if choices.flag():
        b.write(method("sort"), x, axis=axis)
    else:
        b.write(method("partition"), x, 0, axis=axis)


@step("mutators")
def _at(choices: Choices, b: Builder) -> None:
    x = pick_target(choices, b)
    index = index_of(choices, b, len(b.value(x)))
    shape = b.value(x)[b.value(index) if isinstance(index, Var) else index].shape
    function = choices.pick((np.add, np.maximum, np.multiply)).at
    if choices.flag():
        value = pick(choices, b, "fi", ndim=0, test=lambda v: _fits(v.shape, shape))
        b.write(function, x, index, value)
    else:
        b.write(function, x, index, 2)


@step("mutators")
def _out(choices: Choices, b: Builder) -> None:
    x = pick_target(choices, b, kinds="f")
    shape = b.value(x).shape
    way = choices.integer(0, 3)
    if way == 0:
        y = pick(choices, b, REAL, ndim=0, test=lambda v: _fits(v.shape, shape))
        b.write(choices.pick((np.add, np.maximum, np.multiply)), y, 2, out=x)
    elif way == 1:
        y = pick(choices, b, REAL, test=lambda v: v.shape[1:] == shape)
        b.write(choices.pick((np.sum, np.mean, np.max)), y, axis=0, out=x)
    elif way == 2:
        y = pick(choices, b, REAL, test=lambda v: v.shape == shape)
        b.write(np.cumsum, y, axis=0, out=x)
    else:
        y = pick(choices, b, REAL, ndim=0, test=lambda v: v.shape == shape)
        b.write(np.subtract, y, 1, out=x, where=mask_of(choices, b, shape))


@step("mutators")
def _fill(choices: Choices, b: Builder) -> None:
    x = pick_target(choices, b, ndim=0)
    if b.value(x).ndim and choices.flag():
        b.write(method("put"), x, index_of(choices, b, b.value(x).size), 3)
    else:
        b.write(method("fill"), x, 3)
