"""Fourier transforms, linear algebra, polynomials, moments: every cell in every cell."""

from __future__ import annotations

import numpy as np

from traceprop.testing.choices import Choices
from traceprop.testing.program import Builder, Var
from traceprop.testing.steps import REAL, pick, step

_STACKED = (
    np.linalg.inv, np.linalg.det, np.linalg.slogdet, np.linalg.qr, np.linalg.svd, np.linalg.pinv,
    np.linalg.eigvals, np.linalg.eigh, np.linalg.svdvals, np.linalg.eig, np.linalg.cond,
    np.linalg.matrix_rank,
)  # fmt: skip


@step("alltoall")
def _fourier(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL, test=lambda value: value.size)
    function = choices.pick((np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.hfft))
    b.call(function, x, axis=choices.axis(b.value(x).ndim))


@step("alltoall")
def _fourier_axes(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL, ndim=2, test=lambda value: value.size)
    ndim = b.value(x).ndim
    axes = choices.pick((None, (ndim - 1,), (0, ndim - 1)))
    b.call(choices.pick((np.fft.fftn, np.fft.ifftn, np.fft.rfftn)), x, axes=axes)


def _finite(b: Builder, x: Var) -> Var:
    return b.call(np.nan_to_num, b.call(np.clip, x, -1e5, 1e5))


def _square(b: Builder, x: Var) -> Var:
    """X^T X + 1 of the last two axes: square and regular, stack by stack."""
    x = _finite(b, x)
    width = b.value(x).shape[-1]
    return b.call(np.add, b.call(np.matmul, b.call(np.matrix_transpose, x), x), np.eye(width))


@step("alltoall")
def _linalg(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "f", ndim=2, test=lambda value: value.size)
    b.call(choices.pick(_STACKED), _square(b, x))


@step("alltoall")
def _solve(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "f", ndim=2, test=lambda value: value.size)
    square = _square(b, x)
    width = b.value(square).shape[-1]
    y = pick(choices, b, "fi", most=2, test=lambda value: len(value) == width)
    b.call(choices.pick((np.linalg.solve, np.linalg.solve, np.linalg.lstsq)), square, y)


@step("alltoall")
def _matrix_power(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "f", ndim=2, test=lambda value: value.size)
    b.call(np.linalg.matrix_power, _square(b, x), choices.integer(0, 2))


@step("alltoall")
def _moments(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL, most=2)
    b.call(choices.pick((np.cov, np.corrcoef)), x, rowvar=choices.flag())


@step("alltoall")
def _polynomials(choices: Choices, b: Builder) -> None:
    x = _finite(b, pick(choices, b, "f", most=1, test=len))
    way = choices.integer(0, 3)
    if way == 0:
        b.call(choices.pick((np.roots, np.poly, np.polyder, np.polyint, np.vander)), x)
    elif way == 1:
        y = pick(choices, b, "f", most=1, test=len)
        b.call(choices.pick((np.polyadd, np.polysub, np.polymul)), x, y)
    elif way == 2:
        y = pick(choices, b, "f", most=1, test=lambda value: len(value) == len(b.value(x)))
        b.call(np.polyfit, x, y, 1)
    else:
        b.call(np.vander, x, 2)


@step("alltoall")
def _bits(choices: Choices, b: Builder) -> None:
    if choices.flag():
        x = pick(choices, b, "b")
        axis = choices.pick((None, choices.axis(b.value(x).ndim)))
        b.call(np.packbits, x, axis=axis)
    else:
        x = pick(choices, b, "u", test=lambda value: value.dtype == np.uint8)
        b.call(np.unpackbits, x, axis=choices.axis(b.value(x).ndim))


@step("alltoall")
def _along_axis(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, REAL, test=lambda value: value.size)
    function = choices.pick((np.cumsum, np.sum, np.sort))
    b.call(np.apply_along_axis, function, choices.axis(b.value(x).ndim), x)
