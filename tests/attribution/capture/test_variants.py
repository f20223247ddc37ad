"""What a sample's row is: by layers, by batch, by pass, by projection; and at which scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

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
from traceprop.attribution.capture.recipe import check_recipe, describe_recipe
from traceprop.errors import AttributionError, CaptureError
from traceprop.interop.torch import SampleDataset


class Lstm(nn.Module):
    """A model of layers that have no rule."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, C)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x[:, :, None])[0][:, -1])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("build", [mlp, Lstm])
def test_batch_means(data: SampleDataset, build: Callable[[], nn.Module], reduction: str) -> None:
    model, store = build(), Memory()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    expected = np.zeros((N, sum(p.numel() for p in model.parameters())))
    with TrainingContext(model, store, variant="batch-mean") as ctx:
        for Xb, yb in DataLoader(data, 16, shuffle=True):
            ids = Xb.sample_ids
            rows = naive.gradients(model, data.inputs[ids], data.targets[ids], none_reduced)  # type: ignore[index]
            expected[ids] += rows.mean(0)
            # Nothing is cleared: what accumulates isn't the batch's.
            ctx.backward(functional.cross_entropy(model(Xb), yb, reduction=reduction))
            optimizer.step()
    assert_near(store.gradients, expected)
    assert [b.name for b in store.projector.blocks] == [n for n, _ in model.named_parameters()]
    assert not any(p._backward_hooks for p in model.parameters())


def test_batch_means_of_named_samples_and_a_sparse_embedding() -> None:
    model, store = nn.Sequential(nn.Embedding(9, 3, sparse=True), nn.Flatten()), Memory()
    tokens, targets = torch.randint(0, 9, (6, 1)), torch.randint(0, 3, (6,))
    with TrainingContext(model, store, variant="batch-mean") as ctx:
        ctx.backward(functional.cross_entropy(model(tokens), targets), samples=range(6))
    model[0].sparse = False
    mean = naive.gradients(model, tokens, targets, none_reduced).mean(0)
    assert_near(store.gradients, np.tile(mean, (6, 1)))


@pytest.mark.parametrize("epochs", ["each", [1, 3], [2]])
def test_a_row_for_each_pass(data: SampleDataset, epochs: Any) -> None:
    model, store = mlp(), Memory()
    sums: dict[int, np.ndarray] = {}
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with TrainingContext(model, store, epochs=epochs) as ctx:
        for epoch in (1, 2, 3):
            twin = Twin(model, data, none_reduced)
            for Xb, yb in DataLoader(data, 16, shuffle=True):
                twin.see(Xb.sample_ids)
                optimizer.zero_grad()
                ctx.backward(functional.cross_entropy(model(Xb), yb))
                optimizer.step()
            sums[epoch] = twin.sums
    wanted = [1, 2, 3] if epochs == "each" else epochs
    assert list(store.by_checkpoint) == wanted
    for epoch in wanted:
        rows, ids = store.by_checkpoint[epoch]
        assert_array_equal(ids, np.arange(N))
        assert_near(rows, sums[epoch])
    assert store.record.epochs == 3


def test_a_pass_that_never_came_is_an_error(data: SampleDataset) -> None:
    store = Memory()
    with (
        refused("asks for pass 4, and the training made 2"),
        TrainingContext(mlp(), store, epochs=[2, 4]) as ctx,
    ):
        train(ctx, Twin(ctx.model, data, none_reduced), DataLoader(data, 20), nn.CrossEntropyLoss())
    assert "commit" not in store.events


@pytest.mark.parametrize("epochs", ["all", [], [0], [1.5], [2, 2], [-1]])
def test_epochs_that_mean_nothing(epochs: Any) -> None:
    with pytest.raises(CaptureError, match="epochs="):
        TrainingContext(mlp(), Memory(), epochs=epochs)


@pytest.mark.parametrize("kind", ["identity", "sjlt", "achlioptas", "factors"])
def test_kinds_of_projection(data: SampleDataset, kind: Any) -> None:
    model, store = mlp(), Memory(k=32)
    twin = Twin(model, data, none_reduced)
    with TrainingContext(model, store, epochs="last", projection=kind) as ctx:
        train(ctx, twin, DataLoader(data, 16, shuffle=True), nn.CrossEntropyLoss())
    assert store.projector.kind == kind
    if kind in ("identity", "factors"):
        assert_near(store.projector.gradients(store.gradients), twin.last)
    linear = store.projector.linear()
    expected = linear.project(twin.last)
    rows = store.projector.linear_rows(store.gradients)
    assert_allclose(rows, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_factors_that_no_row_holds(data: SampleDataset) -> None:
    for options in ({}, {"epochs": "each", "variant": "batch-mean"}):
        with pytest.raises(CaptureError, match=r"a sum over visits has none.*epochs='last'"):
            TrainingContext(mlp(), Memory(), projection="factors", **options)  # type: ignore[arg-type]
    with pytest.raises(CaptureError, match="'gauss' isn't known; give one of identity"):
        TrainingContext(mlp(), Memory(), projection="gauss")  # type: ignore[arg-type]
    sequence = nn.Sequential(
        nn.Unflatten(1, (2, 3)), nn.Linear(3, 9), nn.Flatten(), nn.Linear(18, C)
    )
    with (
        refused("1.weight has more: its layer ran on a sequence.*'sjlt'"),
        TrainingContext(sequence, Memory(), projection="factors", epochs="last") as ctx,
    ):
        ctx.backward(functional.cross_entropy(sequence(data[:8][0]), data[:8][1]))
    with (
        refused("no fewer than", AttributionError),
        TrainingContext(nn.Linear(2, 2), Memory(), projection="factors", epochs="last"),
    ):
        pass


@pytest.mark.parametrize("epochs", ["each", [1], "last"])
def test_factors_of_a_sample_that_comes_again_are_refused(data: SampleDataset, epochs: Any) -> None:
    """The product of two sums isn't the sum of two products."""
    model = mlp()
    batches = [[0, 1, 1]] if epochs == "last" else [[0, 1, 2], [3, 1]]
    with (
        refused("sample 1 came twice in pass 1.*'sjlt'"),
        TrainingContext(model, Memory(), projection="factors", epochs=epochs) as ctx,
    ):
        for i, rows in enumerate(batches):
            Xb, yb = data[rows]
            ctx.backward(functional.cross_entropy(model(Xb), yb), batch_idx=i, samples=rows)


def test_the_last_visit_of_several_ranks_is_refused() -> None:
    store = Memory()
    store.world_size = 2
    with (
        refused("for one process, and there are 2.*epochs=.10."),
        TrainingContext(mlp(), store, epochs="last"),
    ):
        pass


def test_a_scaler_is_known(data: SampleDataset) -> None:
    plain, scaled, store, twin_store = mlp(), mlp(), Memory(), Memory()
    for model, kept in ((plain, store), (scaled, twin_store)):
        scaler = torch.amp.GradScaler("cpu", enabled=model is scaled)
        optimizer = torch.optim.SGD(model.parameters(), 0.05, weight_decay=0.01)
        with TrainingContext(model, kept, scaler=scaler) as ctx:
            for Xb, yb in DataLoader(data, 16):
                optimizer.zero_grad()
                ctx.backward(scaler.scale(functional.cross_entropy(model(Xb), yb)))
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), 0.1)
                scaler.step(optimizer)
                scaler.update()
    assert_near(twin_store.gradients, store.gradients)
    assert twin_store.record.loss == store.record.loss is not None
    assert twin_store.record.penalty == 0.01
    model = mlp()
    with refused(r"multiplied by 65536.*criterion="), TrainingContext(model, Memory()) as ctx:
        ctx.backward(65536.0 * functional.cross_entropy(model(data[:4][0]), data[:4][1]))


def test_a_step_that_the_scaler_skips_is_not_recorded(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    seen, skipped = [], 0
    with TrainingContext(model, store, scaler=scaler) as ctx:
        for ids in np.arange(N).reshape(-1, 4):
            before = model[0].weight.detach().clone()
            optimizer.zero_grad()
            loss = functional.cross_entropy(100 * model(data[ids][0]), data[ids][1])
            ctx.backward(scaler.scale(loss))
            scaler.step(optimizer)
            scaler.update()
            if torch.equal(before, model[0].weight):
                skipped += 1
            else:
                seen += ids.tolist()
    assert skipped > 0
    assert_array_equal(store.ids, seen)
    assert [batch.tolist() for batch in store.record.order] == np.reshape(seen, (-1, 4)).tolist()


def test_accumulation_clipping_and_bfloat16_together(data: SampleDataset) -> None:
    model, store, criterion = mlp(), Memory(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    twin = Twin(model, data, none_reduced)
    with TrainingContext(model, store, criterion=criterion) as ctx:
        for i, (Xb, yb) in enumerate(DataLoader(data, 10, shuffle=True)):
            twin.see(Xb.sample_ids)
            with torch.autocast("cpu", torch.bfloat16):
                loss = criterion(model(Xb), yb) / 2
            ctx.backward(loss)
            if i % 2:
                nn.utils.clip_grad_value_(model.parameters(), 1e-3)
                optimizer.step()
                optimizer.zero_grad()
    assert_allclose(store.gradients, twin.sums, rtol=0, atol=0.03 * np.abs(twin.sums).max())


def test_batch_order_and_seed(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    torch.manual_seed(1234)
    batches = []
    with TrainingContext(model, store) as ctx:
        for _ in range(2):
            for Xb, yb in DataLoader(data, 16, shuffle=True):
                batches.append(Xb.sample_ids.tolist())
                ctx.backward(functional.cross_entropy(model(Xb), yb))
    assert [batch.tolist() for batch in store.record.order] == batches
    assert (len(store.record.order), store.record.seed) == (6, 1234)


def train_again(inputs: Any, targets: Any, seed: int) -> nn.Module:
    raise NotImplementedError


def test_a_recipe_is_known_by_name_and_source(data: SampleDataset) -> None:
    model, store = mlp(), Memory()
    with TrainingContext(model, store, recipe=train_again) as ctx:
        ctx.backward(functional.cross_entropy(model(data[:4][0]), data[:4][1]))
    assert ctx.recipe is train_again
    recorded = store.record.recipe
    assert recorded == describe_recipe(train_again)
    assert recorded["name"] == f"{__name__}.train_again"
    assert len(recorded["sha256"]) == 64
    check_recipe(train_again, recorded)
    with pytest.raises(CaptureError, match="needs recipe="):
        check_recipe(None, recorded)
    with pytest.raises(CaptureError, match=r"TrainingContext\(recipe="):
        check_recipe(train_again, None)
    with pytest.raises(CaptureError, match=r"recorded with .*train_again with source"):
        check_recipe(mlp, recorded)
    with pytest.raises(CaptureError, match="recipe= is a str"):
        TrainingContext(mlp(), Memory(), recipe="train.py")  # type: ignore[arg-type]
    assert describe_recipe(len) == {"name": "builtins.len", "sha256": None}


class Turned(nn.Module):
    """Puts the sequence first, as some layers want it; or doesn't."""

    def __init__(self, turns: bool) -> None:
        super().__init__()
        self.turns, self.body, self.head = turns, nn.Linear(3, 4), nn.Linear(4, C)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1) if self.turns else x
        x = self.body(x).tanh()
        return self.head((x.transpose(0, 1) if self.turns else x).mean(1))


def test_samples_that_were_turned_away_are_found_where_shapes_do_not_tell() -> None:
    """A batch of five sequences of five: their gradients add up whichever way they are told."""
    inputs, targets = torch.randn(5, 5, 3), torch.randint(0, C, (5,))
    model, store = Turned(False), Memory()
    with TrainingContext(model, store) as ctx:
        for _ in range(2):
            ctx.backward(functional.cross_entropy(model(inputs), targets), samples=range(5))
    assert_near(store.gradients, 2 * naive.gradients(model, inputs, targets, none_reduced))
    model = Turned(True)
    with (
        refused(r"body ran on a tensor of shape \(5, 5, 3\) whose first dimension isn't the samp"),
        TrainingContext(model, Memory()) as ctx,
    ):
        ctx.backward(functional.cross_entropy(model(inputs), targets), samples=range(5))


def test_square_batches_beside_batch_norm_are_warned_about_and_recorded() -> None:
    model, store = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, C)), Memory()
    with TrainingContext(model, store) as ctx:
        loss = functional.cross_entropy(model(torch.randn(8, 8)), torch.randint(0, C, (8,)))
        with pytest.warns(UserWarning, match="mixes the samples"):
            ctx.backward(loss, samples=range(8))
    assert len(store.ids) == 8


def test_learnt_keys_of_attention_are_refused() -> None:
    model = nn.MultiheadAttention(4, 2, add_bias_kv=True)
    with refused("bias_k and bias_v.*add_bias_kv=False"), TrainingContext(model, Memory()):
        pass


def test_the_last_layer_of_a_transformer_is_captured_by_parts(data: SampleDataset) -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(2, 1, dropout=0.5, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x = x.reshape(-1, 3, 2)
            return self.attend(x, x, x)[0].mean(2)

    model, store = Attends(), Memory()
    torch.manual_seed(0)
    with TrainingContext(model, store, variant="last-layer") as ctx:
        loss = functional.cross_entropy(model(data[:8][0]), data[:8][1], reduction="sum")
        ctx.backward(loss)
    assert [b.name for b in store.projector.blocks] == [
        "attend.out_proj.weight", "attend.out_proj.bias",
    ]  # fmt: skip
    # Dropout is on: the rows are of the masks that training drew.
    out = model.attend.out_proj
    total = torch.cat([out.weight.grad.flatten(), out.bias.grad.flatten()])
    assert_near(store.gradients.sum(0), total.numpy())
    with torch.no_grad():
        assert model.eval()(data.inputs).shape == (N, C)


assert D == 6
