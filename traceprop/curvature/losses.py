"""Which loss a model was trained with, its value per sample, and the margin of a decision.

Promises: `reduce(sample_losses(...))` equals the torch criterion of the same kind and reduction,
and every value is differentiable (also twice, and under `torch.func` transforms). Importing this
module doesn't import torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from traceprop.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

LossKind = Literal["cross_entropy", "bce_with_logits", "mse"]
Reduction = Literal["mean", "sum"]


@dataclass(frozen=True, slots=True)
class LossSpec:
    """A training loss by name: what a criterion computes and how it reduces a batch.

    Parameters
    ----------
    kind : {"cross_entropy", "bce_with_logits", "mse"}
        `torch.nn.CrossEntropyLoss` on class indices, `BCEWithLogitsLoss` or `MSELoss`, each
        without weights or label smoothing.
    reduction : {"mean", "sum"}
        How the criterion reduces. `"mean"` of the last two is over samples *and* outputs.

    Examples
    --------
    >>> LossSpec("cross_entropy", "mean").to_json()
    {'kind': 'cross_entropy', 'reduction': 'mean'}
    """

    kind: LossKind
    reduction: Reduction

    def __post_init__(self) -> None:
        if self.kind not in get_args(LossKind):
            raise DataError(f"no loss is called {self.kind!r}; use one of {get_args(LossKind)}")
        if self.reduction not in get_args(Reduction):
            raise DataError(
                f"no reduction is called {self.reduction!r}; use one of {get_args(Reduction)}"
            )

    def to_json(self) -> dict[str, str]:
        """Return the spec as a JSON object."""
        return {"kind": self.kind, "reduction": self.reduction}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LossSpec:
        """Read a spec written by `to_json`; `DataError` if it names an unknown loss."""
        return cls(value["kind"], value["reduction"])


def sample_losses(spec: LossSpec, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return each sample's own term of the batch loss.

    Parameters
    ----------
    spec : LossSpec
        The loss.
    outputs : Tensor, shape (n, ...)
        What the model returned for n samples: `(n, C)` scores for cross-entropy, `(n,)` or
        `(n, o)` for the others.
    targets : Tensor, shape (n, ...)
        Class indices `(n,)` for cross-entropy, else values with as many numbers as `outputs`.

    Returns
    -------
    Tensor, shape (n,)
        The terms. Their mean (for reduction "mean") or sum (for "sum") is the criterion's value,
        so with o outputs a "mean" term is averaged over them and a "sum" term is summed.
    """
    from torch.nn import functional

    n = outputs.shape[0]
    if spec.kind == "cross_entropy":
        return functional.cross_entropy(outputs, targets.long(), reduction="none")
    values = targets.to(outputs.dtype).reshape(outputs.shape)
    if spec.kind == "bce_with_logits":
        terms = functional.binary_cross_entropy_with_logits(outputs, values, reduction="none")
    else:
        terms = (outputs - values) ** 2
    terms = terms.reshape(n, -1)
    return terms.mean(1) if spec.reduction == "mean" else terms.sum(1)


def reduce(spec: LossSpec, losses: Tensor) -> Tensor:
    """Reduce the per-sample terms `(n,)` as the criterion does: their mean or their sum."""
    return losses.mean() if spec.reduction == "mean" else losses.sum()


def n_decisions(spec: LossSpec, n_outputs: int) -> int:
    """Return how many classes a model with `n_outputs` outputs decides between.

    Two for a single logit, C for C class scores; for `mse` the number of outputs, of which one is
    looked at.
    """
    if spec.kind == "bce_with_logits":
        if n_outputs != 1:
            raise DataError(
                f"a model with {n_outputs} independent yes/no outputs decides no single class; "
                f"margins are defined for one logit (bce_with_logits) or C scores (cross_entropy)"
            )
        return 2
    return n_outputs


def decided(spec: LossSpec, outputs: Tensor) -> Tensor:
    """Return the decision for each sample, an int64 tensor of shape `(n,)`.

    The largest score for cross-entropy, 1 where the logit is above 0 for `bce_with_logits` (the
    label that the model gives), and output 0 for `mse`, where the prediction itself is the answer.
    """
    flat = outputs.reshape(outputs.shape[0], -1)
    n_decisions(spec, flat.shape[1])
    if spec.kind == "cross_entropy":
        return flat.argmax(1)
    if spec.kind == "bce_with_logits":
        return (flat[:, 0] > 0).long()
    return flat.new_zeros(flat.shape[0]).long()


def margins(spec: LossSpec, outputs: Tensor, classes: Tensor) -> Tensor:
    """Return how strongly each sample's outputs speak for the given class.

    Parameters
    ----------
    spec : LossSpec
        The loss that gives the outputs their meaning.
    outputs : Tensor, shape (n, ...)
        The model's outputs.
    classes : Tensor of int64, shape (n,) or (n, 2)
        The class (for `mse` the output) whose margin is wanted; of two, that over the other.

    Returns
    -------
    Tensor, shape (n,)
        Cross-entropy: the class's logit minus the logsumexp of the others, which is the log odds
        log p/(1−p) of the class (Park et al. 2023, "TRAK", eq. 8), and for two classes the
        difference of the logits. `bce_with_logits`: the logit z for class 1, −z for class 0, the
        same log odds. `mse`: the predicted value. Of two classes the difference of their logits,
        which is the log odds between them.
    """
    flat = outputs.reshape(outputs.shape[0], -1)
    n_decisions(spec, flat.shape[1])
    if classes.ndim == 2 and spec.kind != "bce_with_logits":
        pair = flat.gather(1, classes)
        return pair[:, 0] - pair[:, 1]
    if classes.ndim == 2:  # one logit says it all, whichever of the two comes first
        classes = classes[:, 0]
    if spec.kind == "bce_with_logits":
        return flat[:, 0] * (2 * classes - 1)
    chosen = flat.gather(1, classes[:, None])
    if spec.kind == "mse":
        return chosen[:, 0]
    others = flat.scatter(1, classes[:, None], float("-inf"))
    return chosen[:, 0] - others.logsumexp(1)
