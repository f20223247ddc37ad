"""Running results, differences and windows."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from traceprop.testing.choices import Choices
from traceprop.testing.program import Builder
from traceprop.testing.steps import REAL, pick, step

_RUNNING = (np.cumsum, np.cumprod, np.nancumsum, np.nancumprod)


@step("scan")
def _cumulative(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL)
    axis = {"axis": choices.axis(b.value(x).ndim)} if choices.flag() else {}
    b.call(choices.pick(_RUNNING), x, **axis)


@step("scan")
def _cumulative_from_start(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL)
    axis = choices.axis(b.value(x).ndim)
    b.call(np.cumulative_sum, x, axis=axis, include_initial=choices.flag())


@step("scan")
def _accumulate(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL)
    function = choices.pick((np.maximum, np.add, np.logical_or)).accumulate
    b.call(function, x, axis=choices.axis(b.value(x).ndim))


@step("scan")
def _diff(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "fi")
    ndim = b.value(x).ndim
    way = choices.integer(0, 2)
    if way == 0:
        b.call(np.diff, x, n=choices.integer(1, 2), axis=choices.axis(ndim))
    elif way == 1:
        b.call(np.diff, x, prepend=0) if choices.flag() else b.call(np.diff, x, append=x)
    else:
        b.call(np.ediff1d, x)


@step("scan")
def _gradient(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "f", test=lambda value: min(value.shape) > 1)
    axis = {"axis": choices.axis(b.value(x).ndim)} if choices.flag() else {}
    edge = {"edge_order": 2} if choices.rarely() else {}
    b.call(np.gradient, x, **axis, **edge)


@step("scan")
def _convolve(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "fi", most=1, test=len)
    kernel = np.array([1.0, 2.0, -1.0, 0.5][: choices.integer(1, 4)])
    y = kernel if choices.flag() else pick(choices, b, "fi", most=1, test=len)
    first, second = (y, x) if choices.flag() else (x, y)
    mode = choices.pick(("full", "same", "valid"))
    b.call(choices.pick((np.convolve, np.correlate)), first, second, mode)


@step("scan")
def _windows(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ndim=1, most=2, test=lambda value: len(value) > 1)
    if b.value(x).ndim == 1:
        b.call(sliding_window_view, x, choices.integer(1, 2))
    else:
        axis = choices.axis(2)
        b.call(sliding_window_view, x, min(2, b.value(x).shape[axis]), axis=axis)


@step("scan")
def _unwrap(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "f")
    b.call(np.unwrap, x, axis=choices.axis(b.value(x).ndim))
