"""Slow oracles for objectives: torch's own criterion, whole Jacobians and Hessians, no formulas."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

CRITERIA = {
    "cross_entropy": nn.functional.cross_entropy,
    "bce_with_logits": nn.functional.binary_cross_entropy_with_logits,
    "mse": nn.functional.mse_loss,
}


def flat(model: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def call(model: nn.Module, theta: Tensor, x: Tensor) -> Tensor:
    state, at = {}, 0
    for name, p in model.named_parameters():
        state[name] = theta[at : at + p.numel()].reshape(p.shape)
        at += p.numel()
    return functional_call(model, state, (x,))


def objective(
    model: nn.Module, x: Tensor, y: Tensor, kind: str, reduction: str, penalty: float, scale: float
) -> Callable[[Tensor], Tensor]:
    """J as a function of the flat float64 parameters; `scale` multiplies the *summed* loss."""

    def value(theta: Tensor) -> Tensor:
        outputs = call(model, theta, x)
        total = torch.zeros((), dtype=theta.dtype)
        for i in range(len(x)):
            target = y[i : i + 1]
            if kind != "cross_entropy":
                target = target.reshape(outputs[i : i + 1].shape)
            total = total + CRITERIA[kind](outputs[i : i + 1], target, reduction=reduction)
        return scale * total + penalty / 2 * sum(t * t for t in theta)

    return value


def gradient(value: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
    return torch.autograd.functional.jacobian(value, theta)


def hessian(value: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
    return torch.autograd.functional.hessian(value, theta)


def ggn(
    model: nn.Module, theta: Tensor, x: Tensor, y: Tensor, kind: str, reduction: str,
    penalty: float, scale: float,
) -> Tensor:  # fmt: skip
    """c Σ JᵀSJ + λI by one whole Jacobian and one whole output Hessian per sample."""
    total = penalty * torch.eye(len(theta), dtype=theta.dtype)
    for i in range(len(x)):
        z = call(model, theta, x[i : i + 1])
        target = y[i : i + 1] if kind == "cross_entropy" else y[i : i + 1].reshape(z.shape)
        jacobian = torch.autograd.functional.jacobian(
            lambda t, row=x[i : i + 1]: call(model, t, row), theta
        ).reshape(-1, len(theta))
        second = torch.autograd.functional.hessian(
            lambda s, t=target: CRITERIA[kind](s, t, reduction=reduction), z.detach()
        ).reshape(len(jacobian), len(jacobian))
        total = total + scale * jacobian.T @ second @ jacobian
    return total
