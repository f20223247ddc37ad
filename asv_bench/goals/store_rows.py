"""A million rows of real gradients as a store keeps them, made within a minute.

A network without biases has exactly 4096 weights (64 → 27 → 64 → 10) and learns scikit-learn's
1,797 digits, turned, scaled, shifted and blurred anew in each epoch. Each row is the gradient of
its loss on one more such picture, none the same as another, cut to int8 with a scale as the store
does; queries are gradients of the margin of pictures that weren't trained on.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numba import njit
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from traceprop.attribution.store.rows.shards import Shard

LAYERS = (64, 27, 64, 10)
WIDTH = 4096
_TRAINED, _EPOCHS, _BATCH = 1500, 30, 15_000


@dataclass(frozen=True)
class RealRows:
    """Rows on disk, and queries for them.

    Attributes
    ----------
    shard : Shard
        The rows.
    queries : ndarray of float32, shape (q, width)
        Gradients of margins.
    accuracy : float
        Of the network, on pictures that it wasn't trained on.
    """

    shard: Shard
    queries: np.ndarray
    accuracy: float


def write_rows(path: Path, n: int) -> RealRows:
    """Train the network and write the gradients of n pictures."""
    torch.manual_seed(0)
    digits = load_digits()
    x, y = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
    model = _trained(x[:_TRAINED], y[:_TRAINED])
    scales = np.empty(n, np.float32)
    with path.open("wb") as file:
        for start in range(0, n, _BATCH):
            m = min(_BATCH, n - start)
            chosen = torch.randint(0, _TRAINED, (m,))
            left, right = _factors(model, _changed(x[chosen]), y[chosen], margin=False)
            values = np.empty((m, WIDTH), np.int8)
            _quantised(*left, *right, values, scales[start : start + m])
            file.write(values)
    unseen, classes = x[_TRAINED:], model(x[_TRAINED:]).argmax(1)
    left, right = _factors(model, unseen, classes, margin=True)
    products = (r[:, :, None] * a[:, None] for a, r in zip(left, right, strict=True))
    queries = np.concatenate([product.reshape(len(unseen), -1) for product in products], axis=1)
    values = np.memmap(path, np.int8, mode="r", shape=(n, WIDTH))
    shard = Shard(values, scales, np.arange(n), path, 0, 0, None)
    return RealRows(shard, queries, float((classes == y[_TRAINED:]).float().mean()))


def _trained(x: Tensor, y: Tensor) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(LAYERS):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=1e-4)
    for _ in range(_EPOCHS):
        pictures = _changed(x)
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(model(pictures[batch]), y[batch]).backward()
            optimizer.step()
    return model


def _changed(x: Tensor) -> Tensor:
    """Turn, scale and shift pictures at random, and add noise."""
    n = len(x)
    angle, scale = 0.6 * (torch.rand(n) - 0.5), 1 + 0.3 * (torch.rand(n) - 0.5)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(n, 2, 2)
    shift = 0.4 * (torch.rand(n, 2, 1) - 0.5)
    theta = torch.cat([scale[:, None, None] * turn, shift], 2)
    grid = functional.affine_grid(theta, [n, 1, 8, 8], align_corners=False)
    moved = functional.grid_sample(x.view(n, 1, 8, 8), grid, align_corners=False).view(n, 64)
    return moved + 0.05 * torch.randn(n, 64)


def _factors(
    model: nn.Sequential, x: Tensor, y: Tensor, *, margin: bool
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return each linear layer's inputs, and the gradients of what it gave."""
    left, right, value = [], [], x
    for layer in model:
        if isinstance(layer, nn.Linear):
            left.append(value.detach().numpy())
            value = layer(value)
            value.retain_grad()
            right.append(value)
        else:
            value = layer(value)
    if margin:
        own = functional.one_hot(y, value.shape[1]).bool()
        others = value.masked_fill(own, float("-inf")).logsumexp(1)
        (value[own] - others).sum().backward()
    else:
        functional.cross_entropy(value, y, reduction="sum").backward()
    return left, [each.grad.numpy() for each in right]


@njit(nogil=True)
def _quantised(a, b, c, p, q, r, values, scales):
    """Write the outer products of p and a, q and b, r and c as int8, a scale a row."""
    for i in range(values.shape[0]):
        largest = max(
            np.abs(a[i]).max() * np.abs(p[i]).max(),
            np.abs(b[i]).max() * np.abs(q[i]).max(),
            np.abs(c[i]).max() * np.abs(r[i]).max(),
        )
        scale = np.float32(largest / 127)
        scales[i] = scale
        inverse = np.float32(1 / scale) if scale > 0 else np.float32(0)
        at = 0
        for left, right in ((a[i], p[i]), (b[i], q[i]), (c[i], r[i])):
            for u in right:
                for v in left:
                    values[i, at] = np.int8(np.rint(u * v * inverse))
                    at += 1
