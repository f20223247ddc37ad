"""TrainingContext in ordinary loops: rows of gradients, and training that it leaves alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.optimizer import _global_optimizer_post_hooks
from torch.utils.data import DataLoader, WeightedRandomSampler

from tests.attribution.capture.loops import (
    C,
    D,
    Memory,
    N,
    Twin,
    assert_near,
    mlp,
    none_reduced,
    refused,
    train,
)
from tests.naive import gradients as naive
from traceprop.attribution.capture.context import TrainingContext
from traceprop.curvature.digest import model_digest
from traceprop.curvature.losses import LossSpec
from traceprop.interop.torch import SampleDataset


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("zero_grad", [True, False])
def test_rows_are_sums_of_single_samples_gradients(
    data: SampleDataset, reduction: str, zero_grad: bool
) -> None:
    model, store = mlp(), Memory()
    twin = Twin(model, data, none_reduced)
    loader = DataLoader(data, batch_size=16, shuffle=True)
    with TrainingContext(model, store, epochs="sum") as ctx:
        train(ctx, twin, loader, nn.CrossEntropyLoss(reduction=reduction), zero_grad=zero_grad)
    assert store.projector.kind == "identity"
    assert_array_equal(store.ids, np.arange(N))
    assert store.gradients.dtype == np.float32
    assert_near(store.gradients, twin.sums)


def test_the_last_visit_alone(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    twin = Twin(model, data, none_reduced)
    sampler = WeightedRandomSampler([1.0] * N, 70, replacement=True)
    with TrainingContext(model, store, epochs="last") as ctx:
        train(ctx, twin, DataLoader(data, 10, sampler=sampler), nn.CrossEntropyLoss())
    assert len(store.ids) < N or np.array_equal(store.ids, np.arange(N))
    assert_near(store.gradients, twin.last[store.ids])


def test_repeated_samples_in_a_batch_add_up(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    twin = Twin(model, data, none_reduced)
    with TrainingContext(model, store) as ctx:
        train(ctx, twin, [data[[5, 5, 0, 39]]], nn.CrossEntropyLoss())
    assert_array_equal(store.ids, [0, 5, 39])
    assert_near(store.gradients, twin.sums[store.ids])


LOSSES: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], LossSpec | None]] = {
    "class weights": (
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0, 0.5])),
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0, 0.5]), reduction="none"),
        None,
    ),
    "an ignored class": (
        nn.CrossEntropyLoss(ignore_index=1),
        nn.CrossEntropyLoss(ignore_index=1, reduction="none"),
        None,
    ),
    "reduced by hand": (
        lambda o, t: none_reduced(o, t).mean(),
        none_reduced,
        LossSpec("cross_entropy", "mean"),
    ),
    "one hot mse": (
        lambda o, t: functional.mse_loss(o, functional.one_hot(t, C).float()),
        lambda o, t: ((o - functional.one_hot(t, C)) ** 2).mean(1),
        LossSpec("mse", "mean"),
    ),
    "one hot mse, summed": (
        lambda o, t: functional.mse_loss(o, functional.one_hot(t, C).float(), reduction="sum"),
        lambda o, t: ((o - functional.one_hot(t, C)) ** 2).sum(1),
        LossSpec("mse", "sum"),
    ),
    "logistic on one output": (
        lambda o, t: functional.binary_cross_entropy_with_logits(o[:, 0], (t > 0).float()),
        lambda o, t: functional.softplus(o[:, 0]) - o[:, 0] * (t > 0),
        None,
    ),
    "margin loss": (
        nn.MultiMarginLoss(),
        nn.MultiMarginLoss(reduction="none"),
        None,
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_other_losses(data: SampleDataset, name: str) -> None:
    criterion, of_sample, spec = LOSSES[name]
    model, store = mlp(), Memory()
    twin = Twin(model, data, of_sample)
    with TrainingContext(model, store) as ctx:
        train(ctx, twin, DataLoader(data, 16, shuffle=True), criterion)
    assert_near(store.gradients, twin.sums)
    assert store.record.loss == spec


def test_projected_rows_are_the_projection_of_the_gradients(data: SampleDataset) -> None:
    model, store = mlp(), Memory(k=10)
    twin = Twin(model, data, none_reduced)
    with TrainingContext(model, store) as ctx:
        train(ctx, twin, DataLoader(data, 16, shuffle=True), nn.CrossEntropyLoss())
    assert (store.projector.kind, store.projector.seed) == ("sjlt", 7)
    expected = store.projector.project(twin.sums)
    assert_allclose(store.gradients, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_the_last_layer_and_frozen_parameters(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    model[0].bias.requires_grad_(False)
    full = Memory()
    batch = data[:10]
    with TrainingContext(model, full) as ctx:
        ctx.backward(functional.cross_entropy(model(batch[0]), batch[1]))
    with TrainingContext(model, store, variant="last-layer") as ctx:
        ctx.backward(functional.cross_entropy(model(batch[0]), batch[1]))
    assert [b.name for b in full.projector.blocks] == ["0.weight", "2.weight", "2.bias"]
    assert [b.name for b in store.projector.blocks] == ["2.weight", "2.bias"]
    assert_near(store.gradients, full.gradients[:, D * 8 :])


def test_gradient_accumulation_and_scaling_with_a_criterion(data: SampleDataset) -> None:
    model, store, plain = mlp(), Memory(), Memory()
    criterion = nn.CrossEntropyLoss()
    with TrainingContext(model, plain) as ctx:
        for start in (0, 20):
            ctx.backward(criterion(model(data[start : start + 20][0]), data[start : start + 20][1]))
    with TrainingContext(model, store, criterion=criterion) as ctx:
        for start in (0, 20):
            Xb, yb = data[start : start + 20]
            ctx.backward(1024 * (criterion(model(Xb), yb) / 2))
    assert_near(store.gradients, plain.gradients)
    assert store.record.loss == LossSpec("cross_entropy", "mean")
    with refused(r"multiplied by 0\.5.*criterion="), TrainingContext(model, Memory()) as ctx:
        ctx.backward(criterion(model(data[:4][0]), data[:4][1]) / 2)


def test_training_is_the_same_as_without_and_leaves_no_hook(data: SampleDataset) -> None:
    plain, watched = mlp(), mlp()
    states = []
    for model in (plain, watched):
        torch.manual_seed(5)
        optimizer = torch.optim.Adam(model.parameters(), 1e-2, weight_decay=0.1)
        loader = DataLoader(data, 16, shuffle=True)

        def steps(
            backward: Callable[[Tensor], None], model: nn.Module, loader: Any, o: Any
        ) -> None:
            for Xb, yb in loader:
                o.zero_grad()
                backward(functional.cross_entropy(model(Xb), yb))
                o.step()

        if model is plain:
            steps(Tensor.backward, model, loader, optimizer)
        else:
            with TrainingContext(model, Memory()) as ctx:
                steps(ctx.backward, model, loader, optimizer)
        states.append(model_digest(model))
    assert states[0] == states[1]
    for module in watched.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._forward_hooks_with_kwargs
    assert not _global_optimizer_post_hooks


def test_a_copy_of_the_model_made_meanwhile_is_an_ordinary_model(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    Xb, yb = data[:8]
    with TrainingContext(model, store) as ctx:
        outputs = model(Xb)
        best = copy.deepcopy(model)
        functional.cross_entropy(best(Xb), yb).backward()
        ctx.backward(functional.cross_entropy(outputs, yb))
    assert_near(store.gradients, naive.gradients(model, data.inputs[:8], yb, none_reduced))
    assert torch.equal(best(data.inputs), model(data.inputs))


def test_swapped_arguments_are_named() -> None:
    with refused(r"takes the model and then its store, and got a Memory and a Sequential"):
        TrainingContext(Memory(), mlp())  # type: ignore[arg-type]
    with refused(r"got a Sequential and a str; write TrainingContext\(model, GradientStore"):
        TrainingContext(mlp(), "./grad")  # type: ignore[arg-type]
