"""Scores and removals from runs that a real training loop recorded in a real store."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.utils.data import DataLoader

import traceprop as tp
from tests.naive.curvature import flat
from tests.naive.retrain import leave_one_out_margins, retrained, retrained_weights
from traceprop.attribution import ForgetSet, GradientStore, TrainingContext, predict_without
from traceprop.attribution.influence import compute_influence_scores
from traceprop.attribution.model_files import restore_model
from traceprop.errors import UnlearnError
from traceprop.unlearning import approximate_unlearn, record

PENALTY = 1e-2


def _data() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    large = np.flatnonzero(X[:, 3] > 0)[:200]
    return X[large], y[large]


def _train(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, epochs: int = 60):
    X, y = _data()
    torch.manual_seed(0)
    loader = DataLoader(tp.torch.dataset(X, y), batch_size=20, shuffle=True)
    criterion = nn.CrossEntropyLoss()
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    store = GradientStore(k=4096, path=path)
    with TrainingContext(model, store) as context:
        for _ in range(epochs):
            for inputs, labels in loader:
                optimizer.zero_grad()
                context.backward(criterion(model(inputs), labels))
                optimizer.step()
            schedule.step()
    return store


def _forget(store: GradientStore, *samples: int) -> ForgetSet:
    return ForgetSet(np.array(samples, dtype=np.int64), {}, store)


@pytest.fixture(scope="module")
def softmax(tmp_path_factory):
    torch.manual_seed(1)
    model = nn.Linear(30, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=PENALTY)
    return model, _train(tmp_path_factory.mktemp("run") / "grad", model, optimizer, epochs=200)


def test_scores_of_a_recorded_run_agree_with_retraining(softmax):
    model, store = softmax
    X, y = _data()
    query = X[np.argmin(np.abs(X.sum(axis=1)))]
    scores = compute_influence_scores(model, store, query, top_k=200)
    assert scores.quality.unit == "margin"
    chosen = [sample for sample, _ in scores[:10]] + list(range(0, 200, 8))
    exact = leave_one_out_margins(X, y, query, chosen, penalty=PENALTY)
    by_sample = dict(scores)
    assert np.corrcoef([by_sample[s] for s in chosen], exact)[0, 1] > 0.99
    assert chosen[int(np.argmax(exact))] == scores[0][0]


def test_removal_from_a_recorded_run_is_within_its_bound(softmax):
    model, store = softmax
    X, y = _data()
    new = approximate_unlearn(model, _forget(store, 3, 50, 120))
    keep = np.setdiff1d(np.arange(200), [3, 50, 120])
    inputs = X.astype(np.float32).astype(np.float64)
    want = retrained_weights(inputs[keep], y[keep], penalty=PENALTY)
    theta = torch.cat([p.detach().double().reshape(-1) for p in new.parameters()]).numpy()
    done = record(new)
    assert np.linalg.norm(theta - want) <= done.bound < 1e-5
    assert "SGD(weight_decay=0.01)" in done.reason
    assert done.figures["start_to_own_minimum_bound"] < 1.0


def test_a_restored_model_gives_the_same_answers(softmax):
    model, store = softmax
    again = GradientStore.open(store.path)
    query = _data()[0][7]
    here = compute_influence_scores(model, store, query)
    there = compute_influence_scores(restore_model(again), again, query)
    assert here == there


def test_decoupled_decay_is_no_penalty(tmp_path):
    torch.manual_seed(1)
    model = nn.Linear(30, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0.1)
    store = _train(tmp_path / "grad", model, optimizer, epochs=5)
    scores = compute_influence_scores(model, store, _data()[0][7])
    assert scores.quality.unit == "relative"
    done = record(approximate_unlearn(model, _forget(store, 3)))
    assert done.removal_class == "approximate-unguaranteed"
    assert "AdamW" in done.reason
    assert done.objective["penalty"] is None


def test_a_network_by_every_method(tmp_path):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=1e-3)
    store = _train(tmp_path / "grad", model, optimizer, epochs=5)
    model.train()
    for method in ("influence", "ggn", "trak", "dot"):
        assert len(compute_influence_scores(model, store, _data()[0][7], method=method)) == 20
    new = approximate_unlearn(model, _forget(store, 3, 4))
    assert new.training
    assert model.training
    assert record(new).removal_class == "approximate-unguaranteed"


def test_a_frozen_body_stays_as_it_is(tmp_path):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(30, 8), nn.Tanh(), nn.Linear(8, 2))
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model[2].parameters(), lr=0.5, weight_decay=1e-2)
    store = _train(tmp_path / "grad", model, optimizer, epochs=5)
    assert len(compute_influence_scores(model, store, _data()[0][7])) == 20
    new = approximate_unlearn(model, _forget(store, 3, 4))
    assert torch.equal(new[0].weight, model[0].weight)
    assert not torch.equal(new[2].weight, model[2].weight)


@pytest.mark.parametrize("bias", [True, False])
def test_a_head_on_a_frozen_body_ends_where_retraining_does(tmp_path, bias):
    torch.manual_seed(1)
    body = nn.Sequential(nn.Linear(30, 8), nn.Tanh()).requires_grad_(False)
    model = nn.Sequential(body, nn.Linear(8, 2, bias=bias))
    optimizer = torch.optim.SGD(model[1].parameters(), lr=0.5, weight_decay=1e-2)
    store = _train(tmp_path / "grad", model, optimizer, epochs=5)
    new = approximate_unlearn(model, _forget(store, 3, 4))
    done = record(new)
    assert done.removal_class == "exact-convex"
    assert "last layer" in done.reason
    assert torch.equal(new[0][0].weight, model[0][0].weight)
    X, y = _data()
    keep = np.delete(np.arange(len(X)), [3, 4])
    with torch.no_grad():
        features = body(torch.from_numpy(X[keep]).float()).double()
    head, labels = copy.deepcopy(model[1]).double(), torch.from_numpy(y[keep])
    want = retrained(head, features, labels, "cross_entropy", "mean", 1e-2)
    assert float((flat(new[1]).double() - want).norm()) <= done.bound + 1e-9
    assert done.bound < 1e-5


def test_a_body_that_is_not_the_same_at_each_visit_has_no_such_head(tmp_path):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(30, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model[2].parameters(), lr=0.5, weight_decay=1e-2)
    store = _train(tmp_path / "grad", model, optimizer, epochs=2)
    forget_set = _forget(store, 3, 4)
    assert record(approximate_unlearn(model, forget_set)).method == "gauss-newton"
    with pytest.raises(UnlearnError, match="isn't linear"):
        approximate_unlearn(model, forget_set, method="exact-convex")


def test_a_run_with_augmentation_is_not_exact(tmp_path: Path):
    """What is stored are the last inputs seen, and no objective of these was minimised."""
    X, y = _data()
    torch.manual_seed(0)
    model = nn.Linear(30, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=PENALTY)
    data = tp.torch.dataset(X, y)
    store = GradientStore(k=4096, path=tmp_path / "grad")
    with TrainingContext(model, store) as context:
        for _ in range(2):
            for ids in torch.randperm(len(X)).split(50):
                inputs, labels = data[ids]
                optimizer.zero_grad()
                noisy = inputs + 0.1 * torch.randn(len(ids), 30)
                context.backward(nn.functional.cross_entropy(model(noisy), labels), samples=ids)
                optimizer.step()
    opened = GradientStore.open(store.path)
    assert not opened.record.fixed_data
    done = record(approximate_unlearn(model, _forget(opened, 3)))
    assert done.removal_class == "approximate-unguaranteed"
    assert "augmentation" in done.reason


@pytest.fixture
def small_network(tmp_path):
    """A network of 60 samples, trained on all of them at once until little is left to gain."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 4)).astype(np.float32)
    y = (X[:, 0] + 0.5 * rng.standard_normal(60) > 0).astype(np.int64)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=0.02)
    criterion, store = nn.CrossEntropyLoss(), GradientStore(k=64, path=tmp_path / "grad")
    loader = DataLoader(tp.torch.dataset(X, y), batch_size=60)
    with TrainingContext(model, store, epochs="last") as context:
        for _ in range(1500):
            for inputs, labels in loader:
                optimizer.zero_grad()
                context.backward(criterion(model(inputs), labels))
                optimizer.step()
    return model, store


def test_a_removal_after_an_erasure_leaves_out_what_was_erased(small_network):
    """The given model still has the erased samples; a step for the others alone would keep them."""
    model, store = small_network
    first, second = (3, 5, 11, 20, 21, 22, 23, 24), (7,)

    def removed(*samples: int) -> np.ndarray:
        return flat(approximate_unlearn(model, _forget(store, *samples), method="gauss-newton"))

    joint, alone = removed(*first, *second), removed(*second)
    store.erase(_forget(store, *first))
    store = GradientStore.open(store.path)
    new = approximate_unlearn(model, _forget(store, *second), method="gauss-newton")
    assert np.linalg.norm(flat(new) - joint) < 0.02 * np.linalg.norm(alone - joint)
    assert any("erased from the store before" in limit for limit in record(new).limits)
    with pytest.raises(UnlearnError, match="erased from the store before"):
        approximate_unlearn(model, _forget(store, *second), method="ascent", eta=0.1, steps=1)


def test_a_counterfactual_after_an_erasure_is_about_its_own_samples(small_network):
    """The decision at hand is of the model that still has the erased samples."""
    model, store = small_network
    x = np.ones((1, 4), np.float32)
    before = predict_without(model, store, x, samples=[7]).margins_without
    store.erase(_forget(store, 3, 5, 11))
    store = GradientStore.open(store.path)
    after = predict_without(model, store, x, samples=[7]).margins_without
    np.testing.assert_allclose(after, before, rtol=0.1)
