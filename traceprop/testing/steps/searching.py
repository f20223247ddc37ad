"""Search, bins and sets."""

from __future__ import annotations

import numpy as np

from traceprop.testing.choices import Choices
from traceprop.testing.program import Builder, Var
from traceprop.testing.steps import ANY, INTEGERS, NUMERIC, REAL, pick, step


def _table(choices: Choices, b: Builder) -> Var:
    """Draw a sorted table: in another one, what NumPy finds depends on what it looked up before."""
    x = pick(choices, b, REAL, most=1, test=len)
    return b.call(np.sort, b.call(np.nan_to_num, x))


@step("searching")
def _searchsorted(choices: Choices, b: Builder) -> None:
    v = pick(choices, b, REAL, ndim=0)
    if choices.flag():
        b.call(np.searchsorted, [0.0, 1.0, 2.0], v, side=choices.pick(("left", "right")))
    else:
        b.call(np.searchsorted, _table(choices, b), v)


@step("searching")
def _digitize(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "fi")
    bins = _table(choices, b) if choices.flag() else np.array([0.0, 1.0, 4.0])
    b.call(np.digitize, x, bins)


@step("searching")
def _histogram(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "fi")
    way = choices.integer(0, 2)
    if way == 0:
        b.call(np.histogram, x, bins=choices.integer(1, 3))
    elif way == 1:
        b.call(np.histogram, x, bins=[-1.0, 0.5, 2.0, 9.0])
    else:
        b.call(np.histogram_bin_edges, x, bins=3)


@step("searching")
def _bincount(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, INTEGERS, most=1)
    codes = b.call(np.remainder, x, 3)
    if choices.flag():
        count = len(b.value(x))
        weights = pick(choices, b, REAL, most=1, test=lambda value: len(value) == count)
        b.call(np.bincount, codes, weights, minlength=3)
    else:
        b.call(np.bincount, codes)


@step("searching")
def _interp(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL)
    if choices.flag():
        b.call(np.interp, x, [0.0, 1.0, 3.0], [5.0, -1.0, 2.0])
    else:
        xp = _table(choices, b)
        b.call(np.interp, x, xp, xp)


@step("searching")
def _where_true(choices: Choices, b: Builder) -> None:
    b.call(choices.pick((np.nonzero, np.flatnonzero, np.argwhere)), pick(choices, b))


@step("sets")
def _unique(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY)
    way = choices.integer(0, 3)
    if way == 0:
        b.call(np.unique, x)
    elif way == 1:
        b.call(np.unique, x, return_inverse=True, return_counts=True)
    elif way == 2:
        b.call(np.unique, x, axis=0, return_index=True)
    else:
        b.call(choices.pick((np.unique_counts, np.unique_values, np.unique_inverse)), x)


@step("sets")
def _two_sets(choices: Choices, b: Builder) -> None:
    x, y = pick(choices, b, REAL), pick(choices, b, REAL)
    b.call(choices.pick((np.intersect1d, np.union1d, np.setdiff1d, np.setxor1d)), x, y)


@step("sets")
def _isin(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, NUMERIC)
    if choices.rarely():
        b.call(np.isin, x, np.arange(40.0), assume_unique=True)  # where many are sorted together
    else:
        b.call(np.isin, x, pick(choices, b, NUMERIC) if choices.flag() else [0, 1, 5.5])
