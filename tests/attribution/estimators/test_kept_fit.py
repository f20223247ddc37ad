"""A fit kept in the store: the same scores to the bit, and gone with the rows that it is of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import traceprop as tp
from traceprop.attribution import ForgetSet, GradientStore, TrainingContext
from traceprop.attribution.estimators import gauss_newton, kept_fit, memory, projected, trak
from traceprop.attribution.estimators.kept_moment import keep_moment
from traceprop.attribution.influence import influence_matrix
from traceprop.errors import StoreWarning

D = 6


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(D, 8), nn.Tanh(), nn.Linear(8, 3))


def _train(model, path, n, seed=0, **mode):
    draw = np.random.default_rng(seed)
    x = torch.from_numpy(draw.standard_normal((n, D)).astype(np.float32))
    y = torch.from_numpy(draw.integers(0, 3, n))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.01)
    store = GradientStore(path=path, k=48, **mode)
    with TrainingContext(model, store) as ctx:
        for _ in range(2):
            optimizer.zero_grad()
            ctx.backward(nn.functional.cross_entropy(model(x), y), samples=np.arange(n))
            optimizer.step()
    return GradientStore.open(path)


QUERIES = np.random.default_rng(9).standard_normal((3, D))


@pytest.mark.parametrize("method", ["influence", "ggn", "trak"])
@pytest.mark.parametrize("n", [20, 90], ids=["fewer samples than numbers", "more"])
def test_a_kept_fit_answers_to_the_bit_and_is_not_made_again(tmp_path, monkeypatch, method, n):
    model = _model()
    store = _train(model, tmp_path / "grad", n)
    want = influence_matrix(model, store, QUERIES, method=method)
    assert tp.attribution.fit(model, store, method) == want.quality
    assert store.verify().ok
    for module in (gauss_newton, projected, trak):
        monkeypatch.setattr(module, "_fitted", None)
    monkeypatch.setattr(memory, "free_bytes", lambda: 0)  # a factor on the disk needs no room
    again = _model()
    again.load_state_dict(model.state_dict())
    found = influence_matrix(again, GradientStore.open(store.path), QUERIES, method=method)
    np.testing.assert_array_equal(found.scores, want.scores)
    assert found.quality == want.quality


@pytest.mark.parametrize("method", ["influence", "ggn", "trak"])
def test_what_changes_the_rows_drops_the_fit(tmp_path, method):
    model = _model()
    store = _train(model, tmp_path / "grad", 30)
    tp.attribution.fit(model, store, method)
    assert kept_fit.read_fit(store, method) is not None
    files = list(store.path.glob(f"derived/*fit-{method}"))
    assert len(files) == 1
    erasure = store.erase(ForgetSet(np.array([4]), {}, store))
    assert erasure.clean
    assert any(f"fit-{method}" in name for name in erasure.dropped)
    assert not files[0].exists()
    assert kept_fit.read_fit(store, method) is None
    assert influence_matrix(model, store, QUERIES, method=method).scores.shape == (3, 29)
    tp.attribution.fit(model, store, method)
    store = _train(model, store.path, 30, seed=1, append=True)
    assert kept_fit.read_fit(store, method) is None
    assert influence_matrix(model, store, QUERIES, method=method).scores.shape == (3, 59)


def test_a_fit_of_another_version_or_model_is_made_again(tmp_path, monkeypatch):
    model = _model()
    store = _train(model, tmp_path / "grad", 30)
    want = influence_matrix(model, store, QUERIES, method="ggn").scores
    tp.attribution.fit(model, store, "ggn")
    monkeypatch.setattr(kept_fit, "VERSION", 2)
    assert kept_fit.read_fit(store, "ggn") is None
    again = _model()
    again.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(
        influence_matrix(again, store, QUERIES, method="ggn").scores, want
    )
    monkeypatch.setattr(kept_fit, "VERSION", 1)
    object.__setattr__(store.record, "model_digest", "0" * 64)
    assert kept_fit.read_fit(store, "ggn") is None


def _twin(model):
    again = _model()
    again.load_state_dict(model.state_dict())
    return again


def test_what_is_kept_is_not_written_again(tmp_path):
    model = _model()
    store = _train(model, tmp_path / "grad", 30)
    tp.attribution.fit(model, store, "ggn")
    files = list(store.path.rglob("*"))
    tp.attribution.fit(_twin(model), GradientStore.open(store.path), "ggn")
    assert list(store.path.rglob("*")) == files


def test_a_reader_whose_files_another_process_replaced_fits_by_itself(tmp_path):
    model = _model()
    store = _train(model, tmp_path / "grad", 90)
    want = {
        m: influence_matrix(model, store, QUERIES, method=m).scores for m in ("influence", "ggn")
    }
    tp.attribution.fit(model, store, "ggn")
    keep_moment(store)
    reader, other = GradientStore.open(store.path), GradientStore.open(store.path)
    for name in ("fit-ggn", "second-moment"):
        kept = other.derived(name)
        other.put_derived(name, [kept.path.read_bytes()], kept.about)
        assert reader.derived(name) is None
    for method, scores in want.items():
        found = influence_matrix(_twin(model), reader, QUERIES, method=method).scores
        np.testing.assert_array_equal(found, scores)


def test_a_run_that_ends_at_the_same_weights_is_fitted_anew(tmp_path):
    """Gradients of a finished model, recorded twice: the rows add up, the weights stay."""
    model = _model()
    draw = np.random.default_rng(0)
    x = torch.from_numpy(draw.standard_normal((90, D)).astype(np.float32))
    y = torch.from_numpy(draw.integers(0, 3, 90))

    def look(store):
        with TrainingContext(model, store) as ctx:
            ctx.backward(nn.functional.cross_entropy(model(x), y), samples=np.arange(90))

    look(GradientStore(path=tmp_path / "grad"))
    store = GradientStore(path=tmp_path / "grad", append=True)
    influence_matrix(model, store, QUERIES)
    with pytest.warns(StoreWarning, match="count twice"):
        look(store)
    found = influence_matrix(model, store, QUERIES).scores
    want = influence_matrix(_twin(model), GradientStore.open(store.path), QUERIES).scores
    np.testing.assert_array_equal(found, want)


def test_estimators_that_have_nothing_to_keep_write_nothing(tmp_path):
    model = _model()
    store = _train(model, tmp_path / "grad", 30)
    assert tp.attribution.fit(model, store, "dot").unit == "relative"
    assert not list(store.path.glob("derived/*"))
