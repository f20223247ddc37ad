"""Slow twin of capture: the gradient of one sample at a time, by autograd."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn


def gradients(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    names: list[str] | None = None,
) -> np.ndarray:
    """Row i: the gradient of `loss(model(inputs[i:i+1]), targets[i:i+1])`, trainable parameters."""
    parameters = [
        p for name, p in model.named_parameters()
        if p.requires_grad and (names is None or name in names)
    ]  # fmt: skip
    rows = []
    for i in range(len(inputs)):
        value = loss(model(inputs[i : i + 1]), targets[i : i + 1]).sum()
        parts = torch.autograd.grad(value, parameters, allow_unused=True)
        rows.append(
            torch.cat([
                torch.zeros(p.numel(), dtype=p.dtype) if g is None else g.flatten()
                for p, g in zip(parameters, parts, strict=True)
            ])
        )  # fmt: skip
    return torch.stack(rows).detach().numpy()
