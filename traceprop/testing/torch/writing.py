"""Steps that write: in-place functions, keys, `out=`, through views too."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from traceprop.testing.choices import Choices
from traceprop.testing.program import GETITEM, SETITEM, DoesNotFit, Var, method
from traceprop.testing.torch.program import TorchBuilder
from traceprop.testing.torch.steps import basic_key, dim_of, index_of, like, mask_of, pick, step

_INPLACE = ("add_", "sub_", "mul_", "copy_")
_UNARY = ("zero_", "neg_", "abs_", "relu_", "square_", "nan_to_num_")


def target_of(c: Choices, b: TorchBuilder, kinds: str = "f") -> Var:
    """Pick a tensor that can be written; half of the time make a view of it first."""
    x = pick(c, b, kinds, test=lambda t: 0 not in t.stride() or t.numel() < 2)
    if c.flag():
        return x
    ways: tuple[tuple[Any, ...], ...] = (
        (GETITEM, basic_key(c, tuple(b.value(x).shape))),
        (method("t"),) if b.value(x).ndim <= 2 else (torch.transpose, 0, 1),
        (method("view"), (-1,)),
        (torch.unsqueeze, 0),
        (method("detach"),),
        (torch.diagonal,) if b.value(x).ndim > 1 else (torch.narrow, 0, 0, 1),
        (torch.chunk, 2),
    )
    function, *args = c.pick(ways)
    return b.call(function, x, *args)


@step("writes")
def _arithmetic(c: Choices, b: TorchBuilder) -> None:
    x = target_of(c, b)
    if c.flag():
        b.write(method(c.pick(_UNARY)), x)
    else:
        other = like(c, b, x, "f")
        name = c.pick(_INPLACE)
        b.write(method("fill_" if name == "copy_" and not isinstance(other, Var) else name), x,
                0.5 if name == "copy_" and not isinstance(other, Var) else other)  # fmt: skip


@step("writes")
def _keys(c: Choices, b: TorchBuilder) -> None:
    x = target_of(c, b)
    shape = tuple(b.value(x).shape)
    if not shape:
        raise DoesNotFit
    way = c.integer(0, 3)
    if way == 0:
        key: Any = basic_key(c, shape)
    elif way == 1:
        key = mask_of(c, b, shape[: c.integer(1, len(shape))])
    elif way == 2:
        key = index_of(c, b, shape[0])
    else:
        key = (slice(None), index_of(c, b, shape[-1])) if len(shape) == 2 else ...
    value: Any = c.pick((0, 1.5))
    if c.flag():
        part = b.call(GETITEM, x, key)
        value = pick(c, b, "f", 0, lambda t: t.shape in (b.value(part).shape, ()))
    b.write(SETITEM, x, key, value)


@step("writes")
def _places(c: Choices, b: TorchBuilder) -> None:
    x = target_of(c, b)
    shape = tuple(b.value(x).shape)
    if not shape:
        raise DoesNotFit
    dtype = b.value(x).dtype
    dim = dim_of(c, b, x)
    y = pick(c, b, "f", test=lambda t: t.dtype == dtype and tuple(t.shape) == shape)
    index = index_of(c, b, shape[dim], shape[dim])
    way = c.integer(0, 7)
    suffix = c.pick(("", "_"))
    run = b.write if suffix else b.call
    if way == 0:
        run(method(f"index_add{suffix}"), x, dim, index, y)
    elif way == 1:
        order = torch.randperm(shape[dim], generator=torch.Generator().manual_seed(way))
        run(method(f"index_copy{suffix}"), x, dim, order, y)
    elif way == 2:
        run(method(f"index_fill{suffix}"), x, dim, index, 0.5)
    elif way == 3:
        places = b.call(torch.argsort, y, dim=dim, stable=True)
        run(method(f"scatter{suffix}"), x, dim, places, y)
    elif way == 4:
        places = b.call(torch.argsort, y, dim=dim, stable=True)
        run(method(f"scatter_add{suffix}"), x, dim, places, y)
    elif way == 5:
        run(method(f"masked_fill{suffix}"), x, mask_of(c, b, shape), c.pick((0.5, 2)))
    elif way == 6:
        run(method(f"masked_scatter{suffix}"), x, mask_of(c, b, shape), y)
    else:
        run(method(f"clamp{suffix}"), x, -1, 1)


@step("writes")
def _out(c: Choices, b: TorchBuilder) -> None:
    x = pick(c, b, "f")
    shape, dtype = b.value(x).shape, b.value(x).dtype
    out = pick(c, b, "f", test=lambda t: t.shape == shape and t.dtype == dtype
               and (0 not in t.stride() or t.numel() < 2))  # fmt: skip
    function: Any = c.pick((torch.add, torch.mul, torch.exp, torch.neg))
    if function in (torch.exp, torch.neg):
        b.write(function, x, out=out)
    else:
        b.write(function, x, 2, out=out)


@step("writes")
def _inplace_layer(c: Choices, b: TorchBuilder) -> None:
    b.write(c.pick((F.relu, F.elu, F.hardtanh)), target_of(c, b), inplace=True)


__all__ = ["target_of"]
