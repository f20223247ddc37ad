"""`tracin`: the sum over checkpoints, what keeps them, and what is refused."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from tests.naive import tracin as naive
from traceprop.attribution import (
    ForgetSet,
    GradientStore,
    TrainingContext,
    compute_influence_scores,
    from_sklearn,
)
from traceprop.attribution.influence import influence_matrix
from traceprop.errors import AttributionError, CaptureError, StoreError

N, D = 24, 4
RATES = [0.4, 0.2, 0.1]


def _data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, D)).astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy((x[:, 0] > x[:, 1]).astype(np.int64))


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(D, 5), nn.Tanh(), nn.Linear(5, 2))


def _batches(per_pass: int) -> list[list[np.ndarray]]:
    draw = np.random.default_rng(1)
    return [np.array_split(draw.permutation(N), per_pass) for _ in RATES]


def _train(path, batches, *, make=torch.optim.SGD, model=None, data=None, mode=None, **options):
    x, y = data or _data()
    model = model or _model()
    store = GradientStore(path=path, **(mode or {}))
    options = {"epochs": "each", "keep_weights": True} | options
    optimizer = make(model.parameters(), lr=1.0)
    with TrainingContext(model, store, **options) as ctx:
        for of_pass, rate in zip(batches, RATES, strict=True):
            optimizer.param_groups[0]["lr"] = rate
            for i, batch in enumerate(of_pass):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
                ctx.backward(loss, batch_idx=i, samples=batch)
                optimizer.step()
    return model, GradientStore.open(path)


QUERIES = np.random.default_rng(5).standard_normal((3, D))


@pytest.mark.parametrize("per_pass", [1, 3])
def test_scores_are_the_sum_over_the_passes(tmp_path, per_pass):
    batches = _batches(per_pass)
    model, store = _train(tmp_path / "grad", batches)
    found = influence_matrix(model, store, QUERIES, method="tracin")
    x, y = _data()
    want = naive.trained(_model(), x, y, batches, RATES, QUERIES, found.targets.tolist())
    np.testing.assert_allclose(found.scores, want, rtol=1e-3, atol=1e-5 * np.abs(want).max())
    assert found.quality.unit == "relative"
    rates = [each.checkpoint.learning_rate for each in store.checkpoints(weights=True)]
    np.testing.assert_allclose(rates, RATES)


def test_of_one_step_a_pass_the_scores_add_up_to_what_training_did(tmp_path):
    """To first order in the steps: −η ∇f·ḡ summed is f after training less f before."""
    rates = [0.01 * rate for rate in RATES]
    x, y = _data()
    model, store = _model(), GradientStore(path=tmp_path / "grad")
    before = model(torch.from_numpy(QUERIES).float())
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with TrainingContext(model, store, epochs="each", keep_weights=True) as ctx:
        for rate in rates:
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            ctx.backward(nn.functional.cross_entropy(model(x), y), samples=np.arange(N))
            optimizer.step()
    after = model(torch.from_numpy(QUERIES).float())
    moved = (after - before).detach().double().numpy()
    scores = influence_matrix(model, store, QUERIES, method="tracin", target=1).scores
    np.testing.assert_allclose(scores.sum(axis=1) / N, moved[:, 1] - moved[:, 0], rtol=0.05)


def test_passes_that_are_named_count_and_no_others(tmp_path):
    batches = _batches(2)
    model, store = _train(tmp_path / "some", batches, epochs=[1, 3])
    whole = _train(tmp_path / "all", batches)[1]
    found = influence_matrix(model, store, QUERIES, method="tracin").scores
    every = influence_matrix(model, whole, QUERIES, method="tracin").scores
    second = _train(tmp_path / "second", batches, epochs=[2])[1]
    alone = influence_matrix(model, second, QUERIES, method="tracin").scores
    np.testing.assert_allclose(found + alone, every, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_formats_and_projections(tmp_path, dtype):
    batches = _batches(2)
    model, exact = _train(tmp_path / "exact", batches)
    _, coarse = _train(tmp_path / "coarse", batches, mode={"dtype": dtype})
    scores = [influence_matrix(model, s, QUERIES, method="tracin").scores for s in (exact, coarse)]
    assert np.corrcoef(scores[0].ravel(), scores[1].ravel())[0, 1] > 0.999


def test_two_runs_on_the_same_data_add_up(tmp_path):
    batches = _batches(2)
    model, store = _train(tmp_path / "grad", batches)
    first = influence_matrix(model, store, QUERIES, method="tracin", target=1).scores
    model, store = _train(tmp_path / "grad", batches, model=model, mode={"append": True})
    _, alone = _train(tmp_path / "alone", batches, model=_again(batches))
    second = influence_matrix(model, alone, QUERIES, method="tracin", target=1).scores
    both = influence_matrix(model, store, QUERIES, method="tracin", target=1).scores
    np.testing.assert_allclose(both, first + second, rtol=1e-4, atol=1e-7)


def _again(batches):
    """The model as the first run leaves it."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return _train(f"{folder}/grad", batches)[0]


def test_an_erasure_drops_the_weights_and_says_so(tmp_path):
    model, store = _train(tmp_path / "grad", _batches(2))
    files = list(store.path.rglob("checkpoint_weights.npy"))
    assert len(files) == 1
    assert [part["keeps_weights"] for part in store.info()["parts"]] == [True]
    erasure = store.erase(ForgetSet(np.array([3]), {}, store))
    assert erasure.clean
    assert sum("checkpoint" in name for name in erasure.dropped) == 2
    assert not list(store.path.rglob("checkpoint*"))
    opened = GradientStore.open(store.path)
    assert opened.verify().ok
    assert [part["keeps_weights"] for part in opened.info()["parts"]] == [False]
    with pytest.raises(StoreError, match=r"an erasure drops them.*keep_weights=True"):
        compute_influence_scores(model, opened, QUERIES[0], method="tracin")
    assert len(compute_influence_scores(model, opened, QUERIES[0], top_k=N)) == N - 1


def test_of_runs_without_data_of_their_own_the_weights_go_too(tmp_path):
    batches = _batches(1)
    model, _ = _train(tmp_path / "grad", batches)
    _, store = _train(tmp_path / "grad", batches, model=model, mode={"append": True})
    assert len(list(store.path.rglob("checkpoint_weights.npy"))) == 2
    assert store.erase(ForgetSet(np.array([3]), {}, store)).clean
    assert not list(store.path.rglob("checkpoint*"))


def test_a_damaged_file_is_named(tmp_path):
    model, store = _train(tmp_path / "grad", _batches(1))
    (path,) = store.path.rglob("checkpoint_weights.npy")
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(StoreError, match="store verify"):
        compute_influence_scores(model, GradientStore.open(store.path), QUERIES[0], method="tracin")


def test_stores_without_what_it_needs_name_the_argument(tmp_path):
    batches = _batches(1)
    model, store = _train(tmp_path / "plain", batches, keep_weights=False)
    with pytest.raises(StoreError, match=r"weights of pass 1.*keep_weights=True"):
        compute_influence_scores(model, store, QUERIES[0], method="tracin")
    model, store = _train(tmp_path / "sum", batches, epochs="sum", keep_weights=False)
    with pytest.raises(StoreError, match=r"one row a sample.*epochs='each', keep_weights=True"):
        compute_influence_scores(model, store, QUERIES[0], method="tracin")
    with pytest.raises(CaptureError, match="epochs='each' or a list"):
        TrainingContext(model, store, keep_weights=True)
    with pytest.raises(CaptureError, match="epochs='each' or a list"):
        TrainingContext(model, store, epochs="last", keep_weights=True)


def test_learning_rates_that_are_not_one(tmp_path):
    def two_groups(parameters, lr):
        first, *others = parameters
        groups = [{"params": [first], "lr": 0.5}, {"params": others, "lr": lr}]
        return torch.optim.SGD(groups[::-1])

    model, store = _train(tmp_path / "grad", _batches(1), make=two_groups)
    with pytest.raises(StoreError, match="learning rate of pass 1 isn't known"):
        compute_influence_scores(model, store, QUERIES[0], method="tracin")


def test_an_optimizer_that_scales_steps_is_said(tmp_path):
    def notes(name, make):
        model, store = _train(tmp_path / name, _batches(1), make=make)
        scores = compute_influence_scores(model, store, QUERIES[0], method="tracin")
        return " ".join(scores.quality.notes)

    assert "Adam scales the step" in notes("adam", torch.optim.Adam)
    assert "momentum" in notes("heavy", functools.partial(torch.optim.SGD, momentum=0.9))
    assert "learning rate" not in notes("plain", torch.optim.SGD)


def test_scikit_learn_has_no_checkpoints(tmp_path):
    x, y = (each.numpy() for each in _data())
    estimator = LogisticRegression().fit(x, y)
    store = from_sklearn(estimator, x, y, tmp_path / "grad")
    with pytest.raises(AttributionError, match="use method='influence'"):
        compute_influence_scores(estimator, store, QUERIES[0], method="tracin")


def test_no_optimizer_seen_is_no_learning_rate(tmp_path):
    x, y = _data()
    model, store = _model(), GradientStore(path=tmp_path / "grad")
    with TrainingContext(model, store, epochs="each", keep_weights=True) as ctx:
        ctx.backward(nn.functional.cross_entropy(model(x), y), samples=np.arange(N))
    with pytest.raises(StoreError, match="optimizer="):
        compute_influence_scores(model, store, QUERIES[0], method="tracin")
