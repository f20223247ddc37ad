"""Random models of all layers whose gradients are captured, and inputs for them."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

N_CLASSES = 3


class Attention(nn.Module):
    """Attention of a sequence to itself, or to its first places, by torch's own module."""

    def __init__(self, draw: random.Random, width: int) -> None:
        super().__init__()
        self.batch_first = draw.random() < 0.5
        self.to_others = draw.random() < 0.5
        other = draw.choice([width, width + 1]) if self.to_others else width
        self.others = nn.Linear(width, other)
        self.attend = nn.MultiheadAttention(
            width, draw.choice([1, 2]), bias=draw.random() < 0.7, batch_first=self.batch_first,
            kdim=other, vdim=other, add_zero_attn=draw.random() < 0.2,
        )  # fmt: skip
        self.weights = draw.random() < 0.5

    def forward(self, x: Tensor) -> Tensor:
        others = self.others(x[:, :2]) if self.to_others else x
        if not self.batch_first:
            query = x.transpose(0, 1)
            others = query if others is x else others.transpose(0, 1)
            x = query
        result = self.attend(x, others, others, need_weights=self.weights)[0]
        return result if self.batch_first else result.transpose(0, 1)


class Twice(nn.Module):
    """A layer that is run twice, with a short cut."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(torch.tanh(self.layer(x)))


class Tied(nn.Module):
    """Two linear layers with one weight, the second's is frozen or not with the first's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.sigmoid(self.first(x)))


def _on_features(draw: random.Random, width: int) -> tuple[nn.Module, int]:
    """A layer on the last dimension."""
    kind = draw.choice(["linear", "norm", "tied", "twice", "activation"])
    if kind == "linear":
        new = draw.randrange(2, 7)
        layer = nn.Linear(width, new, bias=draw.random() < 0.7)
        return (nn.Sequential(layer, nn.ReLU(inplace=True)) if draw.random() < 0.3 else layer), new
    if kind == "norm":
        return nn.LayerNorm(width, elementwise_affine=draw.random() < 0.8), width
    if kind == "tied":
        return Tied(width), width
    if kind == "twice":
        return Twice(nn.Linear(width, width)), width
    return draw.choice([nn.GELU(), nn.Tanh(), nn.ReLU()]), width


def _vectors(draw: random.Random, n: int) -> tuple[list[nn.Module], Tensor]:
    width = draw.randrange(2, 6)
    inputs, layers = torch.randn(n, width), []
    for _ in range(draw.randrange(4)):
        layer, width = _on_features(draw, width)
        layers.append(layer)
    return layers, inputs


def _tokens(draw: random.Random, n: int) -> tuple[list[nn.Module], Tensor]:
    width = 2 * draw.randrange(1, 4)
    padding = draw.choice([None, 0])
    layers: list[nn.Module] = [nn.Embedding(7, width, padding_idx=padding)]
    for _ in range(draw.randrange(1, 4)):
        if width % 2 == 0 and draw.random() < 0.5:
            layers.append(Attention(draw, width))
        else:
            layer, width = _on_features(draw, width)
            layers.append(layer)
    return layers, torch.randint(0, 7, (n, draw.randrange(2, 5)))


def _images(draw: random.Random, n: int) -> tuple[list[nn.Module], Tensor]:
    channels, size = 2 * draw.randrange(1, 3), [draw.randrange(5, 8), draw.randrange(5, 8)]
    dimensions = draw.choice([1, 2])
    inputs, layers = torch.randn(n, channels, *size[:dimensions]), []
    make = {1: nn.Conv1d, 2: nn.Conv2d}[dimensions]
    for _ in range(draw.randrange(1, 3)):
        new, mode = 2 * draw.randrange(1, 4), draw.choice(["zeros", "reflect", "circular"])
        padding = draw.choice(["same", 1, 2]) if mode == "zeros" else 1
        layers.append(
            make(
                channels, new, draw.choice([1, 3] if padding == "same" else [1, 2, 3]),
                padding=padding, padding_mode=mode,
                stride=1 if padding == "same" else draw.choice([1, 2]),
                dilation=draw.choice([1, 2]) if padding == 2 else 1,
                groups=draw.choice([1, 2]), bias=draw.random() < 0.7,
            )
        )  # fmt: skip
        channels = new
        if draw.random() < 0.5:
            layers.append(nn.GroupNorm(draw.choice([1, 2]), channels))
        layers.append(draw.choice([nn.ReLU(), nn.Tanh(), nn.Identity()]))
    return layers, inputs


def random_model(seed: int, n: int = 4) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a model in float64, n inputs and their labels; a few parameters are frozen."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    layers, inputs = draw.choice([_vectors, _tokens, _images])(draw, n)
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    body = nn.Sequential(*layers, nn.Flatten()).double()
    width = body(inputs).shape[1]
    model = nn.Sequential(body, nn.Linear(width, N_CLASSES).double())
    for parameter in model.parameters():
        parameter.data.normal_(std=0.5)
    for parameter in list(model.parameters())[:-1]:
        parameter.requires_grad_(draw.random() < 0.85)
    return model, inputs, torch.randint(0, N_CLASSES, (n,))
