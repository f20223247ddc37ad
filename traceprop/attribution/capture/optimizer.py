"""Which optimizer trained a model, and which penalty on the weights its settings mean.

Promise: a penalty λ is given only where every step was a step on loss + λ/2 ‖θ‖² with this one λ;
else it is None and the origin says why. Where the optimizer named by the user steps unseen (by code
that isn't torch's), it is read when the watch begins and when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

_WITHOUT_DECAY = (torch.optim.LBFGS, torch.optim.Rprop)
_SCALARS = (bool, int, float, str)

_State = tuple[int, tuple[tuple[float | None, bool, bool, int], ...]]


class OptimizerWatch:
    """Sees which optimizers step a model's parameters, and with which penalty at each step.

    Parameters
    ----------
    model : torch.nn.Module
        The model.
    given : Optimizer or None
        The one that the user named, which may step where torch doesn't say so.
    rate_of_step : callable
        Told the learning rate of each step, None where it has no one rate.
    """

    def __init__(
        self,
        model: nn.Module,
        given: Optimizer | None,
        rate_of_step: Callable[[float | None], None] = lambda rate: None,
    ) -> None:
        self._rate_of_step = rate_of_step
        self._given = given
        self._parameters = {id(parameter) for parameter in model.parameters()}
        self._trainable = {id(p) for p in model.parameters() if p.requires_grad}
        # By what a penalty is read from, so that a step that changes nothing costs nothing. The
        # optimizers are kept alive with it, since an id is only theirs as long as they are.
        self._seen: dict[_State, tuple[Optimizer, float | None, str]] = {}
        self._handle: Any = None

    def install(self) -> None:
        """Begin to watch."""
        if self._given is not None:
            self._note(self._given)
        self._handle = register_optimizer_step_post_hook(self._stepped)

    def remove(self) -> None:
        """Stop watching."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
        if self._given is not None:
            self._note(self._given)

    def found(self) -> tuple[dict[str, Any] | None, float | None, str]:
        """Return the optimizer's settings, the penalty λ or None, and where that was read."""
        optimizers = {id(optimizer): optimizer for optimizer, _, _ in self._seen.values()}
        if len(optimizers) != 1:
            many = f"{len(optimizers)} optimizers" if optimizers else "no optimizer"
            # One that was named and another beside it: naming one more wouldn't help.
            way = "" if self._given else "; give TrainingContext(optimizer=...)"
            return None, None, f"{many} seen stepping the model{way}"
        (optimizer,) = optimizers.values()
        penalties = {penalty: origin for _, penalty, origin in self._seen.values()}
        if len(penalties) == 1:
            ((penalty, origin),) = penalties.items()
            return settings_of(optimizer), penalty, origin
        changes = ", then ".join(origin for _, _, origin in self._seen.values())
        return settings_of(optimizer), None, f"the penalty changed during the training: {changes}"

    def _stepped(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if optimizer is self._given or self._parameters & _parameters(optimizer):
            self._note(optimizer)
            self._rate_of_step(_rate(optimizer))

    def _note(self, optimizer: Optimizer) -> None:
        """Keep the penalty of a step, unless it was read from the very same settings before."""
        state = _state(optimizer)
        if state not in self._seen:
            self._seen[state] = (optimizer, *self._penalty(optimizer))

    def _penalty(self, optimizer: Optimizer) -> tuple[float | None, str]:
        name = type(optimizer).__name__
        groups = optimizer.param_groups
        if any(group.get("maximize") for group in groups):
            return None, f"{name} maximises, so what it steps to is no minimum of the loss"
        if isinstance(optimizer, _WITHOUT_DECAY):
            return 0.0, f"{name} has no weight_decay"
        decays = {_decay(group) for group in groups}
        if None in decays:
            return None, f"{name} doesn't say its weight_decay"
        if not decays - {0.0}:
            return 0.0, f"{name}(weight_decay=0)"
        if len(decays) > 1 or not self._trainable <= _parameters(optimizer):
            return None, f"{name} has different weight_decay for different parameters"
        decay = decays.pop()
        if is_decoupled(optimizer):
            return None, (
                f"{name} applies weight_decay={decay:g} beside the gradient, which no penalty on "
                f"the weights equals"
            )
        return decay, f"{name}(weight_decay={decay:g})"


def _state(optimizer: Optimizer) -> _State:
    """Return what the penalty of a step depends on, cheaply: this runs after every step."""
    return id(optimizer), tuple(
        (
            _decay(group),
            bool(group.get("maximize")),
            bool(group.get("decoupled_weight_decay")),
            len(group["params"]),
        )
        for group in optimizer.param_groups
    )


def _rate(optimizer: Optimizer) -> float | None:
    """Return the learning rate of a step; None where the groups' differ, or have none."""
    given = [group.get("lr") for group in optimizer.param_groups]
    rates = {float(r) for r in given if isinstance(r, int | float | torch.Tensor)}
    return rates.pop() if len(rates) == 1 and None not in given else None


def _decay(group: dict[str, Any]) -> float | None:
    """Return a group's weight decay; None where an optimizer of the user's has it otherwise."""
    value = group.get("weight_decay")
    return float(value) if isinstance(value, int | float | torch.Tensor) else None


def settings_of(optimizer: Optimizer) -> dict[str, Any]:
    """Return an optimizer's name and the settings of its first group, as JSON values."""
    group = optimizer.param_groups[0]
    settings: dict[str, Any] = {"name": type(optimizer).__name__}
    settings["decoupled"] = is_decoupled(optimizer)
    for key, value in group.items():
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            value = value.item()
        if isinstance(value, tuple) and all(isinstance(item, _SCALARS) for item in value):
            value = list(value)
        if value is None or isinstance(value, (*_SCALARS, list)):
            settings[key] = value
    settings.pop("params")
    return settings


def is_decoupled(optimizer: Optimizer) -> bool:
    """Tell whether weight decay acts on the weights directly (Loshchilov and Hutter 2019)."""
    of_group = optimizer.param_groups[0].get("decoupled_weight_decay")
    return isinstance(optimizer, torch.optim.AdamW) if of_group is None else bool(of_group)


def _parameters(optimizer: Optimizer) -> set[int]:
    groups: Iterable[dict[str, Any]] = optimizer.param_groups
    return {id(parameter) for group in groups for parameter in group["params"]}
