"""Steps of random torch programs that work out values: by cells, along axes, products."""

from __future__ import annotations

import operator

import torch
import torch.nn.functional as F

from traceprop.testing.choices import Choices
from traceprop.testing.program import DoesNotFit, Var, method
from traceprop.testing.torch.program import TorchBuilder, via_numpy
from traceprop.testing.torch.steps import dim_of, like, mask_of, pick, step

_UNARY = (
    torch.abs, torch.exp, torch.sqrt, torch.tanh, torch.sigmoid, torch.neg, torch.square, F.relu,
    torch.isnan, torch.nan_to_num, torch.floor, torch.sign, F.gelu, F.silu, torch.log1p,
    torch.logical_not, torch.clone, method("float"), method("double"), method("detach"),
    method("contiguous"), method("bool"), method("half"), method("bfloat16"), F.softplus,
    torch.special.erf, torch.round,
)  # fmt: skip
_BINARY = (
    torch.add, torch.sub, torch.mul, torch.div, torch.maximum, torch.minimum, torch.eq, torch.gt,
    operator.add, operator.mul, operator.sub, operator.truediv, operator.lt, operator.ne,
    operator.pow, torch.atan2, torch.remainder, torch.where,
)  # fmt: skip


@step("elementwise")
def _unary(c: Choices, b: TorchBuilder) -> None:
    b.call(c.pick(_UNARY), pick(c, b, ndim=0))


@step("elementwise")
def _binary(c: Choices, b: TorchBuilder) -> None:
    x = pick(c, b, ndim=0)
    function, other = c.pick(_BINARY), like(c, b, x)
    if function is torch.where:
        b.call(function, b.call(torch.gt, x, 0), x, other)
    elif c.rarely() and not isinstance(other, Var):
        b.call(function, other, x)
    else:
        b.call(function, x, other)


@step("elementwise")
def _others(c: Choices, b: TorchBuilder) -> None:
    x = pick(c, b, "f", 0)
    way = c.integer(0, 5)
    if way == 0:
        b.call(torch.clamp, x, -1, c.pick((1, 2)))
    elif way == 1:
        b.call(torch.addcmul, x, like(c, b, x, "f"), x, value=0.5)
    elif way == 2:
        b.call(torch.lerp, x, x, 0.25)
    elif way == 3:
        b.call(F.dropout, x, 0.5, True)
    elif way == 4:
        b.call(torch.masked_fill, x, mask_of(c, b, tuple(b.value(x).shape)), 0.5)
    else:
        b.call(via_numpy, x)


_REDUCTIONS = (
    torch.sum, torch.mean, torch.std, torch.var, torch.amax, torch.amin, torch.prod, torch.any,
    torch.all, torch.nansum, torch.logsumexp, torch.count_nonzero, torch.argmax, method("sum"),
    method("mean"), method("std"), torch.median, torch.max, torch.min, torch.nanmean, torch.norm,
    torch.std_mean, torch.nanmedian,
)  # fmt: skip


@step("reduction")
def _reduce(c: Choices, b: TorchBuilder) -> None:
    x = pick(c, b, "fib", 0)
    function = c.pick(_REDUCTIONS)
    way = c.integer(0, 3)
    ndim = b.value(x).ndim
    if way == 0 or not ndim:
        if function is torch.logsumexp:
            raise DoesNotFit
        b.call(function, x)
    elif way == 1:
        b.call(function, x, dim=dim_of(c, b, x), keepdim=c.flag())
    elif way == 2 and ndim > 1 and function not in (torch.max, torch.min, torch.median):
        b.call(function, x, dim=(0, 1))
    else:
        b.call(function, x, dim=dim_of(c, b, x))


@step("reduction")
def _quantile(c: Choices, b: TorchBuilder) -> None:
    x = pick(c, b, "f", test=lambda t: t.dtype in (torch.float64, torch.float32))
    q = c.pick((0.5, 0.25))
    options = {} if c.flag() else {"dim": dim_of(c, b, x), "keepdim": c.flag()}
    b.call(torch.quantile, x, q, **options)


@step("lines")
def _lines(c: Choices, b: TorchBuilder) -> None:
    x = pick(c, b, "f")
    dim = dim_of(c, b, x)
    way = c.integer(0, 9)
    if way == 0:
        b.call(c.pick((torch.cumsum, torch.cumprod, torch.logcumsumexp)), x, dim)
    elif way == 1:
        b.call(torch.sort, x, dim=dim, descending=c.flag(), stable=True)
    elif way == 2:
        b.call(torch.argsort, x, dim=dim, stable=True)
    elif way == 3:
        b.call(torch.topk, x, 1, dim)
    elif way == 4:
        b.call(c.pick((F.softmax, F.log_softmax, torch.softmax)), x, dim=dim)
    elif way == 5:
        b.call(torch.diff, x, n=c.integer(1, 2), dim=dim)
    elif way == 6:
        b.call(F.normalize, x, dim=dim)
    elif way == 7:
        b.call(c.pick((torch.cummax, torch.cummin)), x, dim)
    elif way == 8:
        b.call(torch.renorm, x, 2, dim, 1.0)
    else:
        b.call(F.cosine_similarity, x, pick(c, b, "f", test=lambda t: t.shape == b.value(x).shape),
               dim=dim)  # fmt: skip


@step("contraction")
def _products(c: Choices, b: TorchBuilder) -> None:
    x = pick(c, b, "f", test=lambda t: t.dtype in (torch.float64, torch.float32))
    ndim, dtype = b.value(x).ndim, b.value(x).dtype
    way = c.integer(0, 6)
    if way == 0 and ndim >= 2:
        b.call(torch.matmul, x, b.call(torch.transpose, x, -1, -2))
    elif way == 1:
        width = b.value(x).shape[-1]
        weight = torch.arange(2 * width, dtype=dtype).reshape(2, width)
        b.call(F.linear, x, weight, torch.ones(2, dtype=dtype))
    elif way == 2 and ndim == 2:
        b.call(torch.einsum, c.pick(("ij,ik->jk", "ij,ij->i", "ij,kj->ik", "ij,ij->")), x, x)
    elif way == 3 and ndim == 1:
        b.call(c.pick((torch.outer, torch.dot, torch.inner, torch.kron)), x, x)
    elif way == 4 and ndim == 2:
        b.call(torch.addmm, b.call(torch.mm, x, b.call(method("t"), x)), x, b.call(method("t"), x))
    elif way == 5 and ndim == 2:
        b.call(torch.cdist, x, x)
    else:
        other = pick(c, b, "f", 2, lambda t: t.dtype == dtype)
        b.call(c.pick((torch.matmul, operator.matmul)), x, other)
