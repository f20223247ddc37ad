"""Steps of random programs, one module per family. Each adds a call that fits what is there.

A step is a function `(choices, builder)` that picks variables and adds one or a few calls. It is
registered under the name of its family::

    @step("scan")
    def cumulative(choices: Choices, b: Builder) -> None:
        x = b.call(...)
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from traceprop.testing.choices import Choices
from traceprop.testing.program import Builder, DoesNotFit, Var

Maker = Callable[[Choices, Builder], None]

_MAKERS: Final[dict[str, list[Maker]]] = {}
_MODULES: Final = (
    "elementwise",
    "reduction",
    "contraction",
    "scan",
    "searching",
    "sorting",
    "alltoall",
    "movement",
    "joining",
    "indexing",
    "choosing",
    "mutators",
    "methods",
    "aliasing",
    "structured",
)


def step(family: str) -> Callable[[Maker], Maker]:
    """Register a maker of steps under its family."""

    def register(maker: Maker) -> Maker:
        _MAKERS.setdefault(family, []).append(maker)
        return maker

    return register


def makers() -> dict[str, list[Maker]]:
    """Return the makers of steps of each family."""
    if not _MAKERS:
        for module in _MODULES:
            importlib.import_module(f"traceprop.testing.steps.{module}")
    return _MAKERS


NUMERIC: Final = "biufc"
REAL: Final = "biuf"
FLOATS: Final = "fc"
INTEGERS: Final = "iu"
ANY: Final = "biufcUmMTVO"


def pick(
    choices: Choices,
    b: Builder,
    kinds: str = NUMERIC,
    *,
    ndim: int = 1,
    most: int = 4,
    test: Callable[[Any], Any] | None = None,
) -> Var:
    """Pick a variable, more often a new one than an old one.

    Parameters
    ----------
    kinds : str
        Its dtype is of one of these kinds.
    ndim, most : int
        It has from `ndim` to `most` dimensions.
    test : callable, optional
        Its value passes this test.

    Raises
    ------
    DoesNotFit
        When there is none.
    """
    found = b.matching(
        lambda value: (
            value.dtype.kind in kinds
            and ndim <= value.ndim <= most
            and (test is None or test(value))
        )
    )
    if not found:
        raise DoesNotFit
    newest = min(choices.integer(0, len(found) - 1), choices.integer(0, len(found) - 1))
    return found[newest]


def like(choices: Choices, b: Builder, x: Var, kinds: str = NUMERIC) -> Any:
    """Draw what broadcasts with `x`: a number, a plain array or another variable."""
    shape = b.value(x).shape
    if choices.integer(0, 3) == 0:
        return choices.pick((2, 0.5, -1, 1.0))
    if choices.integer(0, 3) == 0 and shape:
        return np.arange(1, shape[-1] + 1)
    return pick(choices, b, kinds, ndim=0, test=lambda value: _broadcasts(value.shape, shape))


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(x == y or 1 in (x, y) for x, y in zip(a[::-1], b[::-1], strict=False))


def mask_of(choices: Choices, b: Builder, shape: tuple[int, ...]) -> Any:
    """Draw a mask of a shape: plain, a boolean variable, or a comparison made for it."""
    way = choices.integer(0, 3)
    if way == 0:
        flags = choices.integers(0, 1, int(np.prod(shape)))
        return np.array(flags, dtype=bool).reshape(shape)
    if way == 1:
        return pick(choices, b, "b", ndim=0, test=lambda value: value.shape == shape)
    x = pick(choices, b, REAL, ndim=0, test=lambda value: value.shape == shape)
    return b.call(choices.pick((np.greater, np.less_equal, np.not_equal)), x, choices.pick((0, 1)))


def index_of(choices: Choices, b: Builder, n: int, count: int | None = None) -> Any:
    """Draw row numbers below `n`: plain, or a variable made of integers, a sort or a search."""
    if n == 0:
        raise DoesNotFit
    way = choices.integer(0, 3)
    if way < 2 or (way == 2 and count is not None):
        wanted = choices.integer(0, 4) if count is None else count
        return np.array(choices.integers(-n, n - 1, wanted), dtype=np.intp)
    test = None if count is None else (lambda value: len(value) == count)
    if way == 2:
        x = pick(choices, b, REAL, most=1, test=lambda value: len(value) == n)
        return b.call(np.argsort, x, kind="stable")
    x = pick(choices, b, INTEGERS, most=1, test=test)
    return b.call(np.remainder, x, n)
