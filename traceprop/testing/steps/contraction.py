"""Sums of products."""

from __future__ import annotations

import operator

import numpy as np

from traceprop.testing.choices import Choices
from traceprop.testing.program import Builder
from traceprop.testing.steps import REAL, pick, step

_TWO = "fi"


@step("contraction")
def _product(choices: Choices, b: Builder) -> None:
    x, y = pick(choices, b, _TWO), pick(choices, b, _TWO)
    function = choices.pick(
        (np.dot, np.matmul, operator.matmul, np.inner, np.linalg.matmul, np.linalg.vecdot)
    )
    b.call(function, x, y)


@step("contraction")
def _product_with_own_transpose(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, _TWO, ndim=2)
    y = b.call(np.matrix_transpose, x)
    first, second = (x, y) if choices.flag() else (y, x)
    b.call(choices.pick((np.dot, np.matmul)), first, second)


@step("contraction")
def _product_along_axes(choices: Choices, b: Builder) -> None:
    x, y = pick(choices, b, _TWO, ndim=2), pick(choices, b, _TWO, ndim=2)
    axes = choices.pick(
        (
            [(-1, -2), (-2, -1), (-2, -1)],
            [(0, 1), (0, 1), (1, 0)],
            [(0, 1), (-1, -2), (-1, -2)],
        )
    )
    b.call(np.matmul, x, y, axes=axes)


@step("contraction")
def _product_with_plain(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, _TWO, ndim=1)
    width = b.value(x).shape[-1]
    plain = np.arange(width * 2, dtype=float).reshape(width, 2)
    if choices.flag():
        plain = plain[:, 0].copy()
    b.call(choices.pick((np.dot, np.matmul, operator.matmul)), x, plain)


@step("contraction")
def _outer(choices: Choices, b: Builder) -> None:
    x, y = pick(choices, b, REAL), pick(choices, b, REAL)
    b.call(choices.pick((np.outer, np.add.outer, np.kron, np.subtract.outer)), x, y)


@step("contraction")
def _tensordot(choices: Choices, b: Builder) -> None:
    x, y = pick(choices, b, _TWO, ndim=0), pick(choices, b, _TWO, ndim=0)
    ndims = b.value(x).ndim, b.value(y).ndim
    if choices.flag() or 0 in ndims:
        b.call(np.tensordot, x, y, axes=choices.integer(0, min(ndims)))
    else:
        axes = ([choices.integer(0, ndims[0] - 1)], [choices.integer(0, ndims[1] - 1)])
        b.call(np.tensordot, x, y, axes=axes)


@step("contraction")
def _einsum(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, _TWO)
    ndim = b.value(x).ndim
    alone = {
        1: ("i->i", "i->", "i", "i...->..."),
        2: ("ij->ji", "ij->j", "ij->i", "ji", "ij->", "...j->...", "ij->ij"),
        3: ("ijk->kij", "ijk->jk", "kij->i", "ijk->ik"),
        4: ("ijkl->jl",),
    }
    if choices.flag():
        b.call(np.einsum, choices.pick(alone[ndim]), x)
        return
    y = pick(choices, b, _TWO, most=2)
    pairs = {
        (1, 1): ("i,i->", "i,j->ij", "i,j->ji", "i,i->i", "i,j"),
        (1, 2): ("i,ij->j", "j,ij->i", "i,jk->kij", "i,ij->ij"),
        (2, 1): ("ij,j->i", "ij,i->j", "ij,i->ij", "ij,k->kj"),
        (2, 2): ("ij,jk->ik", "ij,kj->ik", "ij,ij->i", "ij,kl->lj", "ji,jk->ik", "ij,ij->j"),
        (3, 1): ("ijk,k->ij", "ijk,j->ik"),
        (3, 2): ("ijk,kl->ijl", "ijk,ij->k", "ijk,kj->ij"),
    }
    formulas = pairs.get((ndim, b.value(y).ndim), ("...,...->...",))
    b.call(np.einsum, choices.pick(formulas), x, y)


@step("contraction")
def _vdot(choices: Choices, b: Builder) -> None:
    x, y = pick(choices, b, _TWO), pick(choices, b, _TWO)
    b.call(np.vdot, x, y)


@step("contraction")
def _cross(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, _TWO, test=lambda value: value.shape[-1] == 3)
    y = pick(choices, b, _TWO, test=lambda value: value.shape[-1] == 3)
    b.call(choices.pick((np.cross, np.linalg.cross)), x, y)


@step("contraction")
def _multi_dot(choices: Choices, b: Builder) -> None:
    x = pick(choices, b, "f", most=2)
    width = b.value(x).shape[-1]
    b.call(np.linalg.multi_dot, [x, np.ones((width, 2)), np.eye(2)])
