"""TrainingContext beside what training loops use: mixed precision, checkpointing, hooks, copies."""

from __future__ import annotations

import gc
from typing import Any

import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tests.attribution.capture.loops import (
    C,
    D,
    Memory,
    assert_near,
    mlp,
    none_reduced,
)
from tests.naive import gradients as naive
from traceprop.attribution.capture.context import TrainingContext
from traceprop.attribution.capture.recorder import Call
from traceprop.curvature.losses import LossSpec
from traceprop.interop.torch import SampleDataset


def record(model: nn.Module, data: SampleDataset, n: int = 10) -> Memory:
    store = Memory()
    Xb, yb = data[:n]
    with TrainingContext(model, store) as ctx:
        ctx.backward(functional.cross_entropy(model(Xb), yb))
    return store


def expected(model: nn.Module, data: SampleDataset, n: int = 10) -> Any:
    return naive.gradients(model, data.inputs[:n], data.targets[:n], none_reduced)  # type: ignore[index]


def test_autocast(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    Xb, yb = data[:10]
    with TrainingContext(model, store) as ctx:
        with torch.autocast("cpu", torch.bfloat16):
            loss = functional.cross_entropy(model(Xb), yb)
        ctx.backward(loss)
    exact = expected(model, data)
    # bfloat16 keeps 8 bits: a relative error of 2⁻⁸ in each factor, against the largest entry.
    assert_allclose(store.gradients, exact, rtol=0, atol=0.03 * abs(exact).max())
    assert store.record.loss == LossSpec("cross_entropy", "mean")


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(D, 8), nn.Tanh()), nn.Linear(8, C)
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        return self.head(checkpoint(self.body, x, use_reentrant=self.reentrant))


def test_gradient_checkpointing(data: SampleDataset) -> None:
    model = Checkpointed(reentrant=False)
    assert_near(record(model, data).gradients, expected(model, data))


def test_sparse_embedding_gradients() -> None:
    model, store = nn.Sequential(nn.Embedding(9, 3, sparse=True), nn.Flatten()), Memory()
    tokens, targets = torch.randint(0, 9, (6, 1)), torch.randint(0, 3, (6,))
    with TrainingContext(model, store) as ctx:
        for _ in range(2):
            loss = functional.cross_entropy(model(tokens), targets)
            ctx.backward(loss, samples=range(6))
    model[0].sparse = False
    assert_near(store.gradients, 2 * naive.gradients(model, tokens, targets, none_reduced))


def test_parameters_with_hooks_of_their_own(data: SampleDataset) -> None:
    model = mlp()
    model[0].weight.register_hook(lambda g: g.clamp(-1e-4, 1e-4))
    store = record(model, data)
    model[0].weight._backward_hooks.clear()
    assert_near(store.gradients, expected(model, data))


def test_a_reconstruction_loss_has_the_inputs_as_labels(data: SampleDataset) -> None:
    model, store = nn.Sequential(nn.Linear(D, 2), nn.Linear(2, D)), Memory()
    Xb, _ = data[:10]
    with TrainingContext(model, store) as ctx:
        ctx.backward(functional.mse_loss(model(Xb), Xb))
    assert store.record.loss == LossSpec("mse", "mean")
    assert_array_equal(store.record.targets[:10], data.inputs[:10])


def test_a_second_backward_pass_through_a_kept_graph(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    Xb, yb = data[:10]
    with TrainingContext(model, store) as ctx:
        outputs = model(Xb)
        functional.cross_entropy(outputs, yb).backward(retain_graph=True)
        model.zero_grad()
        ctx.backward(functional.cross_entropy(outputs, yb))
    assert_near(store.gradients, expected(model, data))


def test_a_model_that_is_one_layer(data: SampleDataset) -> None:
    model = nn.Linear(D, C)
    assert_near(record(model, data).gradients, expected(model, data))


def test_a_graph_that_goes_takes_what_was_kept_with_it(data: SampleDataset) -> None:
    model = mlp()
    Xb, yb = data[:10]
    with TrainingContext(model, Memory()) as ctx:
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                ctx.backward(functional.cross_entropy(model(Xb), yb))
                model(Xb).sum()
            model(Xb.plain())
            model(Xb)
            alive = [item for item in gc.get_objects() if type(item) is Call]
        finally:
            gc.enable()
        assert len(alive) <= 2  # of the last forward pass, whose loss may still come
