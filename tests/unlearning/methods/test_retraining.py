"""Exact removal by the run's own recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import traceprop as tp
from traceprop.attribution import ForgetSet, GradientStore, TrainingContext
from traceprop.curvature.digest import model_digest
from traceprop.errors import UnlearnError
from traceprop.unlearning import approximate_unlearn, record

X, Y = load_digits(return_X_y=True)
X, Y = (X[:240] / 16).astype(np.float32), Y[:240]
GONE = [5, 40, 41, 200]


def train(inputs, targets, seed, context=None):
    """Five epochs of a small network with dropout, batches in random order."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    data = tp.torch.dataset(inputs, targets)
    watch = None if context is None else context(model)
    loss_of = nn.CrossEntropyLoss()
    if watch is not None:
        watch.__enter__()
    for _ in range(5):
        for ids in torch.randperm(len(inputs)).split(32):
            x, y = data[ids]
            optimizer.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward() if watch is None else watch.backward(loss)
            optimizer.step()
    if watch is not None:
        watch.__exit__(None, None, None)
    return model


def other(inputs, targets, seed):
    return train(inputs, targets, seed)


def independent(seed: int) -> nn.Module:
    """The reduced data by hand, and the same program, nothing of traceprop's removal."""
    keep = [i for i in range(len(X)) if i not in GONE]
    return train(X[keep], Y[keep], seed)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path: Path = tmp_path_factory.mktemp("run") / "grad"
    store = GradientStore(path=path)
    model = train(X, Y, 7, lambda made: TrainingContext(made, store, recipe=train))
    opened = GradientStore.open(path)
    return model, ForgetSet(np.array(GONE), {}, opened)


def test_the_result_is_an_independent_retraining_to_the_bit(run):
    model, forget_set = run
    before = torch.get_rng_state()
    new = approximate_unlearn(model, forget_set, recipe=train)
    assert torch.equal(torch.get_rng_state(), before)
    assert model_digest(new) == model_digest(independent(7))
    done = record(new)
    assert (done.method, done.removal_class, done.bound) == ("exact", "exact", None)
    assert done.recipe["seed"] == 7
    assert done.recipe["threads"] == torch.get_num_threads()
    assert done.recipe["name"].endswith("train")
    assert done.recipe["sha256"] == forget_set.store.record.recipe["sha256"]
    assert "own recipe" in done.compared_with
    assert done.n_retain == len(X) - len(GONE)
    other_seed = approximate_unlearn(model, forget_set, method="exact", recipe=train, seed=8)
    assert model_digest(other_seed) == model_digest(independent(8))
    assert record(other_seed).recipe["seed"] == 8


def test_without_the_recipe_the_record_says_what_it_would_have_given(run):
    model, forget_set = run
    done = record(approximate_unlearn(model, forget_set))
    assert done.removal_class == "approximate-unguaranteed"
    assert "With recipe=" in done.reason
    assert done.compared_with is None


def test_another_recipe_is_not_taken(run):
    model, forget_set = run
    with pytest.raises(UnlearnError, match=r"can't be trained again: recipe= is .*other"):
        approximate_unlearn(model, forget_set, recipe=other)
    with pytest.raises(UnlearnError, match="needs recipe="):
        approximate_unlearn(model, forget_set, method="exact")


def wrong(inputs, targets, seed):
    return WHAT[0](inputs, targets, seed)


WHAT = [train]
KEPT: list[nn.Module] = []


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda x, y, s: None, "returned a NoneType"),
        (lambda x, y, s: nn.Linear(64, 10), "other parameters"),
        (lambda x, y, s: KEPT[-1], "returned the model that was given"),
        (lambda x, y, s: train(X, Y, 7), "the very weights"),
        (lambda x, y, s: _broken(), "aren't finite"),
    ],
)
def test_what_a_recipe_returns_is_looked_at(tmp_path, monkeypatch, made, says):
    store = GradientStore(path=tmp_path / "grad")
    model = train(X, Y, 7, lambda new: TrainingContext(new, store, recipe=wrong))
    monkeypatch.setitem(globals(), "WHAT", [made])
    monkeypatch.setitem(globals(), "KEPT", [model])
    digest = model_digest(model)
    with pytest.raises(UnlearnError, match=says):
        approximate_unlearn(model, ForgetSet(np.array(GONE), {}, store), recipe=wrong)
    assert model_digest(model) == digest


def _broken() -> nn.Module:
    model = train(X[:32], Y[:32], 0)
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
    return model
