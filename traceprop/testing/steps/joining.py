"""Putting arrays together."""

from __future__ import annotations

import numpy as np

from traceprop.testing.choices import Choices
from traceprop.testing.program import Builder
from traceprop.testing.steps import ANY, index_of, pick, step


@step("joining")
def _concatenate(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY)
    ndim = b.value(x).ndim
    y = pick(choices, b, ANY, test=lambda value: value.ndim == ndim)
    pieces = [x, y, x] if choices.flag() else [y, x]
    if choices.rarely():
        pieces.append(np.ones_like(b.value(x)))
    b.call(np.concatenate, pieces, axis=choices.pick((0, 0, -1, None)))


@step("joining")
def _stack(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ndim=0, most=2)
    shape = b.value(x).shape
    y = pick(choices, b, ndim=0, test=lambda value: value.shape == shape)
    way = choices.integer(0, 1)
    if way == 0:
        b.call(np.stack, [x, y], axis=choices.integer(0, len(shape)))
    else:
        b.call(choices.pick((np.vstack, np.hstack, np.dstack, np.column_stack)), (x, y))


@step("joining")
def _block(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, most=2)
    b.call(np.block, [[x, x], [x, x]] if choices.flag() else [x, x])


@step("joining")
def _append(choices: Choices, b: Builder) -> None:
    x, y = pick(choices, b), pick(choices, b)
    b.call(np.append, x, y, **({"axis": 0} if choices.flag() else {}))


@step("joining")
def _insert(choices: Choices, b: Builder) -> None:
    x = pick(choices, b)
    n = len(b.value(x))
    way = choices.integer(0, 3)
    if way == 0:
        b.call(np.insert, x, choices.integer(0, n), 7, axis=0)
    elif way == 1:
        value = pick(choices, b, ndim=0, most=1)
        b.call(np.insert, x, choices.integer(0, n), value, axis=0)
    elif way == 2:
        b.call(np.insert, x, index_of(choices, b, n), 7, axis=0)
    else:
        b.call(np.insert, x, choices.integers(0, n, 2), [5, 6])


@step("joining")
def _meshgrid(choices: Choices, b: Builder) -> None:
    x, y = pick(choices, b, most=1), pick(choices, b, most=1)
    options = {"copy": False, "sparse": choices.flag()} if choices.rarely() else {}
    b.call(np.meshgrid, x, y, indexing=choices.pick(("xy", "ij")), **options)


@step("joining")
def _broadcast_arrays(choices: Choices, b: Builder) -> None:
    x, y = pick(choices, b, ndim=0), pick(choices, b, ndim=0)
    b.call(np.broadcast_arrays, x, y)
