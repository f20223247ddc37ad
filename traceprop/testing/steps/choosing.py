"""Choosing between values cell by cell."""

from __future__ import annotations

import numpy as np

from traceprop.testing.choices import Choices
from traceprop.testing.program import Builder
from traceprop.testing.steps import like, mask_of, pick, step


@step("choosing")
def _where(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ndim=0)
    mask = mask_of(choices, b, b.value(x).shape)
    b.call(np.where, mask, x, like(choices, b, x))


@step("choosing")
def _where_row(choices: Choices, b: Builder) -> None:
    """Choose by a condition with fewer axes than what it chooses from."""
    x = pick(choices, b, ndim=2)
    mask = mask_of(choices, b, b.value(x).shape[-1:])
    b.call(np.where, mask, x, 0)


@step("choosing")
def _select(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ndim=1)
    shape = b.value(x).shape
    conditions = [mask_of(choices, b, shape), mask_of(choices, b, shape)]
    b.call(np.select, conditions, [x, like(choices, b, x)], default=-1)


@step("choosing")
def _choose(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "fi", ndim=1)
    codes = pick(choices, b, "iu", test=lambda value: value.shape == b.value(x).shape)
    which = b.call(np.remainder, codes, 2)
    b.call(np.choose, which, [x, like(choices, b, x)], mode=choices.pick(("raise", "clip")))


@step("choosing")
def _piecewise(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "f", ndim=1)
    b.call(np.piecewise, x, [mask_of(choices, b, b.value(x).shape)], [1.0, -1.0])
