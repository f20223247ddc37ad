"""Small seeded problems of every loss, shared by the tests of this folder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

KINDS = ("cross_entropy", "bce_with_logits", "mse")
N_OUTPUTS = {"cross_entropy": 3, "bce_with_logits": 1, "mse": 2}


def data(kind: str, n: int = 9, d: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    if kind == "cross_entropy":
        return x, torch.randint(0, 3, (n,), generator=generator)
    if kind == "bce_with_logits":
        return x, torch.randint(0, 2, (n,), generator=generator).double()
    return x, torch.randn(n, 2, generator=generator, dtype=torch.float64)


def linear(kind: str, bias: bool = True, d: int = 4) -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Flatten(), nn.Linear(d, N_OUTPUTS[kind], bias=bias)).double()


def mlp(kind: str, d: int = 4) -> nn.Module:
    torch.manual_seed(7)
    layers = nn.Sequential(nn.Linear(d, 5), nn.Tanh(), nn.Linear(5, N_OUTPUTS[kind]))
    return layers.double()
