"""Many cells to one."""

from __future__ import annotations

from typing import Any

import numpy as np

from traceprop.testing.choices import Choices
from traceprop.testing.program import Builder, method
from traceprop.testing.steps import REAL, mask_of, pick, step

_PLAIN = (
    np.sum, np.mean, np.max, np.min, np.prod, np.std, np.var, np.any, np.all, np.argmin,
    np.argmax, np.count_nonzero, np.ptp,
)  # fmt: skip
_OF_FLOATS = (
    np.median, np.nansum, np.nanmean, np.nanmax, np.nanmin, np.nanprod, np.nanstd, np.nanvar,
    np.nanmedian, np.nanargmax, np.nanargmin,
)  # fmt: skip
_WITH_WHERE = (np.sum, np.mean, np.prod, np.std, np.var, np.any, np.all)
_METHODS = tuple(map(method, ("sum", "mean", "max", "min", "std", "any", "all", "argmax", "prod")))


def draw_axes(choices: Choices, ndim: int, several: bool = True) -> dict[str, Any]:
    """Draw `axis=` and `keepdims=`: none, one axis, or a tuple of them."""
    way = choices.integer(0, 3)
    if way == 0 or not ndim:
        return {}
    if way == 1 and several and ndim > 1:
        first = choices.integer(0, ndim - 1)
        return {"axis": (first, (first + 1) % ndim)}
    axis: dict[str, Any] = {"axis": choices.axis(ndim)}
    return {**axis, "keepdims": True} if choices.flag() else axis


@step("reduction")
def _reduce(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL, ndim=0)
    function = choices.pick(_PLAIN + _OF_FLOATS + _METHODS)
    several = "arg" not in function.__name__
    axes = draw_axes(choices, b.value(x).ndim, several)
    if function is np.count_nonzero and "axis" not in axes:
        axes = {"axis": 0}  # without an axis it returns a plain number, which would escape
    b.call(function, x, **axes)


@step("reduction")
def _reduce_where(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL)
    mask = mask_of(choices, b, b.value(x).shape)
    b.call(choices.pick(_WITH_WHERE), x, where=mask, **draw_axes(choices, b.value(x).ndim))


@step("reduction")
def _reduce_initial(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL)
    axes = draw_axes(choices, b.value(x).ndim)
    b.call(choices.pick((np.max, np.min, np.sum)), x, initial=choices.pick((0, 2)), **axes)


@step("reduction")
def _quantile(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "f")
    q = choices.pick((0.5, 0.25, [0.0, 1.0], [0.5]))
    function = choices.pick((np.quantile, np.nanquantile))
    b.call(function, x, q, **draw_axes(choices, b.value(x).ndim))


@step("reduction")
def _weighted(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "f")
    shape = b.value(x).shape
    if choices.flag():
        weights = pick(choices, b, "fi", test=lambda value: value.shape == shape)
        axes = draw_axes(choices, len(shape), several=False)
        b.call(np.average, x, weights=weights, **axes)
    else:
        axis = choices.axis(len(shape))
        weights = pick(choices, b, "fi", most=1, test=lambda value: len(value) == shape[axis])
        b.call(np.average, x, axis=axis, weights=weights)


@step("reduction")
def _trapezoid(choices: Choices, b: Builder) -> None:
    y = pick(choices, b, "f")
    axis = choices.axis(b.value(y).ndim)
    length = b.value(y).shape[axis]
    if choices.flag():
        b.call(np.trapezoid, y, axis=axis)
    else:
        x = pick(choices, b, REAL, most=1, test=lambda value: len(value) == length)
        b.call(np.trapezoid, y, x, axis=axis)


@step("reduction")
def _norm(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "f")
    ndim = b.value(x).ndim
    way = choices.integer(0, 3)
    if way == 0:
        b.call(np.linalg.norm, x, axis=choices.axis(ndim))
    elif way == 1:
        b.call(np.linalg.vector_norm, x, **draw_axes(choices, ndim))
    elif way == 2:
        b.call(choices.pick((np.trace, np.linalg.trace, np.linalg.matrix_norm)), x)
    else:
        b.call(np.trace, x, choices.integer(-1, 1), choices.axis(ndim), choices.axis(ndim))


@step("reduction")
def _ufunc_reduce(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL)
    axes = draw_axes(choices, b.value(x).ndim)
    b.call(choices.pick((np.add, np.maximum, np.logical_or, np.multiply)).reduce, x, **axes)


@step("reduction")
def _ufunc_reduceat(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL)
    axis = choices.axis(b.value(x).ndim)
    length = b.value(x).shape[axis]
    indices: Any = choices.integers(0, max(length - 1, 0), choices.integer(1, 3))
    if choices.flag():
        indices = b.call(np.remainder, pick(choices, b, "iu", most=1), max(length, 1))
    b.call(choices.pick((np.add, np.minimum)).reduceat, x, indices, axis=axis)
