"""Per layer: each sample's share of the parameters' gradients, from two tensors.

A layer's *factors* are its input activation and the gradient that arrived at its output. A rule
turns them into shares, left in the cheapest form: outer products for linear maps and convolutions,
rows of an embedding, plain numbers for the rest. Promise: the rule is found by the layer's
`forward`, so that a subclass that computes something else has none and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from traceprop.attribution.projection import Sketch
from traceprop.errors import CaptureError

# How many numbers of per-sample gradients are formed at a time.
_FORMED_NUMBERS = 1 << 20


@dataclass(frozen=True, slots=True)
class Outer:
    """Σ_t left[:, t] ⊗ right[:, t], of factors `(n, T, p)` and `(n, T, q)`."""

    parameter: str
    left: Tensor
    right: Tensor

    def add_to(self, sketch: Sketch, i: int) -> None:
        """Add the share to parameter i of a batch's rows."""
        n, n_terms, p = self.left.shape
        if sketch.takes_factors(i, n_terms):
            sketch.add_factors(i, self.left.numpy(force=True), self.right.numpy(force=True))
            return
        step = max(1, _FORMED_NUMBERS // (p * self.right.shape[2]))
        for start in range(0, n, step):
            part = slice(start, start + step)
            formed = self.left[part].mT @ self.right[part]
            sketch.add(i, formed.numpy(force=True), part)

    def total(self, shape: torch.Size) -> tuple[Tensor, float]:
        """Return the sum over the samples, and a bound on its norm."""
        left, right = self.left.flatten(0, 1), self.right.flatten(0, 1)
        return (left.T @ right).reshape(shape), float(left.norm() * right.norm())


@dataclass(frozen=True, slots=True)
class Dense:
    """The share itself, `(n, ...)`."""

    parameter: str
    values: Tensor

    def add_to(self, sketch: Sketch, i: int) -> None:
        """Add the share to parameter i of a batch's rows."""
        sketch.add(i, self.values.numpy(force=True))

    def total(self, shape: torch.Size) -> tuple[Tensor, float]:
        """Return the sum over the samples, and a bound on its norm."""
        return self.values.sum(0).reshape(shape), float(self.values.flatten(1).norm(dim=1).sum())


@dataclass(frozen=True, slots=True)
class Segments:
    """`values[:, t]` (n, T, w) in row `index[:, t]` of a (p, w) parameter, zeros elsewhere."""

    parameter: str
    index: Tensor
    values: Tensor

    def add_to(self, sketch: Sketch, i: int) -> None:
        """Add the share to parameter i of a batch's rows."""
        sketch.add_segments(i, self.index.numpy(force=True), self.values.numpy(force=True))

    def total(self, shape: torch.Size) -> tuple[Tensor, float]:
        """Return the sum over the samples, and a bound on its norm."""
        total = self.values.new_zeros(shape)
        total.index_add_(0, self.index.flatten(), self.values.flatten(0, 1))
        return total, float(self.values.flatten(0, 1).norm(dim=1).sum())


Share = Outer | Dense | Segments
Rule = Callable[[Any, Tensor, Tensor, Collection[str]], Iterator[Share]]
"""(layer, input activation, output's gradient, wanted parameters) -> their shares."""


def rule_for(module: nn.Module) -> Rule | None:
    """Return the rule for a layer; None where there is none for what its `forward` computes."""
    rule = _RULES.get(type(module).forward)
    own = {name for name, _ in module.named_parameters(recurse=False)}
    return rule if own <= {"weight", "bias"} else None


def known_layers() -> str:
    """Return the names of the layers that have a rule."""
    return "Linear, Conv1d, Conv2d, Embedding, LayerNorm, GroupNorm and BatchNorm"


def check_options(name: str, module: nn.Module) -> None:
    """Raise `CaptureError` for an option under which a layer's gradient has no per-sample form."""
    if isinstance(module, nn.Embedding) and module.scale_grad_by_freq:
        raise CaptureError(
            f"{name} scales its gradients by each batch's counts, which mixes samples; build it "
            f"with scale_grad_by_freq=False"
        )


def _linear(
    layer: nn.Linear, inputs: Tensor, gradient: Tensor, wanted: Collection[str]
) -> Iterator[Share]:
    n = len(gradient)
    left = gradient.reshape(n, -1, layer.out_features)
    if "weight" in wanted:
        yield Outer("weight", left, inputs.reshape(n, -1, layer.in_features))
    if "bias" in wanted:
        yield Dense("bias", left.sum(1))


def _convolution(
    layer: nn.Conv1d | nn.Conv2d, inputs: Tensor, gradient: Tensor, wanted: Collection[str]
) -> Iterator[Share]:
    left = gradient.flatten(2)
    if "bias" in wanted:
        yield Dense("bias", left.sum(2))
    if "weight" not in wanted:
        return
    patches = _patches(layer, inputs)  # (n, C·kh·kw, T)
    if layer.groups == 1:
        yield Outer("weight", left.transpose(1, 2), patches.transpose(1, 2))
        return
    n, n_terms = len(gradient), left.shape[2]
    left = left.reshape(n, layer.groups, -1, n_terms)
    right = patches.reshape(n, layer.groups, -1, n_terms)
    yield Dense("weight", torch.einsum("ngot,ngit->ngoi", left, right))


def _patches(layer: nn.Conv1d | nn.Conv2d, inputs: Tensor) -> Tensor:
    """Return what each output position sees, `(n, C·kh·kw, T)`; a Conv1d is one of height 1."""

    def plane(sizes: tuple[int, ...]) -> tuple[int, int]:
        return (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])

    kernel, dilation = plane(layer.kernel_size), plane(layer.dilation)
    padding = []
    for i in reversed(range(len(layer.kernel_size))):
        if layer.padding == "same":
            both = layer.dilation[i] * (layer.kernel_size[i] - 1)
            padding += [both // 2, both - both // 2]
        else:
            padding += [0, 0] if layer.padding == "valid" else [int(layer.padding[i])] * 2
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = functional.pad(inputs, padding, mode)
    image = padded.unsqueeze(2) if padded.ndim == 3 else padded
    return functional.unfold(image, kernel, dilation, stride=plane(layer.stride))


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
            yield Dense(name, values.sum(summed) if summed else values)


_RULES: dict[Any, Rule] = {
    nn.Linear.forward: _linear,
    nn.Conv1d.forward: _convolution,
    nn.Conv2d.forward: _convolution,
    nn.Embedding.forward: _embedding,
    nn.LayerNorm.forward: _layer_norm,
    nn.GroupNorm.forward: _group_norm,
    nn.BatchNorm1d.forward: _batch_norm,  # BatchNorm2d and 3d inherit it
}
