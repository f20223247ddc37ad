"""Many small networks of one shape trained at once, in plain torch: the truth of network scores.

Network b is trained on rows `subsets[b]` from the start that `seeds[b]` draws, in the batches that
it draws: Adam, mean cross-entropy, as a loop over single networks would. Nothing here comes from
traceprop.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


def network(dims: tuple[int, ...], seed: int) -> nn.Sequential:
    """Linear layers with ReLU between them, from torch's own start."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for n_inputs, n_outputs in pairwise(dims):
        layers += [nn.Linear(n_inputs, n_outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def batches(n: int, epochs: int, batch_size: int, seed: int) -> np.ndarray:
    """Positions of each step's samples, (steps, batch_size); a short rest is left out."""
    draw = np.random.default_rng(seed)
    full = n // batch_size * batch_size
    orders = [draw.permutation(n)[:full].reshape(-1, batch_size) for _ in range(epochs)]
    return np.concatenate(orders)


def train_many(
    X: np.ndarray,
    y: np.ndarray,
    subsets: np.ndarray,
    seeds: list[int],
    *,
    dims: tuple[int, ...],
    epochs: int,
    batch_size: int,
    rate: float,
) -> list[Tensor]:
    """Weights (B, in, out) and biases (B, 1, out) of the trained networks, in turns."""
    starts = [list(network(dims, seed).parameters()) for seed in seeds]
    parameters = []
    for j in range(len(starts[0])):
        stacked = torch.stack([start[j].detach() for start in starts])
        shaped = stacked.transpose(1, 2) if j % 2 == 0 else stacked[:, None]
        parameters.append(shaped.contiguous().requires_grad_())
    inputs, targets = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    n = subsets.shape[1]
    orders = np.stack([batches(n, epochs, batch_size, seed) for seed in seeds])
    optimizer = torch.optim.Adam(parameters, lr=rate)
    for step in range(orders.shape[1]):
        rows = torch.from_numpy(np.take_along_axis(subsets, orders[:, step], 1))
        scores = outputs(parameters, inputs[rows])
        losses = functional.cross_entropy(
            scores.flatten(0, 1), targets[rows].flatten(), reduction="none"
        )
        optimizer.zero_grad()
        (losses.sum() / batch_size).backward()
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


def outputs(parameters: list[Tensor], inputs: Tensor) -> Tensor:
    """Class scores (B, m, C) of inputs (B, m, d)."""
    hidden = inputs
    for j in range(0, len(parameters), 2):
        hidden = torch.baddbmm(parameters[j + 1], hidden, parameters[j])
        hidden = torch.relu(hidden) if j + 2 < len(parameters) else hidden
    return hidden


def margins(parameters: list[Tensor], X: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Logit of each input's class less the log-sum-exp of the others, (B, q)."""
    inputs = torch.tensor(X, dtype=torch.float32).expand(len(parameters[0]), -1, -1)
    with torch.no_grad():
        scores = outputs(parameters, inputs).double()
    chosen = torch.from_numpy(classes).expand(len(scores), -1)[..., None]
    others = scores.scatter(2, chosen, float("-inf")).logsumexp(2)
    return (scores.gather(2, chosen)[..., 0] - others).numpy()
