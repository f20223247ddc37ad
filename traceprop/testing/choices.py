"""Where random programs take their decisions from: hypothesis, which shrinks, or a plain generator.

A program is built by code that asks for small whole numbers and for nothing else, so the same code
serves a property test, which wants the smallest failing program, and a benchmark, which wants the
same programs every time without hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Choices:
    """Decisions, each a draw of a whole number.

    Parameters
    ----------
    integer : callable
        `integer(low, high)` returns a whole number from `low` to `high`, both included.
    """

    __slots__ = ("integer",)

    def __init__(self, integer: Callable[[int, int], int]) -> None:
        self.integer = integer

    @classmethod
    def seeded(cls, seed: int) -> Choices:
        """Return choices that are the same for the same seed."""
        rng = np.random.default_rng(seed)
        return cls(lambda low, high: int(rng.integers(low, high, endpoint=True)))

    def pick(self, options: Sequence[T]) -> T:
        """Draw one of several options; the first is the simplest."""
        return options[self.integer(0, len(options) - 1)]

    def flag(self) -> bool:
        """Draw yes or no; no is the simplest."""
        return self.integer(0, 1) == 1

    def rarely(self) -> bool:
        """Draw yes one time in eight."""
        return self.integer(0, 7) == 7

    def integers(self, low: int, high: int, count: int) -> list[int]:
        """Draw several whole numbers."""
        return [self.integer(low, high) for _ in range(count)]

    def axis(self, ndim: int) -> int:
        """Draw an axis of an array, counted from the front or the back."""
        axis = self.integer(0, ndim - 1)
        return axis - ndim if self.rarely() else axis

    def slice(self, length: int) -> slice:
        """Draw a slice of an axis: part of it, all of it, with a step, backwards, or nothing."""
        start = self.integer(0, max(length - 1, 0))
        stop = self.integer(0, length)
        step = self.pick((1, 1, 2, -1, -2))
        if step < 0:
            start, stop = stop, start
        return self.pick(
            (
                slice(start, None),
                slice(None, stop),
                slice(min(start, stop), max(start, stop)),
                slice(None, None, step),
                slice(start, stop, step),
                slice(None),
            )
        )
