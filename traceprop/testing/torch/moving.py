"""Steps of random torch programs that move rows: rearranging, joining, indexing."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from traceprop.testing.choices import Choices
from traceprop.testing.program import GETITEM, method
from traceprop.testing.torch.program import TorchBuilder
from traceprop.testing.torch.steps import basic_key, dim_of, index_of, mask_of, pick, step


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
