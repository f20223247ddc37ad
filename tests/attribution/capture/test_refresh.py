"""`store.refresh`: rows at the final weights, in the place of those of the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Subset

from tests.attribution.capture.loops import C, D, N, make_data, mlp, none_reduced
from tests.naive import gradients as naive
from traceprop.attribution import GradientStore, TrainingContext
from traceprop.curvature.losses import LossSpec
from traceprop.errors import CaptureError, StoreError
from traceprop.interop.torch import SampleDataset, dataset


def recorded(path: Path, data: SampleDataset, k: int = 4096, **options: Any) -> nn.Module:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with TrainingContext(model, GradientStore(k=k, path=path), **options) as ctx:
        for _ in range(2):
            for Xb, yb in DataLoader(Subset(data, range(3, N)), 16, shuffle=True):
                optimizer.zero_grad()
                ctx.backward(functional.cross_entropy(model(Xb), yb))
                optimizer.step()
    return model


OPTIONS: dict[str, dict[str, Any]] = {
    "identity": {},
    "sjlt": {"k": 20},
    "factors of each pass": {"epochs": "each", "projection": "factors"},
    "last layer": {"variant": "last-layer"},
    "batch mean": {"variant": "batch-mean"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_rows_are_those_of_the_final_weights(tmp_path: Path, name: str) -> None:
    data = make_data()
    model = recorded(tmp_path / "grad", data, **OPTIONS[name])
    store = GradientStore.open(tmp_path / "grad")
    before = np.array(store.gradients)
    store.refresh(model)
    names = [block.name for block in store.projector.blocks]
    assert data.targets is not None
    rows = naive.gradients(model, data.inputs, data.targets, none_reduced, names)
    expected = store.projector.linear().project(rows)[3:]
    again = GradientStore.open(tmp_path / "grad")
    for each in (store, again):
        assert_array_equal(each.sample_ids, np.arange(3, N))
        assert_allclose(each.gradients, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert not np.allclose(before, expected)
    assert again.verify().ok
    assert again.record is not None
    assert again.record.epochs == 2


def test_data_and_loss_may_be_given(tmp_path: Path) -> None:
    data = make_data()
    model = recorded(tmp_path / "grad", data)
    store = GradientStore.open(tmp_path / "grad")
    rows = []
    pair = (data.inputs, data.targets)
    for loss in (None, LossSpec("cross_entropy", "sum"), nn.CrossEntropyLoss(), none_reduced):
        store.refresh(model, pair if loss is None else data, loss)
        rows.append(np.array(store.gradients))
    for other in rows[1:]:
        assert_allclose(other, rows[0], rtol=0, atol=1e-6)


def test_what_can_not_be_refreshed(tmp_path: Path) -> None:
    data = make_data()
    model = recorded(tmp_path / "grad", data)
    store = GradientStore.open(tmp_path / "grad")
    before = sorted(path.name for path in (tmp_path / "grad").rglob("*"))
    other = dataset(np.ones((N, D)), np.zeros(N))
    for data_, loss, message in (
        (other, None, "other inputs"),
        ((data.inputs, np.zeros(N, int)), None, "other labels"),
        ((data.inputs[:5], data.targets[:5]), None, "other inputs"),  # type: ignore[index]
        ("train.csv", None, "data= is a str"),
        (None, nn.CrossEntropyLoss(label_smoothing=0.1), "reduction='none'"),
        (None, "ce", "loss= is a str"),
    ):
        with pytest.raises(CaptureError, match=message):
            store.refresh(model, data_, loss)
    with pytest.raises(StoreError, match="another model"):
        store.refresh(nn.Sequential(nn.Linear(D, 8), nn.ReLU(), nn.Linear(8, C)))
    assert sorted(path.name for path in (tmp_path / "grad").rglob("*")) == before
    with pytest.raises(StoreError, match=r"holds no run|no store"):
        GradientStore(path=tmp_path / "none").refresh(model)
