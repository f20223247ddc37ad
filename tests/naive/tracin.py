"""TracIn as a loop: one sample's gradient at a time, at the weights before each step."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from tests.naive.influence import margin_gradient


def sample_gradient(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    loss = nn.functional.cross_entropy(model(x[None]), y[None])
    parts = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([part.reshape(-1) for part in parts]).numpy()


def trained(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, batches: list[list[np.ndarray]],
    rates: list[float], queries: np.ndarray, labels: list[int],
) -> np.ndarray:  # fmt: skip
    """−Σ_t η_t ∇f(z; θ_t) · Σ of i's gradients in pass t; a pass is a list of batches."""
    model = copy.deepcopy(model).double()
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    total = np.zeros((len(queries), len(x)))
    for of_pass, rate in zip(batches, rates, strict=True):
        slopes = [
            margin_gradient(model, "cross_entropy", torch.from_numpy(q), c)
            for q, c in zip(queries, labels, strict=True)
        ]
        for batch in of_pass:
            for i in batch:
                row = sample_gradient(model, x[i].double(), y[i])
                total[:, i] -= [rate * slope @ row for slope in slopes]
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch].double()), y[batch]).backward()
            optimizer.step()
    return total
