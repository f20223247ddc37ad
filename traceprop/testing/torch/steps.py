"""What steps of random torch programs are made with: their register, and draws of what fits.

The steps themselves are in the modules of `_STEPS`; each adds a call that fits what is there.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch

from traceprop.testing.choices import Choices
from traceprop.testing.program import DoesNotFit, Var
from traceprop.testing.torch.program import Maker, TorchBuilder, kind_of

_STEPS: Final = ("arithmetic", "moving", "layers", "writing")
"""Modules of steps, in the order in which programs are drawn from them."""

_MAKERS: Final[dict[str, list[Maker]]] = {}


def step(family: str) -> Callable[[Maker], Maker]:
    """Register a maker of steps under its family."""

    def register(maker: Maker) -> Maker:
        _MAKERS.setdefault(family, []).append(maker)
        return maker

    return register


def makers() -> dict[str, list[Maker]]:
    """Return the makers of steps of each family."""
    for name in _STEPS:
        importlib.import_module(f"traceprop.testing.torch.{name}")
    return _MAKERS


def pick(
    c: Choices, b: TorchBuilder, kinds: str = "fiub", ndim: int = 1,
    test: Callable[[Any], Any] | None = None,
) -> Var:  # fmt: skip
    """Pick a variable of some kinds, more often a new one than an old one."""
    found = b.matching(
        lambda t: kind_of(t) in kinds and t.ndim >= ndim and (test is None or test(t))
    )
    if not found:
        raise DoesNotFit
    return found[min(c.integer(0, len(found) - 1), c.integer(0, len(found) - 1))]


def like(c: Choices, b: TorchBuilder, x: Var, kinds: str = "fiub") -> Any:
    """Draw what broadcasts with `x`: a number, a plain tensor or another variable."""
    shape = tuple(b.value(x).shape)
    way = c.integer(0, 3)
    if way == 0:
        return c.pick((2, 0.5, -1, 1.0))
    if way == 1 and shape:
        return torch.arange(1, shape[-1] + 1)
    return pick(c, b, kinds, 0, lambda t: _broadcasts(tuple(t.shape), shape))


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(x == y or 1 in (x, y) for x, y in zip(a[::-1], b[::-1], strict=False))


def mask_of(c: Choices, b: TorchBuilder, shape: tuple[int, ...]) -> Any:
    """Draw a mask of a shape: plain, or made of a variable."""
    if c.flag():
        flags = c.integers(0, 1, int(np.prod(shape)))
        return torch.tensor(flags, dtype=torch.bool).reshape(shape)
    x = pick(c, b, test=lambda t: tuple(t.shape) == shape)
    return b.call(c.pick((torch.gt, torch.le)), x, c.pick((0, 1)))


def index_of(c: Choices, b: TorchBuilder, n: int, count: int | None = None) -> Any:
    """Draw row numbers below `n`: plain, or a variable made of integers or a sort."""
    if not n:
        raise DoesNotFit
    if count is not None or c.integer(0, 2):
        wanted = c.integer(0, 4) if count is None else count
        return torch.tensor(c.integers(0, n - 1, wanted), dtype=torch.int64)
    x = pick(c, b, "fi", test=lambda t: t.ndim == 1)
    return b.call(torch.remainder, b.call(torch.argsort, x, stable=True), n)


def dim_of(c: Choices, b: TorchBuilder, x: Var) -> int:
    """Draw an axis of a variable."""
    return c.axis(b.value(x).ndim)


def basic_key(c: Choices, shape: tuple[int, ...]) -> Any:
    """Draw a key of numbers, slices, an ellipsis and new axes; torch takes no negative steps."""
    parts: list[Any] = []
    for length in shape[: c.integer(1, len(shape))]:
        if length and c.integer(0, 2) == 0:
            parts.append(c.integer(-length, length - 1))
        else:
            start = c.integer(0, max(length - 1, 0))
            parts.append(c.pick((slice(start, None), slice(None, start), slice(None, None, 2))))
    if c.rarely():
        parts.insert(c.integer(0, len(parts)), None)
    if c.rarely():
        parts = [..., *parts]
    return parts[0] if len(parts) == 1 else tuple(parts)


__all__ = ["makers", "pick", "step"]
