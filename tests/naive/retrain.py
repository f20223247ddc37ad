"""Honest retraining, slowly: torch's own criterion, derivatives by autograd, plain Newton steps.

The ground truth of influence scores and removals. Nothing here comes from traceprop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from tests.naive.curvature import CRITERIA, call, flat

GRADIENT_NORM = 1e-12


def minimum(value: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """The minimum of a strictly convex function, to a gradient norm of 1e-12 or to rounding."""
    theta = start.clone()
    best, best_norm, stalled = theta, float("inf"), 0
    for _ in range(200):
        gradient = torch.autograd.functional.jacobian(value, theta)
        norm = float(gradient.norm())
        if norm < 0.9 * best_norm:
            best, best_norm, stalled = theta, norm, 0
        else:
            stalled += 1
        if norm <= GRADIENT_NORM or (stalled > 3 and best_norm < 1e-10):
            return best
        hessian = torch.autograd.functional.hessian(value, theta, vectorize=True)
        step = torch.linalg.solve(hessian, gradient)
        length, here = 1.0, float(value(theta))
        # Near the minimum the values differ by rounding alone, and full steps converge.
        while norm > 1e-6 and float(value(theta - length * step)) > here and length > 1e-6:
            length /= 2
        theta = theta - length * step
    raise AssertionError(f"no minimum after 200 Newton steps: gradient norm {best_norm}")


def retrained(
    model: nn.Module, x: Tensor, y: Tensor, kind: str, reduction: str, penalty: float
) -> Tensor:
    """Flat float64 parameters (torch's order) at the minimum of criterion + penalty/2 ‖θ‖²."""

    def value(theta: Tensor) -> Tensor:
        outputs = call(model, theta, x)
        target = y if kind == "cross_entropy" else y.reshape(outputs.shape)
        loss = CRITERIA[kind](outputs, target, reduction=reduction)
        return loss + penalty / 2 * (theta * theta).sum()

    return minimum(value, flat(model))


def _softmax_problem(X: np.ndarray, y: np.ndarray) -> tuple[nn.Module, Tensor, Tensor]:
    model = nn.Linear(X.shape[1], int(y.max()) + 1).double()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model, torch.tensor(X, dtype=torch.float64), torch.tensor(y).long()


def retrained_weights(X: np.ndarray, y: np.ndarray, *, penalty: float) -> np.ndarray:
    """Softmax regression at its minimum: W row by row, then b, both penalised."""
    model, x, target = _softmax_problem(X, y)
    return retrained(model, x, target, "cross_entropy", "mean", penalty).numpy()


def leave_one_out_margins(
    X: np.ndarray, y: np.ndarray, query: np.ndarray, samples: Iterable[int], *, penalty: float
) -> np.ndarray:
    """By how much each sample raised the margin of the class that softmax regression decides."""
    model, x, target = _softmax_problem(X, y)
    point = torch.tensor(query, dtype=torch.float64).reshape(1, -1)

    def margin(theta: Tensor, label: int) -> float:
        scores = call(model, theta, point)[0]
        others = torch.cat([scores[:label], scores[label + 1 :]])
        return float(scores[label] - torch.logsumexp(others, 0))

    whole = retrained(model, x, target, "cross_entropy", "mean", penalty)
    nn.utils.vector_to_parameters(whole, model.parameters())  # where the others start
    decided = int(call(model, whole, point).argmax())
    changes = []
    for sample in samples:
        keep = np.setdiff1d(np.arange(len(X)), [sample])
        without = retrained(model, x[keep], target[keep], "cross_entropy", "mean", penalty)
        changes.append(margin(whole, decided) - margin(without, decided))
    return np.array(changes)


def trained_network(
    make: Callable[[], nn.Module], x: Tensor, y: Tensor, *, steps: int, rate: float, penalty: float
) -> nn.Module:
    """A network after full-batch Adam on cross-entropy from the same start, every time."""
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=penalty)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.eval()
