"""Methods of arrays that no function stands for, and new arrays in another's likeness."""

from __future__ import annotations

import numpy as np

from traceprop.testing.choices import Choices
from traceprop.testing.program import Builder, method
from traceprop.testing.steps import ANY, REAL, pick, step


@step("methods")
def _cast(choices: Choices, b: Builder) -> None:
    dtype = choices.pick(("float64", "float32", "complex128", "bool"))
    b.call(method("astype"), pick(choices, b, REAL, ndim=0), dtype)


@step("methods")
def _codes(choices: Choices, b: Builder) -> None:
    """Floats to whole numbers, after making them finite."""
    x = b.call(np.nan_to_num, pick(choices, b, "f", ndim=0), posinf=4.0, neginf=-4.0)
    b.call(method("astype"), b.call(np.clip, x, -9, 9), "int64")


@step("methods")
def _view(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "f", test=lambda value: value.itemsize in (4, 8))
    kinds = {8: ("int64", "uint32", "complex128"), 4: ("int32", "uint8", "float64")}
    b.call(method("view"), x, np.dtype(choices.pick(kinds[b.value(x).dtype.itemsize])))


@step("methods")
def _copy(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ANY, ndim=0)
    b.call(choices.pick((method("copy"), np.copy)), x)


@step("methods")
def _in_likeness(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "fi")
    b.call(choices.pick((np.zeros_like, np.ones_like)), x)


@step("methods")
def _full_like(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "fi")
    b.call(np.full_like, x, pick(choices, b, "fi", ndim=0, most=1, test=np.size), dtype=float)


@step("methods")
def _iterate(choices: Choices, b: Builder) -> None:
    """Rows taken one by one and put together again."""

    def rows_backwards(array: object) -> object:
        return np.stack(list(array)[::-1])  # type: ignore[call-overload]

    b.call(rows_backwards, pick(choices, b, REAL, test=len))


@step("methods")
def _between(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "f", ndim=0, most=1)
    b.call(np.linspace, x, 2.0, 3)
