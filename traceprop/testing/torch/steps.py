"""Steps of random torch programs: each adds a call that fits what is there."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F

from traceprop.testing.choices import Choices
from traceprop.testing.program import GETITEM, DoesNotFit, Var, method
from traceprop.testing.torch.program import Maker, TorchBuilder, kind_of, via_numpy

_MAKERS: Final[dict[str, list[Maker]]] = {}


def step(family: str) -> Callable[[Maker], Maker]:
    """Register a maker of steps under its family."""

    def register(maker: Maker) -> Maker:
        _MAKERS.setdefault(family, []).append(maker)
        return maker

    return register


def makers() -> dict[str, list[Maker]]:
    """Return the makers of steps of each family."""
    importlib.import_module("traceprop.testing.torch.writing")
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


@step("movement")
def _rearrange(c: Choices, b: TorchBuilder) -> None:
    x = pick(c, b)
    ndim, dim = b.value(x).ndim, dim_of(c, b, x)
    way = c.integer(0, 16)
    if way == 0:
        b.call(method(c.pick(("reshape", "view"))), x, (-1,))
    elif way == 1:
        b.call(torch.transpose, x, 0, dim)
    elif way == 2:
        b.call(torch.permute, x, tuple(range(ndim))[::-1])
    elif way == 3:
        b.call(torch.flip, x, (dim,))
    elif way == 4:
        b.call(torch.roll, x, c.integer(-2, 2), dim)
    elif way == 5:
        b.call(torch.unsqueeze, x, dim)
    elif way == 6:
        b.call(torch.squeeze, x)
    elif way == 7:
        b.call(torch.chunk, x, 2, dim)
    elif way == 8:
        b.call(torch.split, x, c.integer(1, 2), dim)
    elif way == 9:
        b.call(torch.unbind, x, dim)
    elif way == 10:
        b.call(method("repeat"), x, (2,) * ndim)
    elif way == 11:
        b.call(torch.repeat_interleave, x, c.integer(0, 2), dim)
    elif way == 12:
        b.call(torch.tile, x, (c.integer(1, 2),))
    elif way == 13:
        b.call(method("unfold"), x, dim, c.integer(1, 2), 1)
    elif way == 14:
        b.call(method("expand"), b.call(torch.unsqueeze, x, 0), (2, *[-1] * ndim))
    elif way == 15:
        b.call(c.pick((torch.tril, torch.triu, torch.diagonal)), x)
    else:
        b.call(F.pad, x, (1, c.integer(0, 1)), "constant", 1)


@step("movement")
def _join(c: Choices, b: TorchBuilder) -> None:
    x = pick(c, b)
    dim = dim_of(c, b, x)
    y = pick(c, b, test=lambda t: t.shape == b.value(x).shape)
    way = c.integer(0, 4)
    if way == 0:
        b.call(torch.cat, [x, y], dim)
    elif way == 1:
        b.call(torch.stack, [x, y], dim=dim)
    elif way == 2:
        b.call(c.pick((torch.hstack, torch.vstack, torch.column_stack)), [x, y])
    elif way == 3:
        b.call(torch.cat, (x, torch.ones_like(b.value(y)), y))
    else:
        b.call(c.pick((torch.meshgrid, torch.broadcast_tensors)),
               *(b.call(torch.flatten, each) for each in (x, y)))  # fmt: skip


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


@step("indexing")
def _basic(c: Choices, b: TorchBuilder) -> None:
    x = pick(c, b)
    b.call(GETITEM, x, basic_key(c, tuple(b.value(x).shape)))


@step("indexing")
def _masks(c: Choices, b: TorchBuilder) -> None:
    x = pick(c, b)
    shape = tuple(b.value(x).shape)
    depth = c.integer(1, len(shape))
    mask = mask_of(c, b, shape[:depth])
    if depth == len(shape) and c.flag():
        b.call(torch.masked_select, x, mask)
    else:
        b.call(GETITEM, x, mask)


@step("indexing")
def _index(c: Choices, b: TorchBuilder) -> None:
    x = pick(c, b)
    shape = tuple(b.value(x).shape)
    rows = index_of(c, b, shape[0])
    way = c.integer(0, 6)
    if way == 0:
        b.call(GETITEM, x, rows)
    elif way == 1:
        dim = dim_of(c, b, x)
        b.call(torch.index_select, x, dim, index_of(c, b, shape[dim]))
    elif way == 2 and len(shape) > 1:
        b.call(GETITEM, x, (rows, c.integer(0, shape[1] - 1)))
    elif way == 3 and len(shape) > 1:
        b.call(GETITEM, x, (slice(None), index_of(c, b, shape[1])))
    elif way == 4 and len(shape) > 2:
        b.call(GETITEM, x, (0, slice(None), index_of(c, b, shape[2])))
    elif way == 5:
        b.call(torch.take, x, rows)
    else:
        b.call(GETITEM, x, (None, rows))


@step("indexing")
def _along(c: Choices, b: TorchBuilder) -> None:
    x = pick(c, b, "f")
    dim = dim_of(c, b, x)
    order = b.call(torch.argsort, x, dim=dim, stable=True)
    if c.flag():
        b.call(torch.gather, x, dim, order)
    else:
        b.call(torch.take_along_dim, x, order, dim)


@step("layers")
def _layers(c: Choices, b: TorchBuilder) -> None:
    x = pick(c, b, "f", test=lambda t: t.dtype in (torch.float64, torch.float32))
    value = b.value(x)
    ndim, width, dtype = value.ndim, value.shape[-1], value.dtype
    way = c.integer(0, 7)
    if way == 0:
        b.call(F.layer_norm, x, tuple(value.shape[-c.integer(1, ndim) :]))
    elif way == 1 and ndim >= 2:
        b.call(F.batch_norm, x, None, None, training=True)
    elif way == 2 and ndim >= 2:
        mean = torch.zeros(value.shape[1], dtype=dtype)
        b.call(F.batch_norm, x, mean, mean + 1)
    elif way == 3 and ndim in (2, 3) and width > 1:
        channels = value.shape[-2]
        weight = torch.ones(2, channels, 2, dtype=dtype)
        b.call(F.conv1d, x, weight)
    elif way == 4 and ndim in (2, 3) and width > 1:
        b.call(c.pick((F.max_pool1d, F.avg_pool1d)), x, 2)
    elif way == 5:
        y = pick(c, b, "f", test=lambda t: t.shape == value.shape and t.dtype == dtype)
        b.call(c.pick((F.mse_loss, F.l1_loss, F.huber_loss)), x, y,
               reduction=c.pick(("none", "mean", "sum")))  # fmt: skip
    elif way == 6 and ndim == 2:
        target = torch.tensor([i % width for i in range(len(value))])
        b.call(F.cross_entropy, x, target, reduction=c.pick(("none", "mean")))
    else:
        index = torch.tensor(c.integers(0, max(len(value) - 1, 0), 3))
        if ndim != 2:
            raise DoesNotFit
        b.call(F.embedding, index, x)


@step("stacks")
def _stacks(c: Choices, b: TorchBuilder) -> None:
    x = pick(c, b, "f", test=lambda t: t.dtype is torch.float64 and t.isfinite().all())
    ndim = b.value(x).ndim
    way = c.integer(0, 4)
    if way == 0:
        b.call(torch.fft.fft, x, dim=dim_of(c, b, x))
    elif way == 1 and ndim >= 2:
        b.call(torch.fft.fft2, x)
    elif way == 2:
        b.call(torch.searchsorted, torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64), x)
    elif way == 3:
        b.call(torch.bucketize, x, torch.tensor([0.0, 1.0], dtype=torch.float64))
    else:
        b.call(c.pick((torch.unique, torch.nonzero, torch.argwhere)), x)


__all__ = ["makers", "pick", "step"]
