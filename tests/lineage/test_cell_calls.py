"""Calls that random programs don't make, or seldom: each has sound cells."""

from __future__ import annotations

import numpy as np
import pytest

from traceprop.testing import assert_cells_sound

rng = np.random.default_rng(1)
M = rng.normal(size=(4, 3))
C = rng.normal(size=(2, 3, 4))
WIDE = rng.normal(size=(3, 4))
V = rng.normal(size=4)
PAIR = rng.normal(size=(2, 4))
LEAN = rng.normal(size=(2, 3))
TALL = rng.normal(size=(3, 2))
SQUARES = rng.normal(size=(2, 3, 3))

CALLS = [
    (lambda x: np.cov(x), M),
    (lambda x: np.cov(x, rowvar=False), M),
    (lambda x: np.cov(x[:1], rowvar=False), M),
    (lambda x: np.corrcoef(x.T), M),
    (lambda x: np.apply_along_axis(lambda line: line[:2], 0, x), M),
    (lambda x: np.apply_along_axis(np.sort, 1, x), C),
    (lambda x: np.einsum("i...,i...->...", x, x), C),
    (lambda x: np.einsum("...ij->...ji", x), C),
    (lambda x: np.einsum("ii", x[:3]), M),
    (lambda x: np.einsum(x, [0, 1], [1]), M),
    (lambda x: np.einsum("ij,jk->", x, x.T), M),
    (lambda x: np.cross(x, x[:, :2]), M),
    (lambda x: np.cross(x.T, x.T, axis=0), M),
    (lambda x: np.kron(x, np.ones(2)), M),
    (lambda x: np.kron(np.ones((2, 2, 2)), x), M),
    (lambda x: np.linalg.vecdot(x, x, axis=0), M),
    (lambda x: np.vecdot(x.T, x.T, axis=0), M),
    (lambda x: np.matvec(C, x), PAIR),
    (lambda x: np.matvec(x, V), C),
    (lambda x: np.vecmat(x, C), LEAN),
    (lambda x: np.linalg.multi_dot([x, x.T, x, np.ones(3)]), M),
    (lambda x: np.average(x, axis=1, weights=x[0]), np.abs(M)),
    (lambda x: np.trapezoid(x, x=x[:, 0], axis=0), M),
    (lambda x: np.diff(x, n=2, axis=1, prepend=x[:, :1], append=0.0), M),
    (lambda x: np.diff(x, axis=0, prepend=x[0, 0]), M),
    (lambda x: np.cumulative_sum(x, axis=1, include_initial=True), M),
    (lambda x: np.cumsum(x), M),
    (lambda x: np.packbits(x > 0), M),
    (lambda x: np.unpackbits(x.astype(np.uint8), axis=1, count=11), np.abs(M) * 9),
    (lambda x: np.linalg.solve(x, np.ones((2, 3, 2))), SQUARES),
    (lambda x: np.linalg.solve(np.eye(3) + 1, x), TALL),
    (lambda x: np.trace(x, offset=1, axis1=2, axis2=0), C),
    (lambda x: np.linalg.trace(x, offset=-1), C),
    (lambda x: np.pad(x, 2, mode="reflect", reflect_type="odd"), M),
    (lambda x: np.pad(x, ((1, 1), (2, 2)), mode="maximum", stat_length=1), M),
    (lambda x: np.ravel(x.T, order="K"), C),
    (lambda x: x[:, ::-1].flatten("K"), M),
    (lambda x: x.transpose(1, 2, 0).ravel("K"), C),
    (lambda x: x.view(np.float32), M),
    (lambda x: x.view(np.complex128), WIDE),
    (lambda x: x[np.argsort(x[:, 0])], M),
    (lambda x: x[np.argsort(x[:, 0]), 1], M),
    (lambda x: x[np.argsort(x[:, 0]), np.array([0, 1, 2, 0])], M),
    (lambda x: x[:, np.argsort(x[0])], M),
    (lambda x: x[np.argmax(x, axis=0)], M),
    (lambda x: np.take(x, np.argsort(x[0]), axis=1), M),
    (lambda x: np.take(x, np.argsort(x.ravel())), M),
    (lambda x: np.choose((x > 0).astype(int), x[None] * np.ones((2, 1, 1))), M),
    (lambda x: np.select([x > 0, x < 1], [x, x * 2], x.mean()), M),
    (lambda x: np.polyval(x, np.arange(3.0)), M),
    (lambda x: np.polynomial.polynomial.polygrid2d(x[0], x[1], np.ones((2, 2, 2))), M),
    (lambda x: np.fft.irfftn(x, axes=(0,)), M),
    (lambda x: np.fft.fftn(x, s=(2,), axes=(1,)), M),
    (lambda x: np.lexsort(x), M),
    (lambda x: np.lexsort((x[0], x[1])), M),
    (lambda x: np.lexsort((x, x * 2), axis=0), M),
    (lambda x: np.histogramdd(x, bins=2), M),
    (lambda x: np.histogram2d(x[:, 0], x[:, 1], bins=2), M),
    (lambda x: np.histogram2d(x[:, 0], x[:, 1], bins=2, weights=x[:, 2]), M),
    (lambda x: np.add.reduceat(x, [0, 2, 1], axis=1), M),
    (lambda x: np.maximum.reduceat(x, [2, 0], axis=0), M),
    (lambda x: np.isin(x, x[0], assume_unique=True), M),
    *(
        (lambda x, mode=mode: np.pad(x, ((1, 2), (0, 1)), mode=mode), M)
        for mode in ("mean", "maximum", "median", "linear_ramp")
    ),
]


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_an_unusual_call_has_sound_cells(number):
    function, array = CALLS[number]
    assert_cells_sound(function, array, finite=True)  # LAPACK may hang on infinities


def test_writes_by_masks_and_indices():
    def dealt(x):
        y = x.copy()
        y[x > 0] = x[x > 0][::-1]
        return y

    def cleared(x):
        y = x.copy()
        y[x[:, 0] > 0] = 0
        return y

    def added(x):
        y = x.copy()
        np.add.at(y, (slice(None), [0, 0, 2]), x[:1])
        return y

    for function in (dealt, cleared, added):
        assert_cells_sound(function, M)
