"""What TrainingContext records beside the gradients: data, loss, penalty, epochs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Subset

from tests.attribution.capture.loops import (
    C,
    D,
    Memory,
    N,
    assert_near,
    mlp,
    none_reduced,
)
from tests.naive import gradients as naive
from traceprop.attribution.capture.context import TrainingContext
from traceprop.attribution.projection import Projector
from traceprop.curvature.digest import model_digest
from traceprop.curvature.losses import LossSpec
from traceprop.interop.torch import SampleDataset, tensor


def test_the_record(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-3)
    other = torch.optim.Adam(mlp().parameters())
    loader = DataLoader(data, batch_size=16, shuffle=True, drop_last=True)
    with TrainingContext(model, store) as ctx:
        for _ in range(3):
            for Xb, yb in loader:
                optimizer.zero_grad()
                ctx.backward(functional.cross_entropy(model(Xb), yb))
                optimizer.step()
                other.step()
    record = store.record
    assert store.events == ["prepare", "commit", "close"]
    assert_array_equal(record.inputs, data.inputs.numpy())
    assert_array_equal(record.targets, data.targets.numpy())  # type: ignore[union-attr]
    assert record.loss == LossSpec("cross_entropy", "mean")
    assert (record.penalty, record.penalty_origin) == (1e-3, "SGD(weight_decay=0.001)")
    assert record.optimizer["name"] == "SGD"
    assert (record.optimizer["lr"], record.optimizer["momentum"]) == (0.1, 0.9)
    assert (record.epochs, record.batch_size) == (3, 16)
    for name, value in before.items():
        assert_array_equal(record.initial_weights[name], value)
        assert_array_equal(record.final_weights[name], model.state_dict()[name].numpy())
    assert record.model_digest == model_digest(model)
    assert record.architecture["type"] == "Sequential"
    assert store.tensors is None


@pytest.mark.parametrize(
    ("make", "penalty", "origin"),
    [
        (lambda p: torch.optim.Adam(p, weight_decay=0.5), 0.5, "Adam(weight_decay=0.5)"),
        (lambda p: torch.optim.SGD(p, 0.1), 0.0, "SGD(weight_decay=0)"),
        (lambda p: torch.optim.AdamW(p), None, "beside the gradient"),
        (lambda p: torch.optim.AdamW(p, weight_decay=0), 0.0, "AdamW(weight_decay=0)"),
        (lambda p: torch.optim.LBFGS(p), 0.0, "LBFGS has no weight_decay"),
        (
            lambda p: torch.optim.SGD([{"params": [p[0]]}, {"params": p[1:], "weight_decay": 0.1}]),
            None,
            "different weight_decay",
        ),
        (lambda p: torch.optim.SGD(p[:1], weight_decay=0.1), None, "different weight_decay"),
        (lambda p: torch.optim.SGD(p, weight_decay=0.1, maximize=True), None, "SGD maximises"),
    ],
)
def test_the_penalty_is_the_optimizers(
    data: SampleDataset, make: Callable[..., Any], penalty: float | None, origin: str
) -> None:
    model, store = mlp(), Memory()
    with TrainingContext(model, store, optimizer=make(list(model.parameters()))) as ctx:
        ctx.backward(functional.cross_entropy(model(data[:8][0]), data[:8][1]))
    assert store.record.penalty == penalty
    assert origin in store.record.penalty_origin
    assert store.record.optimizer["decoupled"] == ("AdamW" in store.record.optimizer["name"])


@pytest.mark.parametrize("n_optimizers", [0, 2])
def test_without_one_optimizer_the_penalty_is_unknown(
    data: SampleDataset, n_optimizers: int
) -> None:
    model, store = mlp(), Memory()
    optimizers = [torch.optim.SGD(model.parameters(), 0.1) for _ in range(n_optimizers)]
    with TrainingContext(model, store) as ctx:
        ctx.backward(functional.cross_entropy(model(data[:8][0]), data[:8][1]))
        for optimizer in optimizers:
            optimizer.step()
    assert store.record.penalty is store.record.optimizer is None
    assert "optimizer=..." in store.record.penalty_origin


@pytest.mark.parametrize("is_given", [False, True])
@pytest.mark.parametrize("back", [False, True])
def test_a_penalty_that_changed_on_the_way_is_no_penalty(
    data: SampleDataset, is_given: bool, back: bool
) -> None:
    """It used to be read once, at the end."""
    model, store = mlp(), Memory()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.01)
    with TrainingContext(model, store, optimizer=optimizer if is_given else None) as ctx:
        for epoch in range(3):
            optimizer.param_groups[0]["weight_decay"] = 0.5 if epoch == 1 else 0.01
            if epoch < 2 or back:
                ctx.backward(functional.cross_entropy(model(data[:8][0]), data[:8][1]))
                optimizer.step()
    assert store.record.penalty is None
    assert store.record.penalty_origin == (
        "the penalty changed during the training: SGD(weight_decay=0.01), then "
        "SGD(weight_decay=0.5)"
    )
    assert store.record.optimizer["name"] == "SGD"


def test_another_optimizer_beside_the_one_that_was_named(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    named = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.01)
    other = torch.optim.SGD(model[2].parameters(), 0.1)
    with TrainingContext(model, store, optimizer=named) as ctx:
        ctx.backward(functional.cross_entropy(model(data[:8][0]), data[:8][1]))
        named.step()
        other.step()
    assert store.record.penalty is None
    assert store.record.penalty_origin == "2 optimizers seen stepping the model"


def test_an_optimizer_without_a_number_for_its_decay_trains_on(data: SampleDataset) -> None:
    class Own(torch.optim.Optimizer):
        def step(self, closure: Any = None) -> None:
            with torch.no_grad():
                for parameter in self.param_groups[0]["params"]:
                    parameter -= 0.1 * parameter.grad

    model, store = mlp(), Memory()
    optimizer = Own(model.parameters(), {"weight_decay": None})
    with TrainingContext(model, store) as ctx:
        ctx.backward(functional.cross_entropy(model(data[:8][0]), data[:8][1]))
        optimizer.step()
    assert store.record.penalty is None
    assert "Own doesn't say its weight_decay" in store.record.penalty_origin


def test_another_models_optimizer_is_none_of_ours(data: SampleDataset) -> None:
    model, store, other = mlp(), Memory(), nn.Linear(2, 2)
    ours = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.01)
    theirs = torch.optim.SGD(other.parameters(), 0.1, weight_decay=0.7)
    with TrainingContext(model, store) as ctx:
        ctx.backward(functional.cross_entropy(model(data[:8][0]), data[:8][1]))
        ours.step()
        theirs.step()
    assert store.record.penalty == 0.01


def test_what_the_model_and_the_loss_saw_is_what_is_recorded(data: SampleDataset) -> None:
    """Inputs scaled and labels turned into numbers in the loop, not in the data set."""
    model, store = nn.Linear(D, 1), Memory()
    with TrainingContext(model, store) as ctx:
        for Xb, yb in DataLoader(data, 16, shuffle=True):
            outputs = model(2 * Xb).squeeze(1)
            ctx.backward(functional.binary_cross_entropy_with_logits(outputs, (yb > 0).float()))
    assert_array_equal(store.record.inputs, 2 * data.inputs.numpy())
    assert_array_equal(store.record.targets, (data.targets.numpy() > 0).astype(np.float32))  # type: ignore[union-attr]
    assert store.record.loss == LossSpec("bce_with_logits", "mean")


def test_a_subset_leaves_the_other_samples_without_a_row(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    chosen = [3, 30, 8, 21]
    with TrainingContext(model, store) as ctx:
        for Xb, yb in DataLoader(Subset(data, chosen), 3):
            ctx.backward(functional.cross_entropy(model(Xb), yb))
    assert_array_equal(store.ids, sorted(chosen))
    assert len(store.record.inputs) == N


def test_given_samples_without_a_data_set() -> None:
    model, store = mlp(), Memory()
    X, y = torch.randn(30, D), torch.randint(0, C, (30,))
    with TrainingContext(model, store) as ctx:
        for ids in torch.randperm(30).split(8):
            loss = functional.cross_entropy(model(X[ids]), y[ids])
            ctx.backward(loss, samples=ids)
    assert_near(store.gradients, naive.gradients(model, X, y, none_reduced))
    assert_array_equal(store.record.inputs, X)
    assert_array_equal(store.record.targets, y)
    assert store.record.epochs == 1


def test_all_rows_at_once_from_a_tensor(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    X = tensor(data.inputs)
    with TrainingContext(model, store) as ctx:
        for _ in range(2):
            ctx.backward(functional.cross_entropy(model(X), data.targets))
    assert_array_equal(store.record.targets, data.targets.numpy())  # type: ignore[union-attr]
    assert (store.record.epochs, store.record.batch_size) == (2, N)


@pytest.mark.parametrize(
    ("noise", "relabel", "fixed"), [(0.0, 0, True), (0.1, 0, False), (0.0, 1, False)]
)
@pytest.mark.parametrize("tracked", [True, False])
def test_data_that_change_between_visits_are_noticed(
    data: SampleDataset, noise: float, relabel: int, fixed: bool, tracked: bool
) -> None:
    model, store = mlp(), Memory()
    with TrainingContext(model, store) as ctx:
        for epoch in range(2):
            for ids in np.random.default_rng(epoch).permutation(N).reshape(-1, N // 2):
                x, y = data[ids]
                x = x if tracked else torch.Tensor(x.numpy() + 1)  # not the data set's own values
                shifted = x + epoch * noise if noise else x
                loss = functional.cross_entropy(model(shifted), (y + epoch * relabel) % C)
                ctx.backward(loss, samples=ids)
    assert store.record.fixed_data is fixed


def test_an_input_that_no_array_holds_is_recorded_as_nothing(data: SampleDataset) -> None:
    model, store = nn.Sequential(nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(4, C)), Memory()
    with TrainingContext(model, store) as ctx:
        for ids, length in ((range(4), 6), (range(4, 8), 9)):
            x = torch.randn(4, 1, length)
            ctx.backward(
                functional.cross_entropy(model(x), torch.zeros(4).long()), samples=list(ids)
            )
    assert store.record.inputs.shape == (8, 0)
    assert store.record.targets.shape == (8,)


def test_epochs_are_counted_by_batch_numbers_or_by_samples_that_return(
    data: SampleDataset,
) -> None:
    for numbered in (True, False):
        model, store = mlp(), Memory()
        with TrainingContext(model, store) as ctx:
            for _ in range(4):
                for i, (Xb, yb) in enumerate(DataLoader(data, 16, shuffle=True)):
                    loss = functional.cross_entropy(model(Xb), yb)
                    ctx.backward(loss, batch_idx=i if numbered else None)
        assert store.record.epochs == 4


def test_the_projector_is_the_one_that_queries_can_rebuild(data: SampleDataset) -> None:
    model, store = mlp(), Memory(k=12)
    with TrainingContext(model, store) as ctx:
        ctx.backward(functional.cross_entropy(model(data[:8][0]), data[:8][1]))
    assert Projector.from_json(store.projector.to_json()) == store.projector
