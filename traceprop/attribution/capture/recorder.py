"""Hooks on a model's layers: which parameters are captured, and what a backward pass brings.

Promises: a layer without a rule is refused by name before anything runs; a forward pass that no
gradient comes back to leaves nothing behind; outside of `recording` the hooks keep nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from traceprop.attribution.capture.attention import AttentionTap, Projection, is_attention
from traceprop.attribution.capture.layers import (
    Rule,
    check_options,
    known_layers,
    named_parts,
    rule_for,
)
from traceprop.attribution.projection import Block
from traceprop.errors import CaptureError

Variant = Literal["all-layers", "last-layer", "batch-mean"]


@dataclass(frozen=True, slots=True)
class Layer:
    """A module whose parameters are captured: `blocks` maps its parameters to their blocks."""

    name: str
    module: nn.Module
    rule: Rule
    blocks: Mapping[str, int]


@dataclass(eq=False, slots=True)
class Call:
    """One run of a layer in a forward pass: its factors, and whose forward pass it was.

    `part` is what the layer's rule is asked about: the module, or one product in it.
    """

    layer: Layer
    part: Any
    inputs: Tensor
    forward: object
    gradient: Tensor | None = None


def blocks_of(model: nn.Module, variant: Variant = "all-layers") -> tuple[Block, ...]:
    """Return the trainable parameters that a variant captures, in the model's own order.

    Parameters
    ----------
    model : torch.nn.Module
        The model.
    variant : {"all-layers", "last-layer"}
        `last-layer`: those of the last module that has trainable parameters.

    Raises
    ------
    CaptureError
        No parameter is trainable, or one has no shape yet.
    """
    modules = [m for m in model.modules() if any(_trainable(m))]
    if not modules:
        raise CaptureError("the model has no trainable parameter; there is no gradient to capture")
    kept = {id(p) for _, p in _trainable(modules[-1])} if variant == "last-layer" else None
    owners = _owners(model)
    blocks = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad or (kept is not None and id(parameter) not in kept):
            continue
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise CaptureError(f"{name} has no shape yet; run the model on one batch first")
        # A weight shared with another kind of layer is projected as that one needs it.
        linear = parameter.ndim == 2 and all(
            type(m).forward is nn.Linear.forward or is_attention(m) for m in owners[id(parameter)]
        )
        blocks.append(Block(name, tuple(parameter.shape), linear))
    return tuple(blocks)


def layers_of(model: nn.Module, blocks: Sequence[Block]) -> list[Layer]:
    """Return the modules that own the blocks' parameters, with their rules.

    Raises
    ------
    CaptureError
        A module has no rule, or the model's parameters aren't those of the blocks.
    """
    parameters = dict(model.named_parameters())
    numbers = {}
    for i, block in enumerate(blocks):
        parameter = parameters.get(block.name)
        if parameter is None or tuple(parameter.shape) != block.shape:
            raise CaptureError(
                f"the model has no parameter {block.name} of shape {block.shape}; give the model "
                f"that was recorded"
            )
        numbers[id(parameter)] = i
    layers = []
    for name, module in model.named_modules():
        own = {local: numbers[id(p)] for local, p in named_parts(module) if id(p) in numbers}
        if not own:
            continue
        name = name or "the model"
        rule = rule_for(module)
        if rule is None:
            raise CaptureError(
                f"{name} ({type(module).__name__}) has parameters of its own ({', '.join(own)}) "
                f"and no rule for per-sample gradients; build it from {known_layers()}, freeze it "
                f"with requires_grad_(False), or use variant='last-layer'"
            )
        check_options(name, module)
        layers.append(Layer(name, module, rule, own))
    return layers


class Hook:
    """A hook on this model alone: in a copy, or a pickle, of the model it does nothing.

    Parameters
    ----------
    function : callable or None
        What to call.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any] | None) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; without one nothing changes."""
        return None if self._function is None else self._function(*args, **kwargs)

    def __reduce__(self) -> tuple[type[Hook], tuple[None]]:
        return Hook, (None,)


class Recorder:
    """Hooks on layers; what backward passes bring while `recording` is collected.

    Attributes
    ----------
    forward : object
        Put on the calls of the forward pass that is running; None outside of one.
    may_be_turned : bool
        Whether a layer ran on an input with another dimension as long as the first.
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.forward: object = None
        self.may_be_turned = False
        self._asks = True
        self._layers = list(layers)
        self._calls: list[Call] | None = None
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def install(self) -> None:
        """Put a hook on each layer."""
        for layer in self._layers:
            if is_attention(layer.module):
                self._tap(layer)
                continue
            hook = Hook(partial(self._ran, layer))
            handle = layer.module.register_forward_hook(hook, with_kwargs=True)
            self._handles.append(handle)

    def remove(self) -> None:
        """Take all hooks off again."""
        while self._handles:
            self._handles.pop().remove()

    @contextmanager
    def recording(self) -> Iterator[list[Call]]:
        """Collect the calls whose outputs' gradients arrive in the body."""
        calls: list[Call] = []
        self._calls = calls
        try:
            yield calls
        finally:
            self._calls = None

    def _ran(
        self,
        layer: Layer,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        output: Tensor,
    ) -> None:
        if output.requires_grad:
            inputs = args[0] if args else kwargs["input"]
            self._note_shape(inputs)
            call = Call(layer, module, inputs.detach(), self.forward)
            _on_gradient(output, partial(self._arrived, call, None))

    def _note_shape(self, inputs: Tensor) -> None:
        if self._asks and inputs.shape[0] in inputs.shape[1:]:
            self.may_be_turned, self._asks = True, False

    def _tap(self, layer: Layer) -> None:
        """Put hooks on attention, whose products are told of as they run."""

        def ran(part: Projection, inputs: Tensor, output: Tensor) -> None:
            by_sample = tap.by_sample()
            call = Call(layer, part, by_sample(inputs.detach()), self.forward)
            _on_gradient(output, partial(self._arrived, call, by_sample))

        assert isinstance(layer.module, nn.MultiheadAttention)
        tap = AttentionTap(layer.module, ran)
        self._handles += [
            layer.module.register_forward_pre_hook(Hook(tap.enters), prepend=True),
            layer.module.register_forward_hook(Hook(tap.leaves), always_call=True),
        ]

    def _arrived(
        self, call: Call, by_sample: Callable[[Tensor], Tensor] | None, gradient: Tensor
    ) -> None:
        if self._calls is not None:
            gradient = gradient.detach() if by_sample is None else by_sample(gradient.detach())
            self._calls.append(Call(call.layer, call.part, call.inputs, call.forward, gradient))


def _on_gradient(output: Tensor, arrived: Callable[[Tensor], None]) -> None:
    """Have a function told of the gradient of a layer's output, by the graph that needs it.

    Only the graph holds what the function holds: it goes with the graph, used or not.
    """
    base, shape = output._base, output.shape
    same = base is not None and base.numel() == output.numel() and base.grad_fn is not None
    if base is None or not same or not (base.is_contiguous() and output.is_contiguous()):
        output.register_hook(arrived)  # type: ignore[no-untyped-call]
        return
    # A write into a view, as by ReLU(inplace=True), takes the view's hooks out of the graph.
    base.register_hook(lambda gradient: arrived(gradient.reshape(shape)))  # type: ignore[no-untyped-call]


def _trainable(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    own = module.named_parameters(recurse=False, remove_duplicate=False)
    return ((name, p) for name, p in own if p.requires_grad)


def _owners(model: nn.Module) -> dict[int, list[nn.Module]]:
    owners: dict[int, list[nn.Module]] = {}
    for module in model.modules():
        for _, parameter in _trainable(module):
            owners.setdefault(id(parameter), []).append(module)
    return owners
