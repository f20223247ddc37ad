"""Slow oracles for influence scores: a retraining per sample, and the formulas written out."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from tests.naive.curvature import call, flat
from tests.naive.retrain import retrained


def margin(kind: str, outputs: Tensor, label: int) -> Tensor:
    """Of one sample's outputs `(1, o)`: log odds of the class, or the prediction."""
    scores = outputs.reshape(-1)
    if kind == "mse":
        return scores[label]
    if kind == "bce_with_logits":
        return scores[0] if label == 1 else -scores[0]
    others = torch.cat([scores[:label], scores[label + 1 :]])
    return scores[label] - torch.logsumexp(others, 0)


def leave_one_out(
    model: nn.Module, x: Tensor, y: Tensor, kind: str, reduction: str, penalty: float,
    queries: Tensor, labels: list[int],
) -> np.ndarray:  # fmt: skip
    """f(trained with) − f(trained without), a retraining to convergence per sample: `(q, n)`."""
    at = copy.deepcopy(model)
    whole = retrained(at, x, y, kind, reduction, penalty)
    nn.utils.vector_to_parameters(whole, at.parameters())

    def margins(theta: Tensor) -> np.ndarray:
        pairs = zip(queries, labels, strict=True)
        return np.array([float(margin(kind, call(at, theta, q[None]), c)) for q, c in pairs])

    columns = []
    for i in range(len(x)):
        keep = [j for j in range(len(x)) if j != i]
        columns.append(
            margins(whole) - margins(retrained(at, x[keep], y[keep], kind, reduction, penalty))
        )
    return np.array(columns).T


def at_minimum(
    model: nn.Module, x: Tensor, y: Tensor, kind: str, reduction: str, penalty: float
) -> nn.Module:
    """The float64 model with the weights of honest training to convergence."""
    trained = copy.deepcopy(model)
    theta = retrained(trained, x, y, kind, reduction, penalty)
    nn.utils.vector_to_parameters(theta, trained.parameters())
    return trained


def margin_gradient(model: nn.Module, kind: str, query: Tensor, label: int) -> np.ndarray:
    theta = flat(model).requires_grad_()
    value = margin(kind, call(model, theta, query[None]), label)
    return torch.autograd.grad(value, theta)[0].numpy()


def fisher_scores(rows: np.ndarray, queries: np.ndarray, relative_damping: float) -> np.ndarray:
    """−φᵀ (ΦᵀΦ/n + δ)⁻¹ (φᵢ − mean φ)/n, with the whole matrix inverted."""
    rows = rows.astype(np.float64)
    fisher = rows.T @ rows / len(rows)
    damping = relative_damping * np.linalg.eigvalsh(fisher)[-1]
    inverse = np.linalg.inv(fisher + damping * np.eye(len(fisher)))
    centred = rows - rows.mean(axis=0)
    return -(queries @ inverse @ centred.T) / len(rows)
