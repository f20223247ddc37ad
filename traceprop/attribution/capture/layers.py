"""Per layer: each sample's share of the parameters' gradients, from two tensors.

A layer's *factors* are its input activation and the gradient that arrived at its output. A rule
turns them into shares, left in the cheapest form: outer products for linear maps, rows of an
embedding, plain numbers for the rest. Promise: the rule is found by the layer's
`forward`, so that a subclass that computes something else has none and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from traceprop.attribution.capture.attention import (
    PROJECTIONS,
    check_attention,
    is_attention,
    projection_shares,
)
from traceprop.attribution.capture.shares import Convolved, Dense, Outer, Segments, Share
from traceprop.errors import CaptureError

Rule = Callable[[Any, Tensor, Tensor, Collection[str]], Iterator[Share]]
"""(layer or part of one, its input, its output's gradient, wanted parameters) -> their shares."""


def rule_for(module: nn.Module) -> Rule | None:
    """Return the rule for a layer; None where there is none for what its `forward` computes."""
    rule = _RULES.get(type(module).forward)
    own = {name for name, _ in module.named_parameters(recurse=False)}
    known = {*PROJECTIONS, "in_proj_bias", "bias_k", "bias_v"}
    return rule if own <= (known if is_attention(module) else {"weight", "bias"}) else None


def named_parts(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters that a layer's own `forward` uses, frozen ones too, by local name."""
    yield from module.named_parameters(recurse=False, remove_duplicate=False)
    if is_attention(module):  # it doesn't call its last projection
        for name, parameter in module.out_proj.named_parameters():  # type: ignore[union-attr]
            yield f"out_proj.{name}", parameter


def known_layers() -> str:
    """Return the names of the layers that have a rule."""
    return (
        "Linear, Conv1d, Conv2d, Embedding, LayerNorm, GroupNorm, BatchNorm and MultiheadAttention"
    )


def check_options(name: str, module: nn.Module) -> None:
    """Raise `CaptureError` for an option under which a layer's gradient has no per-sample form."""
    if isinstance(module, nn.Embedding) and module.scale_grad_by_freq:
        raise CaptureError(
            f"{name} scales its gradients by each batch's counts, which mixes samples; build it "
            f"with scale_grad_by_freq=False"
        )
    if isinstance(module, nn.MultiheadAttention):
        check_attention(name, module)


def _linear(
    layer: nn.Linear, inputs: Tensor, gradient: Tensor, wanted: Collection[str]
) -> Iterator[Share]:
    n = len(gradient)
    left = gradient.reshape(n, -1, layer.out_features)
    if "weight" in wanted:
        yield Outer("weight", left, inputs.reshape(n, -1, layer.in_features))
    if "bias" in wanted:
        yield Dense("bias", left.sum(1) if left.shape[1] > 1 else left[:, 0], left)


def _convolution(
    layer: nn.Conv1d | nn.Conv2d, inputs: Tensor, gradient: Tensor, wanted: Collection[str]
) -> Iterator[Share]:
    if "bias" in wanted:
        yield Dense("bias", gradient.flatten(2).sum(2), gradient)
    if "weight" in wanted:
        yield Convolved("weight", layer, inputs, gradient)


def _embedding(
    layer: nn.Embedding, inputs: Tensor, gradient: Tensor, wanted: Collection[str]
) -> Iterator[Share]:
    n = len(gradient)
    index = inputs.reshape(n, -1)
    values = gradient.reshape(n, -1, layer.embedding_dim)
    if layer.padding_idx is not None:
        values = values * (index != layer.padding_idx).unsqueeze(-1)
    yield Segments("weight", index, values)


def _layer_norm(
    layer: nn.LayerNorm, inputs: Tensor, gradient: Tensor, wanted: Collection[str]
) -> Iterator[Share]:
    normed = functional.layer_norm(inputs, layer.normalized_shape, None, None, layer.eps)
    between = tuple(range(1, inputs.ndim - len(layer.normalized_shape)))
    yield from _scale_and_shift(gradient * normed, gradient, between, wanted)


def _group_norm(
    layer: nn.GroupNorm, inputs: Tensor, gradient: Tensor, wanted: Collection[str]
) -> Iterator[Share]:
    normed = functional.group_norm(inputs, layer.num_groups, None, None, layer.eps)
    places = tuple(range(2, inputs.ndim))
    yield from _scale_and_shift(gradient * normed, gradient, places, wanted)


def _batch_norm(
    layer: nn.BatchNorm1d, inputs: Tensor, gradient: Tensor, wanted: Collection[str]
) -> Iterator[Share]:
    mean, variance = layer.running_mean, layer.running_var
    of_batch = layer.training or mean is None
    normed = functional.batch_norm(
        inputs, None if of_batch else mean, None if of_batch else variance, None, None,
        training=of_batch, eps=layer.eps,
    )  # fmt: skip
    places = tuple(range(2, inputs.ndim))
    yield from _scale_and_shift(gradient * normed, gradient, places, wanted)


def _scale_and_shift(
    scaled: Tensor, gradient: Tensor, summed: tuple[int, ...], wanted: Collection[str]
) -> Iterator[Share]:
    for name, values in (("weight", scaled), ("bias", gradient)):
        if name in wanted:
            yield Dense(name, values.sum(summed) if summed else values, values)


_RULES: dict[Any, Rule] = {
    nn.Linear.forward: _linear,
    nn.Conv1d.forward: _convolution,
    nn.Conv2d.forward: _convolution,
    nn.Embedding.forward: _embedding,
    nn.LayerNorm.forward: _layer_norm,
    nn.GroupNorm.forward: _group_norm,
    nn.BatchNorm1d.forward: _batch_norm,  # BatchNorm2d and 3d inherit it
    nn.MultiheadAttention.forward: projection_shares,
}
