"""What the tests of programs written to break the lineage share: arrays, and a list of programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from traceprop.lineage import granularity

X = np.array([[1.0, -2.0], [3.0, 0.5], [-1.0, 4.0], [2.5, -0.5]])
SQUARE = np.array([[1.0, -2.0, 3.0], [3.0, 0.5, 1.0], [-1.0, 4.0, 2.0]])
CUBE = np.arange(24.0).reshape(2, 3, 4)
V = np.array([0.5, -1.0, 2.0, 0.0, 3.0])
W = V[::-1].copy()
CODES = np.array([1, 0, 2, 0, 1])
FLAGS = np.array([True, False, True, True, False])
RECORDS = np.array([(1, 2.0), (3, 4.0), (5, 6.0)], dtype=[("a", "i8"), ("b", "f8")])
WORDS = np.array(["b", "abc", "", "cc"])
LONG_WORDS = np.array(["b", "a longer one", "", "cc"], dtype=np.dtypes.StringDType())
DAYS = np.array(["2024-02-28", "2024-03-01", "NaT", "2023-12-31"], dtype="datetime64[D]")
OBJECTS = np.array([1, 2.5, 3, 10**30], dtype=object)


class Programs(list[Any]):
    """Parameters of a test: functions, each with the arrays that it is called on."""

    def on(self, *arrays: np.ndarray) -> Callable[[Any], Any]:
        """Register a function of these arrays."""

        def register(function: Any) -> Any:
            self.append(pytest.param(function, arrays, id=function.__name__.strip("_")))
            return function

        return register


def at_granularity_op(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, recorded without masks and indices."""

    def coarse(*arguments: Any) -> Any:
        with granularity("op"):
            return function(*arguments)

    return coarse
