"""Per-sample gradients from hooks against autograd on one sample at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torch.nn import functional

from tests.naive import gradients as naive
from traceprop.attribution.capture.gradients import flat_gradients, project_gradients
from traceprop.attribution.capture.recorder import blocks_of, layers_of
from traceprop.attribution.projection import Projector
from traceprop.curvature.losses import LossSpec
from traceprop.errors import CaptureError

N = 6


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs.flatten(1), targets, reduction="none")


class Tied(nn.Module):
    """An embedding whose weight is also the last layer's, and a layer that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8, padding_idx=0)
        self.mix = nn.Linear(8, 8)
        self.out = nn.Linear(8, 11)
        self.out.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = torch.tanh(self.mix(self.embed(tokens)))
        return self.out(torch.relu(self.mix(x)).mean(1))


class ByKeyword(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(input=x)


def frozen_parts() -> nn.Module:
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.Linear(6, 3))
    model[0].requires_grad_(False)
    model[2].bias.requires_grad_(False)
    return model


def floats(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(N, *shape)


def tokens(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randint(0, 11, (N, *shape))


def trained_norm() -> nn.Module:
    norm = nn.BatchNorm1d(4)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return nn.Sequential(nn.Linear(5, 4), norm, nn.ReLU(), nn.Linear(4, 3))


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "linear": (lambda: nn.Linear(5, 3), floats(5)),
    "linear without bias": (lambda: nn.Linear(5, 3, bias=False), floats(5)),
    "mlp": (
        lambda: nn.Sequential(nn.Linear(5, 9), nn.ReLU(inplace=True), nn.Linear(9, 3)),
        floats(5),
    ),
    "linear over a sequence": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.GELU(), nn.Linear(4, 2), nn.Flatten()),
        floats(3, 2, 5),
    ),
    "layer norm": (
        lambda: nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 3), nn.LayerNorm(3, bias=False)),
        floats(5),
    ),
    "layer norm of two dimensions": (
        lambda: nn.Sequential(nn.LayerNorm((4, 5)), nn.Flatten(), nn.Linear(20, 3)),
        floats(4, 5),
    ),
    "layer norm over a sequence": (
        lambda: nn.Sequential(nn.LayerNorm(5), nn.Flatten(), nn.Linear(20, 3)),
        floats(4, 5),
    ),
    "batch norm in evaluation": (trained_norm, floats(5)),
    "conv2d": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
        ),
        floats(3, 8, 8),
    ),
    "conv2d with groups, dilation and another shape": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 6, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(2, 1), groups=2),
            nn.GroupNorm(3, 6),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(24, 3),
        ),
        floats(4, 7, 6),
    ),
    "depthwise conv2d, same, reflected": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 4, (4, 3), padding="same", padding_mode="reflect", groups=4),
            nn.Flatten(),
            nn.Linear(4 * 25, 3),
        ),
        floats(4, 5, 5),
    ),
    "conv1d, circular": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 5, 3, padding=2, padding_mode="circular"), nn.Flatten(), nn.Linear(50, 3)
        ),
        floats(2, 8),
    ),
    "conv1d, valid, strided": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 4, 2, stride=3, padding="valid"), nn.Flatten(), nn.Linear(12, 3)
        ),
        floats(2, 9),
    ),
    "embedding": (
        lambda: nn.Sequential(nn.Embedding(11, 4), nn.Flatten(), nn.Linear(12, 3)),
        tokens(3),
    ),
    "embedding of one token": (
        lambda: nn.Sequential(nn.Embedding(11, 4), nn.Linear(4, 3)),
        tokens(),
    ),
    "shared weights, a layer twice": (Tied, tokens(5)),
    "frozen parameters": (frozen_parts, floats(5)),
    "called by keyword": (ByKeyword, floats(5)),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(3)
    build, inputs = CASES[request.param]
    return build().eval(), inputs(), torch.randint(0, 3, (N,))


def assert_near(actual: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    scale = np.abs(expected).max()
    assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)


def test_gradients_are_those_of_one_sample_at_a_time(
    case: tuple[nn.Module, Tensor, Tensor],
) -> None:
    model, inputs, targets = case
    expected = naive.gradients(model, inputs, targets, cross_entropy)
    assert_near(flat_gradients(model, inputs, targets, cross_entropy), expected, 1e-5)


def test_in_float64_they_agree_to_rounding(case: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, inputs, targets = case
    model = model.double()
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    expected = naive.gradients(model, inputs, targets, cross_entropy)
    actual = flat_gradients(model, inputs, targets, cross_entropy)
    assert actual.dtype == np.float64
    assert_near(actual, expected, 1e-12)


@pytest.mark.parametrize("k", [16, 50])
def test_projecting_factors_is_projecting_the_gradient(
    case: tuple[nn.Module, Tensor, Tensor], k: int
) -> None:
    model, inputs, targets = case
    projector = Projector(blocks_of(model), k, seed=5, repetitions=2)
    expected = projector.project(naive.gradients(model, inputs, targets, cross_entropy))
    actual = project_gradients(model, inputs, targets, cross_entropy, projector)
    assert_near(actual, expected, 1e-4)  # float32 through an FFT and sums in another order


def test_as_torch_func_has_them() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 4))
    inputs, targets = torch.randn(30, 20), torch.randint(0, 4, (30,))
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        outputs = torch.func.functional_call(model, parameters, (x[None],))
        return functional.cross_entropy(outputs, y[None])

    parts = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(parameters, inputs, targets)
    expected = torch.cat([part.flatten(1) for part in parts.values()], 1).numpy()
    actual = flat_gradients(model, inputs, targets, LossSpec("cross_entropy", "mean"))
    assert_near(actual, expected, 1e-5)


def test_a_margin_in_more_than_one_chunk_and_the_model_as_it_was() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), nn.ReLU(), nn.Linear(5, 3)).train()
    model[3].weight.grad = torch.ones(3, 5)
    inputs, targets = torch.randn(300, 4), torch.randint(0, 3, (300,))

    def margin(outputs: Tensor, classes: Tensor) -> Tensor:
        return outputs.gather(1, classes[:, None])[:, 0] - outputs.mean(1)

    actual = flat_gradients(model, inputs.numpy(), targets.numpy(), margin)
    assert model.training
    assert model[1].training
    assert not model[0]._forward_hooks
    assert torch.equal(model[3].weight.grad, torch.ones(3, 5))
    assert model[0].weight.grad is None
    assert_near(actual, naive.gradients(model.eval(), inputs, targets, margin), 1e-5)


def test_last_layer_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Bilinear(2, 2, 2), nn.Linear(2, 3), nn.ReLU())
    assert [b.name for b in blocks_of(model, "last-layer")] == ["1.weight", "1.bias"]
    tail = model[1:]
    inputs, targets = torch.randn(N, 2), torch.randint(0, 3, (N,))
    expected = naive.gradients(tail, inputs, targets, cross_entropy)
    assert_near(
        flat_gradients(tail, inputs, targets, cross_entropy, variant="last-layer"), expected, 1e-5
    )


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3))
        self.layer = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.layer(x)


class Doubled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Functional(nn.Module):
    """Uses a layer's weight once through the layer and once behind its back."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(self.layer(x), self.layer.weight)


class SequenceFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.transpose(0, 1)).mean(0)


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (Scaled(), (5,), r"the model \(Scaled\) has parameters of its own \(gain\)"),
        (Doubled(5, 3), (5,), "Doubled"),
        (nn.Sequential(nn.Linear(5, 3), nn.PReLU()), (5,), r"1 \(PReLU\).*requires_grad_\(False\)"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(5, 3)), (5,), "no rule"),
        (nn.LazyLinear(3), (5,), "run the model on one batch first"),
        (Functional(), (5,), r"layer\.weight don't add up"),
        (SequenceFirst(), (4, 5), r"layer ran on a tensor of shape \(4, 6, 5\).*6 samples"),
        (nn.Embedding(11, 3, scale_grad_by_freq=True), (), "scale_grad_by_freq"),
        (nn.ReLU(), (5,), "no trainable parameter"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_has_no_per_sample_gradient_is_refused_by_name(
    model: nn.Module, shape: tuple[int, ...], message: str
) -> None:
    inputs = torch.randn(N, *shape) if shape else torch.randint(0, 11, (N,))
    with pytest.raises(CaptureError, match=message):
        flat_gradients(model, inputs, torch.zeros(N).long(), cross_entropy)


def test_a_function_that_mixes_samples_into_one_value_is_refused() -> None:
    with pytest.raises(CaptureError, match="one value a sample"):
        flat_gradients(nn.Linear(2, 2), torch.randn(3, 2), torch.zeros(3), lambda o, t: o.sum())


def test_another_model_than_the_projectors_is_refused() -> None:
    blocks = blocks_of(nn.Linear(3, 2))
    with pytest.raises(CaptureError, match="give the model that was recorded"):
        layers_of(nn.Linear(4, 2), blocks)


def test_no_samples_give_no_rows() -> None:
    result = flat_gradients(
        nn.Linear(3, 2), torch.empty(0, 3), torch.empty(0).long(), cross_entropy
    )
    assert result.shape == (0, 8)
