"""Whose gradients a batch brings, and what TrainingContext refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import Tensor, nn
from torch.nn import functional

from tests.attribution.capture.loops import (
    C,
    D,
    Memory,
    Twin,
    assert_near,
    mlp,
    none_reduced,
    refused,
)
from tests.naive import gradients as naive
from traceprop.attribution.capture.context import TrainingContext
from traceprop.errors import CaptureWarning
from traceprop.interop.torch import SampleDataset, dataset


class Pair(nn.Module):
    """Calls its layers by parts, and on inputs of its own making."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(D, 4), nn.Linear(4, C)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).tanh())


def test_where_samples_are_unknown_it_says_so(data: SampleDataset) -> None:
    model = Pair()
    Xb, yb = data[:8]
    cases: dict[str, Callable[[], Tensor]] = {
        "didn't come from tp.torch.dataset": lambda: model(Xb.plain()),
        "mixed its rows": lambda: model(Xb.sort(0).values),
        "a part of the model was called by itself": lambda: model.head(model.body(Xb).tanh()),
        "rewritten in place": lambda: model(data[:8][0].copy_(Xb.flip(0))),
    }
    for message, outputs in cases.items():
        with refused(rf"{message}.*samples="), TrainingContext(model, Memory()) as ctx:
            ctx.backward(functional.cross_entropy(outputs(), yb))
        store = Memory()
        with TrainingContext(model, store) as ctx:
            ctx.backward(functional.cross_entropy(outputs(), yb), samples=np.arange(8))
        assert_array_equal(store.ids, np.arange(8))


def test_an_earlier_forward_pass_lends_its_samples_to_nobody(data: SampleDataset) -> None:
    model = Pair()
    Xb, yb = data[:8]
    with refused("samples="), TrainingContext(model, Memory()) as ctx:
        model(data[8:16][0])
        ctx.backward(functional.cross_entropy(model.head(model.body(Xb.plain())), yb))


def test_validation_in_between_and_an_earlier_batch_are_told_apart(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    twin = Twin(model, data, none_reduced)
    with TrainingContext(model, store) as ctx:
        first, second = data[:8], data[8:20]
        outputs = model(first[0])
        with torch.no_grad():
            model(second[0])
        model(second[0]).sum().backward()
        model.zero_grad()
        loss = functional.cross_entropy(outputs, first[1])
        twin.see(first[0].sample_ids)
        ctx.backward(loss)
    assert_array_equal(store.ids, np.arange(8))
    assert_near(store.gradients, twin.sums[:8])


def test_a_loss_of_two_batches_is_refused(data: SampleDataset) -> None:
    model = mlp()
    with refused("several batches"), TrainingContext(model, Memory()) as ctx:
        outputs = model(data[:8][0]) + model(data[8:16][0])
        ctx.backward(functional.cross_entropy(outputs, data[:8][1]))


def test_a_loss_of_the_same_batch_twice_adds_both(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    Xb, yb = data[:8]
    with TrainingContext(model, store) as ctx:
        ctx.backward(functional.cross_entropy(model(Xb) + model(2 * Xb), yb))
    expected = naive.gradients(model, data.inputs[:8], yb, lambda o, t: none_reduced(o, t))
    assert expected.shape == store.gradients.shape

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            return self.model(x) + self.model(2 * x)

    assert_near(store.gradients, naive.gradients(Both(), data.inputs[:8], yb, none_reduced))


def test_a_second_data_set_is_refused(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    other = dataset(np.ones((4, D)), np.zeros(4))
    with refused("more than one data set"), TrainingContext(model, store) as ctx:
        for Xb, yb in (data[:4], other[:4]):
            ctx.backward(functional.cross_entropy(model(Xb), yb))
    assert store.events == ["prepare", "close"]


@pytest.mark.parametrize(
    "samples", [[[1, 2]], [0.5, 1.0], [-1, 2], [], ["a"], [2**31, 1], torch.tensor([True, False])]
)
def test_samples_that_are_no_rows_are_refused(data: SampleDataset, samples: Any) -> None:
    model = mlp()
    with refused("samples="), TrainingContext(model, Memory()) as ctx:
        ctx.backward(
            functional.cross_entropy(model(data.inputs[:2]), torch.zeros(2).long()), 0, samples
        )


def test_samples_that_contradict_the_batch_are_refused(data: SampleDataset) -> None:
    model = mlp()
    Xb, yb = data[:4]
    with (
        refused("other samples"),
        TrainingContext(model, Memory()) as ctx,
    ):
        ctx.backward(functional.cross_entropy(model(Xb), yb), samples=[3, 2, 1, 0])


def test_an_exception_commits_nothing_and_removes_the_hooks(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    with refused("lost", KeyError), TrainingContext(model, store) as ctx:
        ctx.backward(functional.cross_entropy(model(data[:4][0]), data[:4][1]))
        raise KeyError("lost")
    assert store.events == ["prepare", "close"]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


MISUSES: dict[str, tuple[Callable[[TrainingContext, SampleDataset], object], str]] = {
    "nothing recorded": (lambda ctx, data: None, "call ctx.backward"),
    "no scalar": (lambda ctx, data: ctx.backward(ctx.model(data[:4][0])), "scalar loss"),
    "no graph": (lambda ctx, data: ctx.backward(torch.tensor(1.0)), "scalar loss"),
    "another model": (
        lambda ctx, data: ctx.backward(functional.cross_entropy(mlp()(data[:4][0]), data[:4][1])),
        "call the model that the context was made with",
    ),
    "not finite": (
        lambda ctx, data: ctx.backward(
            functional.cross_entropy(ctx.model(data[:4][0]) * float("nan"), data[:4][1])
        ),
        "the gradient of sample 0 isn't finite",
    ),
    "unfrozen": (
        lambda ctx, data: (
            ctx.model[0].requires_grad_(False),  # type: ignore[index]
            ctx.backward(functional.cross_entropy(ctx.model(data[:4][0]), data[:4][1])),
        ),
        "frozen or unfrozen",
    ),
    "another loss": (
        lambda ctx, data: (
            ctx.backward(functional.cross_entropy(ctx.model(data[:4][0]), data[:4][1])),
            ctx.backward(functional.mse_loss(ctx.model(data[:4][0]), torch.zeros(4, C))),
        ),
        "the loss changed from cross_entropy",
    ),
    "entered twice": (lambda ctx, data: ctx.__enter__(), "records once"),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_has_one_clear_error(data: SampleDataset, name: str) -> None:
    misuse, message = MISUSES[name]
    store = Memory()
    with refused(message), TrainingContext(mlp(), store) as ctx:
        misuse(ctx, data)
    assert "commit" not in store.events


def test_a_context_that_was_not_entered() -> None:
    with refused("with TrainingContext"):
        TrainingContext(mlp(), Memory()).backward(torch.ones(1))


def test_a_layer_without_a_rule_is_refused_before_the_store_is_touched() -> None:
    store = Memory()
    with refused("LSTM"), TrainingContext(nn.LSTM(3, 4), store):
        pass
    assert store.events == []


class Behind(nn.Module):
    """Attention that uses a layer's weight without calling the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(D, C)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.layer.weight) + self.layer(x)


def test_a_weight_used_behind_its_layers_back_is_found(data: SampleDataset) -> None:
    model = Behind()
    with refused(r"layer.weight don't add up"), TrainingContext(model, Memory()) as ctx:
        ctx.backward(functional.cross_entropy(model(data[:4][0]), data[:4][1]))


def test_batch_norm_in_training_is_warned_about_once(data: SampleDataset) -> None:
    model, store = nn.Sequential(nn.Linear(D, 4), nn.BatchNorm1d(4), nn.Linear(4, C)), Memory()
    with TrainingContext(model, store) as ctx:
        with pytest.warns(CaptureWarning, match=r"1 \(BatchNorm1d\)") as caught:
            ctx.backward(functional.cross_entropy(model(data[:8][0]), data[:8][1]))
        assert caught[0].filename == __file__
        ctx.backward(functional.cross_entropy(model(data[:8][0]), data[:8][1]))
    parameters = list(model.parameters())
    total = torch.autograd.grad(
        functional.cross_entropy(model(data[:8][0]), data[:8][1], reduction="sum"), parameters
    )
    flat = torch.cat([g.flatten() for g in total]).numpy()
    assert_near(store.gradients.sum(0), 2 * flat)
