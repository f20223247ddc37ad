"""Scores from stores of each format, of several runs, and after an erasure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import traceprop as tp
from traceprop.attribution import GradientStore, TrainingContext, compute_influence_scores
from traceprop.attribution.store.erasure.forget import ForgetSet

N, D = 60, 5


def _data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, D)).astype(np.float32)
    return tp.torch.dataset(x, (x[:, 0] > 0).astype(np.int64))


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(D, 8), nn.ReLU(), nn.Linear(8, 2))


def _train(model: nn.Module, store: GradientStore, epochs: int = 2) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.01)
    loader = torch.utils.data.DataLoader(_data(), batch_size=16)
    with TrainingContext(model, store) as ctx:
        for _ in range(epochs):
            for i, (x, y) in enumerate(loader):
                optimizer.zero_grad()
                ctx.backward(nn.functional.cross_entropy(model(x), y), batch_idx=i)
                optimizer.step()


def _scores(model: nn.Module, store: GradientStore, method: str) -> dict[int, float]:
    found = compute_influence_scores(model, store, np.ones(D, np.float32), method=method)
    return dict(zip(found.all_samples.tolist(), found.all_scores.tolist(), strict=True))


@pytest.mark.parametrize("method", ["influence", "dot"])
@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_scores_hardly_depend_on_the_format(tmp_path: Path, dtype: str, method: str):
    found = []
    for name in ("float32", dtype):
        model = _model()
        store = GradientStore(k=32, path=tmp_path / name, dtype=name)
        _train(model, store)
        found.append(
            np.array(list(_scores(model, GradientStore.open(store.path), method).values()))
        )
    assert np.corrcoef(*found)[0, 1] > 0.999


def test_epochs_in_two_contexts_are_scored_as_in_one(tmp_path: Path):
    once, model = GradientStore(k=32, path=tmp_path / "once"), _model()
    _train(model, once, epochs=3)
    twice, other = GradientStore(k=32, path=tmp_path / "twice"), _model()
    _train(other, twice, epochs=1)
    more = GradientStore(path=twice.path, append=True)
    _train(other, more, epochs=2)
    np.testing.assert_allclose(more.gradients, once.gradients, rtol=1e-4, atol=1e-6)
    for method in ("influence", "dot", "ggn"):
        one, two = _scores(model, once, method), _scores(other, more, method)
        np.testing.assert_allclose(list(one.values()), list(two.values()), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", ["influence", "dot", "ggn", "trak"])
def test_what_was_erased_has_no_score_and_no_part_in_others(tmp_path: Path, method: str):
    store, model = GradientStore(k=32, path=tmp_path / "grad"), _model()
    _train(model, store)
    assert store.erase(ForgetSet(np.array([3, 40]), {}, store)).clean
    scores = _scores(model, GradientStore.open(store.path), method)
    assert sorted(scores) == sorted(set(range(N)) - {3, 40})
    assert np.isfinite(list(scores.values())).all()
