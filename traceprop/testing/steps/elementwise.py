"""Cell by cell: ufuncs and the functions that broadcast."""

from __future__ import annotations

import operator

import numpy as np

from traceprop.testing.choices import Choices
from traceprop.testing.program import Builder, method
from traceprop.testing.steps import NUMERIC, REAL, like, pick, step

_UNARY = (
    np.negative, np.absolute, np.sign, np.square, np.exp, np.log1p, np.sqrt, np.tanh, np.floor,
    np.isnan, np.isfinite, np.logical_not, np.nan_to_num, np.rint, np.signbit, np.sinc, np.i0,
    np.real_if_close, np.angle, np.conjugate, np.copy, np.round, np.isreal,
)  # fmt: skip
_BINARY = (
    np.add, np.subtract, np.multiply, np.true_divide, np.maximum, np.fmin, np.hypot, np.power,
    np.less, np.equal, np.logical_and, np.arctan2, np.copysign, np.floor_divide, np.remainder,
    np.fmax, np.minimum, np.greater_equal, np.isclose, np.nextafter, np.float_power,
)  # fmt: skip
_OPERATORS = (
    operator.add, operator.sub, operator.mul, operator.truediv, operator.lt, operator.ge,
    operator.ne, operator.pow, operator.mod, operator.floordiv,
)  # fmt: skip


@step("elementwise")
def _unary(choices: Choices, b: Builder) -> None:
    b.call(choices.pick(_UNARY), pick(choices, b, ndim=0))


@step("elementwise")
def _binary(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, ndim=0)
    y = like(choices, b, x)
    first, second = (y, x) if choices.flag() else (x, y)
    b.call(choices.pick(_BINARY + _OPERATORS), first, second)


@step("elementwise")
def _binary_where(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL)
    mask = pick(choices, b, "b", test=lambda value: value.shape == b.value(x).shape)
    out = b.call(np.zeros_like, x, dtype=np.float64)
    b.write(choices.pick((np.add, np.maximum)), x, 2, out=out, where=mask)


@step("elementwise")
def _two_results(choices: Choices, b: Builder) -> None:
    if choices.flag():
        b.call(choices.pick((np.modf, np.frexp)), pick(choices, b, "f", ndim=0))
    else:
        b.call(np.divmod, pick(choices, b, REAL, ndim=0), choices.pick((2, -1, 0.5)))


@step("elementwise")
def _clip(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL, ndim=0)
    b.call(np.clip, x, choices.pick((0, -1, None)), like(choices, b, x, REAL))


@step("elementwise")
def _scimath(choices: Choices, b: Builder) -> None:
    """Add a function whose result's type depends on the values, and make the type one again."""
    function = choices.pick((np.emath.sqrt, np.emath.log, np.emath.arcsin))
    b.call(method("astype"), b.call(function, pick(choices, b, REAL)), "complex128")


@step("elementwise")
def _polyval(choices: Choices, b: Builder) -> None:
    coefficients = pick(choices, b, NUMERIC, most=1) if choices.flag() else [1.0, -2.0, 0.5]
    b.call(np.polyval, coefficients, pick(choices, b))


@step("elementwise")
def _complex_parts(choices: Choices, b: Builder) -> None:
    b.call(choices.pick((np.real, np.imag)), pick(choices, b, ndim=0))


@step("elementwise")
def _strings(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "U", ndim=0)
    function = choices.pick((np.strings.upper, np.strings.str_len, np.strings.isalpha))
    if choices.flag():
        b.call(function, x)
    else:
        y = pick(choices, b, "U", ndim=0, test=lambda value: value.shape == b.value(x).shape)
        b.call(choices.pick((np.strings.add, np.strings.find, np.strings.equal)), x, y)


@step("elementwise")
def _dates(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "mM", ndim=0)
    y = pick(choices, b, "mM", ndim=0, test=lambda value: value.shape == b.value(x).shape)
    b.call(choices.pick((np.subtract, np.maximum, np.less, np.equal)), x, y)
