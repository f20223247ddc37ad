"""Sorting, whole or in part."""

from __future__ import annotations

import operator

import numpy as np

from traceprop.testing.choices import Choices
from traceprop.testing.program import Builder
from traceprop.testing.steps import ANY, REAL, pick, step


@step("sorting")
def _sort(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY)
    axis = choices.pick((0, -1, None))
    b.call(choices.pick((np.sort, np.argsort)), x, axis=axis, kind="stable")


@step("sorting")
def _partition(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL)
    axis = choices.axis(b.value(x).ndim)
    length = b.value(x).shape[axis]
    kth = choices.integer(0, max(length - 1, 0))
    b.call(choices.pick((np.partition, np.argpartition)), x, kth, axis=axis)


@step("sorting")
def _lexsort(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL, most=2)
    if b.value(x).ndim == 2:
        b.call(np.lexsort, x)
    else:
        length = len(b.value(x))
        y = pick(choices, b, REAL, most=1, test=lambda value: len(value) == length)
        b.call(np.lexsort, (x, y))


@step("sorting")
def _sort_rows_by_column(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL, ndim=2)
    key = b.call(operator.getitem, x, (slice(None), 0))
    order = b.call(np.argsort, key, axis=0)
    if b.value(order).ndim == 1:
        b.call(operator.getitem, x, order)
    else:
        b.call(np.take_along_axis, key, order, 0)


@step("sorting")
def _sort_complex(choices: Choices, b: Builder) -> None:
    b.call(np.sort_complex, pick(choices, b))
