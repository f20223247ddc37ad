"""What the autograd graph tells of a loss: the samples' weights, its name, its labels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from traceprop.attribution.capture.loss_graph import ModelOutput, read_loss, resolve
from traceprop.curvature.losses import LossSpec
from traceprop.errors import CaptureError

N, C = 6, 3

Loss = Callable[[Tensor], Tensor]


def labels() -> Tensor:
    return torch.tensor([0, 1, 2, 0, 1, 2])


def values() -> Tensor:
    return torch.linspace(0, 1, N * C).reshape(N, C)


def outputs_of_a_model() -> Tensor:
    torch.manual_seed(0)
    return nn.Linear(4, C)(torch.randn(N, 4))


def read(loss: Loss, criterion: object = None) -> tuple[float, LossSpec | None, Tensor | None]:
    """Return what is read of a loss of N samples: factor, name and labels."""
    outputs = outputs_of_a_model()
    output = ModelOutput(outputs.grad_fn, tuple(outputs.shape))
    result = resolve(read_loss(loss(outputs), output), N, criterion)
    return result.factor, result.spec, result.targets


CE = LossSpec("cross_entropy", "mean")
NAMED: dict[str, tuple[Loss, LossSpec, float]] = {
    "cross entropy": (lambda o: functional.cross_entropy(o, labels()), CE, N),
    "its sum": (
        lambda o: functional.cross_entropy(o, labels(), reduction="sum"),
        LossSpec("cross_entropy", "sum"),
        1,
    ),
    "reduced afterwards": (
        lambda o: functional.cross_entropy(o, labels(), reduction="none").mean(),
        CE,
        N,
    ),
    "reduced over a dimension": (
        lambda o: functional.cross_entropy(o, labels(), reduction="none").mean(dim=0),
        CE,
        N,
    ),
    "summed afterwards": (
        lambda o: functional.cross_entropy(o, labels(), reduction="none").sum(),
        LossSpec("cross_entropy", "sum"),
        1,
    ),
    "a sum over n": (
        lambda o: functional.cross_entropy(o, labels(), reduction="sum") / N,
        CE,
        N,
    ),
    "nll of log_softmax": (lambda o: functional.nll_loss(o.log_softmax(-1), labels()), CE, N),
    "a reshaped loss": (lambda o: functional.cross_entropy(o, labels()).reshape(1), CE, N),
    "mse": (lambda o: functional.mse_loss(o, values()), LossSpec("mse", "mean"), N),
    "mse sum": (
        lambda o: functional.mse_loss(o, values(), reduction="sum"),
        LossSpec("mse", "sum"),
        1,
    ),
    "flattened mse": (
        lambda o: functional.mse_loss(o.flatten(), values().flatten()),
        LossSpec("mse", "mean"),
        N,
    ),
    "bce": (
        lambda o: functional.binary_cross_entropy_with_logits(o, values()),
        LossSpec("bce_with_logits", "mean"),
        N,
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_losses(name: str) -> None:
    loss, spec, factor = NAMED[name]
    assert read(loss)[:2] == (factor, spec)


def test_the_labels_are_the_ones_used() -> None:
    targets = read(lambda o: functional.cross_entropy(o, (labels() + 1) % C))[2]
    assert targets is not None
    assert torch.equal(targets, (labels() + 1) % C)


WEIGHTS = torch.tensor([1.0, 2.0, 5.0])
UNNAMED: dict[str, tuple[Loss, float]] = {
    "class weights": (
        lambda o: functional.cross_entropy(o, labels(), weight=WEIGHTS),
        float(WEIGHTS[labels()].sum()),
    ),
    "an ignored class": (lambda o: functional.cross_entropy(o, labels(), ignore_index=1), 4),
    "ignored, reduced afterwards": (
        lambda o: functional.cross_entropy(o, labels(), ignore_index=1, reduction="none").mean(),
        N,
    ),
    "class probabilities": (lambda o: functional.cross_entropy(o, values().softmax(1)), N),
    "a temperature": (lambda o: functional.cross_entropy(o / 2, labels()), N),
    "nll of something else": (lambda o: functional.nll_loss(o, labels()), N),
    "bce weights": (
        lambda o: functional.binary_cross_entropy_with_logits(o, values(), pos_weight=WEIGHTS),
        N,
    ),
    "bce of probabilities": (
        lambda o: functional.binary_cross_entropy(o.sigmoid(), values()),
        N,
    ),
    "labels from the model": (lambda o: functional.mse_loss(values(), o), N),
    "one output of three": (lambda o: functional.mse_loss(o[:, 0], values()[:, 0]), N),
    "turned outputs": (lambda o: functional.mse_loss(o.T, values().T.contiguous()), N),
    "smooth l1": (lambda o: functional.smooth_l1_loss(o, values()), N),
    "by hand": (lambda o: ((o - values()) ** 2).mean(), N),
    "by hand in two steps": (lambda o: ((o - values()) ** 2).sum(1).mean(), N),
    "minus a mean": (lambda o: -o.log_softmax(1)[torch.arange(N), labels()].mean(), N),
}


@pytest.mark.parametrize("name", UNNAMED)
def test_other_losses_have_a_factor_but_no_name(name: str) -> None:
    loss, factor = UNNAMED[name]
    found, spec, _ = read(loss)
    assert found == pytest.approx(factor, rel=1e-6)
    assert spec is None


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda o: functional.cross_entropy(o, labels()) / 4, "multiplied by 0.25"),
        (lambda o: 8 * functional.mse_loss(o, values()), "multiplied by 8"),
        (lambda o: functional.mse_loss(o, values()) + o.norm(), "can't be read"),
        (
            lambda o: functional.cross_entropy(o, labels(), label_smoothing=0.1),
            "can't be read",
        ),
        (lambda o: o.logsumexp((0, 1)), "can't be read"),
        (lambda o: 1 / functional.mse_loss(o, values()), "can't be read"),
        (lambda o: functional.mse_loss(o, values()) * o[0, 0], "can't be read"),
    ],
)
def test_what_cannot_be_read_names_the_argument(loss: Loss, message: str) -> None:
    with pytest.raises(CaptureError, match=f"{message}.*criterion="):
        read(loss)


@pytest.mark.parametrize(
    ("loss", "criterion", "factor", "spec"),
    [
        (lambda o: functional.cross_entropy(o, labels()) / 4, nn.CrossEntropyLoss(), 4 * N, CE),
        (lambda o: 1024.0 * functional.mse_loss(o, values()), nn.MSELoss(), N / 1024, None),
        (
            lambda o: torch.tensor(2.0) * functional.mse_loss(o, values(), reduction="sum"),
            nn.MSELoss(reduction="sum"),
            0.5,
            LossSpec("mse", "sum"),
        ),
        (
            lambda o: functional.cross_entropy(o, labels(), label_smoothing=0.1),
            nn.CrossEntropyLoss(label_smoothing=0.1),
            N,
            None,
        ),
        (
            lambda o: functional.mse_loss(o, values(), reduction="sum") / 7,
            LossSpec("mse", "mean"),
            N,
            LossSpec("mse", "mean"),
        ),
        (lambda o: functional.mse_loss(o, values()) * N, nn.MSELoss(reduction="sum"), 1, None),
    ],
)
def test_a_criterion_tells_what_the_graph_does_not(
    loss: Loss, criterion: object, factor: float, spec: LossSpec | None
) -> None:
    found, name, _ = read(loss, criterion)
    assert found == pytest.approx(factor, rel=1e-6)
    assert spec is None or name == spec


def test_a_criterion_that_contradicts_the_graph_is_refused() -> None:
    with pytest.raises(CaptureError, match="reduces by 'sum', but the loss was reduced by 'mean'"):
        read(lambda o: functional.mse_loss(o, values()), nn.MSELoss(reduction="sum"))


def test_a_criterion_of_another_kind_is_refused() -> None:
    with pytest.raises(CaptureError, match="criterion= is cross_entropy, but the loss is mse"):
        read(lambda o: functional.mse_loss(o, values()), nn.CrossEntropyLoss())


@pytest.mark.parametrize("criterion", [functional.mse_loss, nn.MSELoss(reduction="none")])
def test_a_criterion_without_a_reduction_is_refused(criterion: object) -> None:
    with pytest.raises(CaptureError, match="'mean' or 'sum'"):
        read(lambda o: functional.mse_loss(o, values()), criterion)


def test_terms_that_samples_cannot_share_are_refused() -> None:
    with pytest.raises(CaptureError, match="averages 5 terms, which 6 samples"):
        read(lambda o: functional.mse_loss(o[:5, 0], values()[:5, 0]))


def test_a_loss_of_tokens_belongs_to_its_sequences() -> None:
    outputs = nn.Linear(4, C)(torch.randn(N, 5, 4))
    output = ModelOutput(outputs.grad_fn, tuple(outputs.shape))
    targets = torch.randint(0, C, (N, 5))
    loss = functional.cross_entropy(outputs.reshape(N * 5, C), targets.flatten())
    found = resolve(read_loss(loss, output), N)
    assert (found.factor, found.spec) == (N, None)


def test_without_the_models_output_a_loss_has_no_name() -> None:
    found = resolve(read_loss(functional.mse_loss(outputs_of_a_model(), values()), None), N)
    assert (found.factor, found.spec) == (N, None)
