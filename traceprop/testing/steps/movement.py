"""Moving cells of one array: shapes, axes, orders, repetitions, pieces."""

from __future__ import annotations

import operator

import numpy as np

from traceprop.testing.choices import Choices
from traceprop.testing.program import Builder, method
from traceprop.testing.steps import ANY, index_of, mask_of, pick, step


@step("movement")
def _reshape(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY, ndim=0)
    size = b.value(x).size
    divisors = [d for d in range(1, size + 1) if size % d == 0] or [1]
    rows = choices.pick(divisors)
    shape = choices.pick(((rows, -1), (-1,), (rows, size // rows, 1), (1, -1, rows)))
    if not size:
        shape = choices.pick(((0,), (0, 2), (2, 0)))
    order = {"order": choices.pick(("F", "A"))} if choices.flag() else {}
    b.call(choices.pick((np.reshape, method("reshape"))), x, shape, **order)


@step("movement")
def _flatten(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY, ndim=0)
    order = choices.pick(("C", "F", "A", "K"))
    b.call(choices.pick((np.ravel, method("flatten"), method("ravel"))), x, order)


@step("movement")
def _change_axes(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY, ndim=2)
    ndim = b.value(x).ndim
    one, other = choices.axis(ndim), choices.axis(ndim)
    way = choices.integer(0, 4)
    if way == 0:
        b.call(np.transpose, x)
    elif way == 1:
        b.call(np.swapaxes, x, one, other)
    elif way == 2:
        b.call(np.moveaxis, x, one, other)
    elif way == 3:
        b.call(np.rollaxis, x, one, choices.integer(0, ndim))
    else:
        b.call(choices.pick((np.matrix_transpose, method("T"), method("mT"))), x)


@step("movement")
def _add_and_drop_axes(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY, ndim=0, most=3)
    way = choices.integer(0, 3)
    if way == 0:
        b.call(np.expand_dims, x, choices.integer(0, b.value(x).ndim))
    elif way == 1:
        b.call(np.squeeze, x)
    elif way == 2:
        b.call(choices.pick((np.atleast_1d, np.atleast_2d, np.atleast_3d)), x)
    else:
        b.call(operator.getitem, x, (None, ...) if choices.flag() else (..., None))


@step("movement")
def _flip(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY, ndim=2)
    way = choices.integer(0, 2)
    if way == 0:
        b.call(np.flip, x, axis=choices.pick((None, 0, 1, (0, 1))))
    elif way == 1:
        b.call(np.rot90, x, choices.integer(0, 3))
    else:
        b.call(choices.pick((np.flipud, np.fliplr)), x)


@step("movement")
def _roll(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY)
    shift = choices.integer(-2, 3)
    way = choices.integer(0, 3)
    if way == 0:
        b.call(np.roll, x, shift)
    elif way == 1:
        b.call(np.roll, x, shift, axis=choices.axis(b.value(x).ndim))
    elif way == 2:
        b.call(np.roll, x, (shift, 1), axis=(0, b.value(x).ndim - 1))
    else:
        b.call(choices.pick((np.fft.fftshift, np.fft.ifftshift)), x)


@step("movement")
def _repeat(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY)
    ndim, length = b.value(x).ndim, len(b.value(x))
    way = choices.integer(0, 3)
    if way == 0:
        b.call(np.tile, x, choices.pick((2, (2, 1), (1, 2), (2, 1, 1), 0)))
    elif way == 1:
        axis = {"axis": choices.axis(ndim)} if choices.flag() else {}
        b.call(np.repeat, x, choices.integer(0, 2), **axis)
    elif way == 2:
        b.call(np.repeat, x, choices.integers(0, 2, length), axis=0)
    else:
        counts = pick(choices, b, "iu", most=1, test=lambda value: len(value) == length)
        b.call(np.repeat, x, b.call(np.remainder, counts, 3), axis=0)


@step("movement")
def _resize(choices: Choices, b: Builder) -> None:
    b.call(np.resize, pick(choices, b, ANY), choices.pick(((5,), (2, 3), (4, 1))))


@step("movement")
def _broadcast(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY, ndim=0, most=2)
    b.call(np.broadcast_to, x, (2, *b.value(x).shape))


@step("movement")
def _diagonal(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, most=2)
    offset = choices.integer(-1, 1)
    if b.value(x).ndim == 2:
        b.call(choices.pick((np.diagonal, np.diag, np.tril, np.triu)), x, offset)
    else:
        b.call(choices.pick((np.diag, np.diagflat, np.tril)), x, offset)


@step("movement")
def _split(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY)
    ndim = b.value(x).ndim
    way = choices.integer(0, 2)
    if way == 0:
        b.call(np.array_split, x, choices.integer(1, 3), axis=choices.axis(ndim))
    elif way == 1:
        b.call(np.split, x, [1, 2], axis=choices.axis(ndim))
    else:
        b.call(np.unstack, x, axis=choices.axis(ndim))


@step("movement")
def _pad(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, test=lambda value: value.size)
    modes = ("constant", "edge", "reflect", "wrap", "symmetric", "mean", "maximum", "linear_ramp")
    width = choices.pick((1, (1, 0), (0, 2)))
    options = {"reflect_type": "odd"} if choices.rarely() else {}
    mode = "reflect" if options else choices.pick(modes)
    b.call(np.pad, x, width, mode=mode, **options)


@step("movement")
def _take(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY)
    if choices.flag():
        axis = choices.axis(b.value(x).ndim)
        b.call(np.take, x, index_of(choices, b, b.value(x).shape[axis]), axis=axis)
    else:
        mode = choices.pick(("raise", "wrap", "clip"))
        b.call(np.take, x, index_of(choices, b, b.value(x).size), mode=mode)


@step("movement")
def _delete(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY)
    n = len(b.value(x))
    way = choices.integer(0, 2)
    if way == 0:
        b.call(np.delete, x, slice(0, 1), axis=0)
    elif way == 1:
        b.call(np.delete, x, mask_of(choices, b, (n,)), axis=0)
    else:
        axis = {"axis": 0} if choices.flag() else {}
        b.call(np.delete, x, index_of(choices, b, n), **axis)


@step("movement")
def _filter_rows(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY)
    if choices.flag():
        mask = mask_of(choices, b, (len(b.value(x)),))
        b.call(np.compress, mask, x, axis=0)
    else:
        b.call(np.extract, mask_of(choices, b, b.value(x).shape), x)


@step("movement")
def _trim(choices: Choices, b: Builder) -> None:
    b.call(np.trim_zeros, pick(choices, b, most=1), choices.pick(("fb", "f", "b")))
