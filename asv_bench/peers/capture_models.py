"""The two networks that capture is measured on, and one plain training step of each.

Imported here and, from its own folder, by the scripts of peers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH = 64


def networks() -> dict[str, tuple[nn.Module, Tensor, Tensor]]:
    """Name to model, inputs of one batch and their labels."""
    torch.manual_seed(0)
    mlp = nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)
    )
    cnn = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 10),
    )  # fmt: skip
    labels = torch.randint(0, 10, (BATCH,))
    return {
        "MLP 784-512-256-10": (mlp, torch.randn(BATCH, 784), labels),
        "CNN of two convolutions": (cnn, torch.randn(BATCH, 1, 28, 28), labels),
    }


def plain_step(model: nn.Module, inputs: Tensor, labels: Tensor) -> Callable[[], None]:
    """A step of SGD on one batch."""
    optimizer = torch.optim.SGD(model.parameters(), 0.01)

    def step() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()

    return step
