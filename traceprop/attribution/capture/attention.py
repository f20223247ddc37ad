"""Multi-head attention by parts: its projections, which `nn.MultiheadAttention` doesn't call.

`F.multi_head_attention_forward` multiplies with the module's weights itself. While such a module
runs, a torch function mode puts a copy of that very function in its place, in which `linear` is
followed by a note of its factors. Promises: the numbers are those of torch's own code, to the bit;
nothing of torch or of the module is changed; a pass that needs no gradient runs untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from traceprop.attribution.capture.shares import Dense, Outer, Share
from traceprop.errors import CaptureError

PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


@dataclass(frozen=True, slots=True)
class Projection:
    """One product with a weight, or with some rows of one: what stands for a layer.

    Parameters
    ----------
    weight, bias : str
        The parameters' names in the module.
    weight_rows, bias_rows : tuple of int
        The first row that took part, and how many rows the parameter has.
    """

    weight: str
    bias: str
    weight_rows: tuple[int, int]
    bias_rows: tuple[int, int]


Ran = Callable[[Projection, Tensor, Tensor], None]
"""(which product, its input, its output): told of each, as it runs."""


def is_attention(module: nn.Module) -> bool:
    """Tell whether a module is multi-head attention as torch computes it."""
    return type(module).forward is nn.MultiheadAttention.forward


def check_attention(name: str, module: nn.MultiheadAttention) -> None:
    """Raise `CaptureError` for attention with learnt keys and values, which have no rule."""
    if module.bias_k is not None and module.bias_k.requires_grad:
        raise CaptureError(
            f"{name} has bias_k and bias_v, which have no rule for per-sample gradients; build it "
            f"with add_bias_kv=False, or freeze them with requires_grad_(False)"
        )


def projection_shares(
    part: Projection, inputs: Tensor, gradient: Tensor, wanted: Collection[str]
) -> Iterator[Share]:
    """Yield the shares of a product's weight and bias, of factors (n, T, q) and (n, T, rows)."""
    if part.weight in wanted:
        yield Outer(part.weight, _placed(gradient, *part.weight_rows), inputs)
    if part.bias in wanted:
        yield Dense(part.bias, _placed(gradient.sum(1), *part.bias_rows), gradient)


def _placed(values: Tensor, first: int, total: int) -> Tensor:
    """Return values of some rows among those of the whole parameter, zeros elsewhere."""
    behind = total - first - values.shape[-1]
    return functional.pad(values, (first, behind)) if first or behind else values


class AttentionTap:
    """Tells of the projections of one module while it runs.

    Parameters
    ----------
    module : nn.MultiheadAttention
        The module.
    ran : callable
        Told of each product.
    """

    def __init__(self, module: nn.MultiheadAttention, ran: Ran) -> None:
        self._module, self._ran = module, ran
        self._n = 0
        self._modes: list[_Replaced | None] = []
        linear = self._linear
        self._forward = _with(
            functional.multi_head_attention_forward,
            has_torch_function=lambda tensors: False,
            linear=linear,
            _in_projection=_with(_original("_in_projection"), linear=linear),
            _in_projection_packed=_with(_original("_in_projection_packed"), linear=linear),
        )

    def enters(self, module: nn.Module, args: Any) -> None:
        """Begin: a forward pre-hook of the module."""
        mode = _Replaced(self._attend) if torch.is_grad_enabled() else None
        self._modes.append(mode)
        if mode is not None:
            mode.__enter__()  # type: ignore[no-untyped-call]

    def leaves(self, module: nn.Module, args: Any, output: Any) -> None:
        """End: a forward hook of the module, called whether it succeeded or not."""
        mode = self._modes.pop()
        if mode is not None:
            mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def _attend(self, query: Tensor, *args: Any, **kwargs: Any) -> Any:
        self._n = query.shape[1] if query.ndim == 3 else 1
        return self._forward(query, *args, **kwargs)

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        output = functional.linear(x, weight, bias)
        part = self._which(weight)
        if part is not None and output.requires_grad:
            self._ran(part, x, output)
        return output

    def _which(self, weight: Tensor) -> Projection | None:
        """Return which of the module's weights this is, or is some rows of."""
        module = self._module
        size = module.embed_dim
        for place, name in enumerate(PROJECTIONS):
            whole: Tensor | None = getattr(module, name)
            if whole is None or (weight is not whole and weight._base is not whole):
                continue
            first = (weight.storage_offset() - whole.storage_offset()) // whole.stride(0)
            # A weight of its own still has its third of the common bias.
            first_bias = first if name == "in_proj_weight" else (place - 1) * size
            return Projection(name, "in_proj_bias", (first, len(whole)), (first_bias, 3 * size))
        if weight is module.out_proj.weight:
            return Projection("out_proj.weight", "out_proj.bias", (0, size), (0, size))
        return None

    def by_sample(self) -> Callable[[Tensor], Tensor]:
        """Return what turns values (T, n, w) of this run, or rows (T · n, w), into (n, T, w)."""
        n = self._n
        return lambda value: value.reshape(-1, n, value.shape[-1]).transpose(0, 1)


class _Replaced(TorchFunctionMode):
    """While it is on, multi-head attention is what it is given."""

    def __init__(self, attend: Callable[..., Any]) -> None:
        super().__init__()
        self._attend = attend

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        attend = self._attend if func is functional.multi_head_attention_forward else func
        return attend(*args, **(kwargs or {}))


def _original(name: str) -> Any:
    """Return a function of torch's own that its stubs don't name."""
    return getattr(functional, name)


def _with(function: Any, **names: Any) -> Any:
    """Return a copy of a function in which some global names mean something else."""
    copy = FunctionType(
        function.__code__, {**function.__globals__, **names}, function.__name__,
        function.__defaults__, function.__closure__,
    )  # fmt: skip
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
