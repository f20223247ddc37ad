"""What a scalar loss is, read from its autograd graph: reduction, kind and labels.

Per-sample gradients need each sample's weight in the batch loss, so it is never assumed: it is
read, or taken from `criterion=`, or refused. Promise: `kind` is given only where the loss was
computed on exactly the model's outputs, so that a `LossSpec` gives the same values again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, get_args

import torch
from torch import Tensor, nn

from traceprop.curvature.losses import LossKind, LossSpec, Reduction
from traceprop.errors import CaptureError

_KINDS: dict[str, LossKind] = {
    "NllLossBackward0": "cross_entropy",
    "BinaryCrossEntropyWithLogitsBackward0": "bce_with_logits",
    "MseLossBackward0": "mse",
}
_REDUCTIONS: tuple[Reduction | None, ...] = (None, "mean", "sum")  # torch's codes 0, 1, 2
_NLL = ("NllLossBackward0", "NllLoss2DBackward0")
# Nodes that hand on the same numbers in the same order.
_VIEWS = (
    "View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "ToCopy", "Clone", "Alias",
    "Select", "Slice",
)  # fmt: skip
_SCALINGS = ("MulBackward", "DivBackward", "NegBackward")


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """The tensor that a model returned: where it is in the graph, and its shape."""

    node: Any
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LossGraph:
    """What a loss's graph shows.

    Attributes
    ----------
    reduction : {"mean", "sum"} or None
        How the terms are reduced; None where it can't be read.
    scale : float
        What the reduced terms are multiplied by.
    terms : int
        How many terms are reduced.
    counted : float
        What a mean divides by: the number of terms, or the sum of their class weights.
    kind : str or None
        The loss by name; None where it isn't a plain one of the model's outputs.
    targets : Tensor or None
        The labels that it was computed from.
    """

    reduction: Reduction | None
    scale: float = 1.0
    terms: int = 0
    counted: float = 0.0
    kind: LossKind | None = None
    targets: Tensor | None = None


@dataclass(frozen=True, slots=True)
class SampleLoss:
    """How a batch's loss is made of its samples' losses.

    Attributes
    ----------
    factor : float
        What turns the batch loss's gradient with respect to a sample into that of its own loss.
    spec : LossSpec or None
        The loss by name, where it has one.
    targets : Tensor or None
        The labels.
    """

    factor: float
    spec: LossSpec | None
    targets: Tensor | None


def read_loss(loss: Tensor, output: ModelOutput | None) -> LossGraph:
    """Read a scalar loss's graph, before its backward pass frees what the nodes keep.

    Parameters
    ----------
    loss : Tensor
        A tensor of one element with a graph.
    output : ModelOutput or None
        What the model returned; None where that is unknown.
    """
    node, scale = loss.grad_fn, 1.0
    while node is not None:
        name = node.name()
        if name.startswith(_SCALINGS):
            step = _scaling(node)
            if step is None:
                return LossGraph(None, scale)
            scale *= step
            node = _only_input(node)
        elif name.startswith(("MeanBackward", "SumBackward")):
            sizes = tuple(node._saved_self_sym_sizes)  # type: ignore[attr-defined]
            if sizes:
                reduction: Reduction = "mean" if name.startswith("Mean") else "sum"
                terms = math.prod(sizes)
                return _named(reduction, scale, terms, _only_input(node), output)
            node = _only_input(node)
        elif _is_view(name):
            node = _only_input(node)
        else:
            code = getattr(node, "_saved_reduction", 0)
            return _named(_REDUCTIONS[code], scale, 0, node, output)
    return LossGraph(None, scale)


def resolve(graph: LossGraph, n: int, criterion: Any = None, loss_scale: float = 1.0) -> SampleLoss:
    """Find each sample's weight in the loss of a batch.

    Parameters
    ----------
    graph : LossGraph
        What was read.
    n : int
        The batch size.
    criterion : LossSpec or object with `reduction`, optional
        What the user said that the loss is.
    loss_scale : float
        What the loss is known to be multiplied by, such as a `GradScaler`'s scale.

    Returns
    -------
    SampleLoss
        With a mean loss (1/n) Σ ℓᵢ the factor is n, with Σ ℓᵢ it is 1. A sample's loss is the mean
        (or sum) of its own terms; with class weights it is the weighted term.

    Raises
    ------
    CaptureError
        The weights can't be read, and no criterion names them; or the two disagree.
    """
    said = None if criterion is None else reduction_of(criterion)
    if said is None and loss_scale != 1.0:
        plain = resolve(replace(graph, scale=graph.scale / loss_scale), n)
        return replace(plain, factor=plain.factor / loss_scale)
    reduction, size = _normalised(graph, n, said)
    if said is None and (reduction is None or size != 1.0):
        problem = (
            "the loss's reduction can't be read from its graph"
            if reduction is None
            else f"the loss is multiplied by {size:g} after its reduction"
        )
        raise CaptureError(
            f"{problem}, so each sample's weight in it is unknown; give "
            f"TrainingContext(criterion=...) the loss that training minimises, with its reduction"
        )
    if said is not None and reduction not in (None, said) and n > 1:
        raise CaptureError(
            f"criterion= reduces by {said!r}, but the loss was reduced by {reduction!r}; give the "
            f"criterion that the loss was computed with"
        )
    reduction = said or reduction
    assert reduction is not None
    spec = None if criterion is None else spec_of(criterion)
    if spec is not None and graph.kind not in (None, spec.kind):
        raise CaptureError(
            f"criterion= is {spec.kind}, but the loss is {graph.kind}; give the criterion that the "
            f"loss was computed with"
        )
    if spec is None and graph.kind is not None:
        spec = LossSpec(graph.kind, reduction)
    if reduction == "sum":
        return SampleLoss(1.0 / size, spec, graph.targets)
    if graph.terms % n:
        raise CaptureError(
            f"the loss averages {graph.terms} terms, which {n} samples can't share evenly; give "
            f"each sample as many terms, or train on their sum"
        )
    weight = graph.counted / graph.terms if graph.terms else 1.0
    return SampleLoss(n * weight / size, spec, graph.targets)


def _normalised(graph: LossGraph, n: int, said: Reduction | None) -> tuple[Reduction | None, float]:
    """Return the reduction with what is left to scale it: a sum over n is a mean, and so on."""
    reduction, size = graph.reduction, abs(graph.scale)
    if size == 1.0:
        return reduction, size
    if reduction == "sum" and math.isclose(size * n, 1.0, rel_tol=1e-6):
        return "mean", 1.0
    if reduction == "mean" and said == "sum" and math.isclose(size, n, rel_tol=1e-6):
        return "sum", 1.0
    if reduction == "sum" and said == "mean":
        return "mean", 1.0  # a weighted mean of the criterion's own: the sum over its weights
    return reduction, size


def reduction_of(criterion: Any) -> Reduction:
    """Return how a criterion reduces; `CaptureError` where it doesn't say `mean` or `sum`."""
    reductions: tuple[Reduction, ...] = get_args(Reduction)
    for reduction in reductions:
        if getattr(criterion, "reduction", None) == reduction:
            return reduction
    raise CaptureError(
        f"criterion= {criterion!r} has no attribute `reduction` that is 'mean' or 'sum'; give "
        f"torch's own loss object, or LossSpec('cross_entropy', 'mean')"
    )


def spec_of(criterion: Any) -> LossSpec | None:
    """Return a criterion as a `LossSpec`; None for one with weights, or another loss."""
    if isinstance(criterion, LossSpec):
        return criterion
    kind: LossKind | None = None
    if type(criterion) is nn.CrossEntropyLoss:
        plain = criterion.weight is None and criterion.label_smoothing == 0
        kind = "cross_entropy" if plain else None
    elif type(criterion) is nn.BCEWithLogitsLoss:
        plain = criterion.weight is None and criterion.pos_weight is None
        kind = "bce_with_logits" if plain else None
    elif type(criterion) is nn.MSELoss:
        kind = "mse"
    return None if kind is None else LossSpec(kind, reduction_of(criterion))


def _named(
    reduction: Reduction | None, scale: float, terms: int, node: Any, output: ModelOutput | None
) -> LossGraph:
    """Look at the node that computed the terms: which loss it is, of what, and its labels.

    `terms` is how many were reduced by another node, 0 where the loss's own node reduced them.
    """
    while node is not None and _is_view(node.name()):
        node = _only_input(node)
    name = "" if node is None else node.name()
    targets = getattr(node, "_saved_target", None)
    unreduced = terms and getattr(node, "_saved_reduction", None) == 0
    if targets is None or (terms and (not unreduced or terms != targets.numel())):
        # Some other loss. Its terms weigh alike in a mean, whatever they are.
        return LossGraph(reduction, scale, terms, float(terms))
    terms = targets.numel()
    counted = float(node._saved_total_weight) if name in _NLL and not unreduced else float(terms)
    is_plain = name in _KINDS and output is not None and _is_plain(node, counted, output)
    kind = _KINDS[name] if is_plain else None
    return LossGraph(reduction, scale, terms, counted, kind, targets.detach())


def _is_plain(node: Any, counted: float, output: ModelOutput) -> bool:
    """Tell whether a loss node is what a `LossSpec` says: unweighted, of the model's outputs."""
    if any(getattr(node, f"_saved_{w}", None) is not None for w in ("weight", "pos_weight")):
        return False
    targets, predicted = node._saved_target, node.next_functions[0][0]
    if node.name() in _NLL:
        ignored = counted != targets.numel() or bool(
            (targets == _signed(node._saved_ignore_index)).any()
        )
        fits = len(output.shape) == 2 and tuple(node._saved_self.shape) == output.shape
        return fits and not ignored and _is_softmax_of(predicted, output)
    if any(parent is not None for parent, _ in node.next_functions[1:2]):
        return False  # the labels depend on the model
    return targets.numel() == math.prod(output.shape) and _is_view_of(predicted, output)


def _is_softmax_of(node: Any, output: ModelOutput) -> bool:
    while node is not None and _is_view(node.name()):
        node = _only_input(node)
    if node is None or node.name() != "LogSoftmaxBackward0":
        return False
    if _signed(node._saved_dim) not in (1, -1):
        return False
    # A model may end with the softmax itself: another one on top changes nothing.
    return node is output.node or _is_view_of(_only_input(node), output)


def _is_view_of(node: Any, output: ModelOutput) -> bool:
    while node is not None and node is not output.node and _is_view(node.name()):
        node = _only_input(node)
    return node is not None and node is output.node


def _is_view(name: str) -> bool:
    return name.partition("Backward")[0] in _VIEWS


def _signed(value: int) -> int:
    """Return a node's number, which torch shows as unsigned 64-bit."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _only_input(node: Any) -> Any:
    inputs = list(_inputs(node))
    return inputs[0] if len(inputs) == 1 else None


def _inputs(node: Any) -> Iterator[Any]:
    return (parent for parent, _ in node.next_functions if parent is not None)


def _scaling(node: Any) -> float | None:
    """Return the constant that a node multiplies by; None where it isn't one number."""
    name = node.name()
    if name.startswith("Neg"):
        return -1.0
    other = getattr(node, "_saved_other", None)
    if other is None and name.startswith("Mul"):
        other = getattr(node, "_saved_self", None)
    if name.startswith("Div") and node.next_functions[0][0] is None:
        return None  # a constant over the loss
    if isinstance(other, Tensor):
        if other.numel() != 1 or len(list(_inputs(node))) != 1:
            return None
        other = other.detach().item()
    if not isinstance(other, (int, float)) or isinstance(other, bool) or not other:
        return None
    return 1.0 / other if name.startswith("Div") else float(other)


def is_scalar_loss(loss: Any) -> bool:
    """Tell whether a value is a tensor of one element that can be differentiated."""
    return isinstance(loss, torch.Tensor) and loss.numel() == 1 and loss.grad_fn is not None
