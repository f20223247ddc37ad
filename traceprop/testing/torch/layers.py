"""Steps of random torch programs: layers and losses, and work on stacks of lines."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from traceprop.testing.choices import Choices
from traceprop.testing.program import DoesNotFit
from traceprop.testing.torch.program import TorchBuilder
from traceprop.testing.torch.steps import dim_of, pick, step


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
