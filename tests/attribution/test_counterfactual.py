"""What a model would have decided without rows, against training it again without them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

import traceprop as tp
from tests.curvature.problems import data, linear, mlp
from tests.curvature.recorded import recorded
from tests.naive.retrain import retrained, trained_network
from traceprop.attribution import from_sklearn, predict_without
from traceprop.curvature.losses import LossSpec, margins
from traceprop.errors import AttributionError, RowError, SourceError

MEAN = LossSpec("cross_entropy", "mean")
RAW, LABELS = load_breast_cancer(return_X_y=True)
RAW = StandardScaler().fit_transform(RAW)


@pytest.mark.parametrize("gone", [[3], list(range(12)), [0, 5, 9, 29]])
def test_a_converged_model_is_retrained_exactly(gone):
    x, y = data("cross_entropy", n=30)
    model = linear("cross_entropy")
    weights = retrained(model, x, y, "cross_entropy", "mean", 0.05)
    nn.utils.vector_to_parameters(weights, model.parameters())
    store = recorded(model, x, y, MEAN, 0.05)
    found = predict_without(model, store, x[:4], samples=gone)
    keep = np.setdiff1d(np.arange(30), gone)
    again = linear("cross_entropy")
    weights = retrained(again, x[keep], y[keep], "cross_entropy", "mean", 0.05)
    nn.utils.vector_to_parameters(weights, again.parameters())
    with torch.no_grad():
        want = margins(MEAN, again(x[:4]), torch.from_numpy(found.targets))
        decided = again(x[:4]).argmax(1)
    np.testing.assert_allclose(found.margins_without, want, atol=1e-7)
    np.testing.assert_array_equal(found.decisions_without, decided)
    assert found.quality.unit == "margin"
    assert found.samples.tolist() == sorted(gone)


def test_a_model_that_was_stopped_early_is_not_trained_on():
    x, y = data("cross_entropy", n=30)
    model = linear("cross_entropy")  # never trained at all
    store = recorded(model, x, y, MEAN, 0.05)
    found = predict_without(model, store, x[:4], samples=[7])
    assert np.abs(found.margins_without - found.margins).max() < 0.5
    few = predict_without(model, store, x[:4], samples=[7], target=1)
    assert few.targets.tolist() == [1, 1, 1, 1]


def test_a_large_group_that_scores_cannot_add_up_for(tmp_path):
    estimator = LogisticRegression(C=10, tol=1e-10, max_iter=10_000).fit(RAW, LABELS)
    store = from_sklearn(estimator, RAW, LABELS, tmp_path / "grad")
    gone = np.random.default_rng(0).permutation(len(RAW))[:280]
    found = predict_without(estimator, store, RAW[:50], samples=gone.tolist())
    keep = np.setdiff1d(np.arange(len(RAW)), gone)
    again = LogisticRegression(C=10, tol=1e-10, max_iter=10_000).fit(RAW[keep], LABELS[keep])
    sign = 2 * found.targets - 1
    np.testing.assert_allclose(
        found.margins_without, sign * again.decision_function(RAW[:50]), atol=1e-2
    )
    np.testing.assert_array_equal(found.decisions_without, again.predict(RAW[:50]))
    assert found.changed.sum() == (again.predict(RAW[:50]) != estimator.predict(RAW[:50])).sum()
    assert f"{found.changed.sum()} of 50 decisions change" in repr(found)


def test_least_squares_without_a_penalty(tmp_path):
    targets = RAW[:, 0] * 2 + np.random.default_rng(0).standard_normal(len(RAW))
    estimator = LinearRegression().fit(RAW, targets)
    store = from_sklearn(estimator, RAW, targets, tmp_path / "grad")
    found = predict_without(estimator, store, RAW[3], samples=range(100))
    again = LinearRegression().fit(RAW[100:], targets[100:])
    assert found.margins_without[0] == pytest.approx(again.predict(RAW[3:4])[0], abs=1e-6)
    assert repr(found).startswith("Counterfactual(without 100 samples: class 0, margin")


def test_a_network_moves_towards_its_retrained_self():
    x, y = data("cross_entropy", n=40)

    def train(x, y):
        return trained_network(
            lambda: mlp("cross_entropy"), x, y, steps=400, rate=0.01, penalty=1e-2
        )

    model = train(x, y)
    store = recorded(model, x, y, MEAN, 1e-2)
    off_before, off_after = [], []
    for gone in ([0, 1, 2, 3], [10, 11], [20, 25, 30, 35, 39]):
        found = predict_without(model, store, x[:10], samples=gone)
        keep = np.setdiff1d(np.arange(40), gone)
        outputs = train(x[keep], y[keep])(x[:10]).detach()
        want = margins(MEAN, outputs, torch.from_numpy(found.targets))
        off_before.append(np.abs(found.margins - want.numpy()).mean())
        off_after.append(np.abs(found.margins_without - want.numpy()).mean())
        assert found.quality.unit == "relative"
        assert "isn't linear" in found.quality.notes[0]
    assert (np.array(off_after) < off_before).all()  # each of them, though damped and far
    assert np.mean(off_after) < 0.9 * np.mean(off_before)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracked")
    np.savetxt(
        folder / "loans.csv", np.c_[RAW[:80, :4], LABELS[:80]], delimiter=",", header="a,b,c,d,y"
    )
    table = tp.load_csv(folder / "loans.csv", comment=None)
    features, labels = table[:, :4], table[:, 4]
    estimator = LogisticRegression(tol=1e-10).fit(RAW[:80, :4], LABELS[:80])
    return estimator, from_sklearn(estimator, features, labels, folder / "grad")


def test_rows_are_named_by_their_source(tracked):
    estimator, store = tracked
    by_rows = predict_without(estimator, store, RAW[3, :4], rows={"loans.csv": [3, 4]})
    by_set = predict_without(
        estimator, store, RAW[3, :4], rows=store.samples_from_source("loans.csv", [3, 4])
    )
    by_samples = predict_without(estimator, store, RAW[3, :4], samples=[4, 3])
    assert by_rows.margins_without == by_set.margins_without == by_samples.margins_without
    with pytest.raises(SourceError, match=r"other\.csv"):
        predict_without(estimator, store, RAW[3, :4], rows={"other.csv": [3]})
    with pytest.raises(RowError):
        predict_without(estimator, store, RAW[3, :4], rows={"loans.csv": [3000]})


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "one of rows"),
        ({"rows": {}, "samples": []}, "one of rows"),
        ({"samples": []}, "no sample is to be left out"),
        ({"rows": {}}, "no sample is to be left out"),
        ({"samples": [80]}, "sample 80 was never trained on"),
        ({"samples": range(80)}, "all 80 training samples"),
        ({"samples": [0], "target": 5}, "there is no class 5"),
    ],
)
def test_questions_without_an_answer(tracked, arguments, why):
    estimator, store = tracked
    with pytest.raises(AttributionError, match=why):
        predict_without(estimator, store, RAW[3, :4], **arguments)


@pytest.fixture(scope="module")
def cancer(tmp_path_factory):
    x, y = RAW[:120, :4], LABELS[:120]
    estimator = LogisticRegression(tol=1e-10, max_iter=10_000).fit(x, y)
    return estimator, from_sklearn(estimator, x, y, tmp_path_factory.mktemp("cancer") / "grad")


def test_without_all_of_a_class_nothing_is_made_up(cancer):
    """The intercept has no penalty, so without one class it would grow for ever."""
    estimator, store = cancer
    ones = np.flatnonzero(LABELS[:120] == 1)
    with pytest.raises(AttributionError, match="grow without end"):
        predict_without(estimator, store, RAW[:1, :4], samples=ones)
    few = predict_without(estimator, store, RAW[:1, :4], samples=ones[2:])
    keep = np.setdiff1d(np.arange(120), ones[2:])
    refit = LogisticRegression(tol=1e-12, max_iter=10_000).fit(RAW[keep, :4], LABELS[keep])
    sign = 1 if few.targets[0] == 1 else -1
    want = sign * refit.decision_function(RAW[:1, :4])[0]
    assert few.margins_without[0] == pytest.approx(want, abs=1e-5)
    assert few.quality.unit == "margin"


def test_without_a_penalty_and_what_kept_classes_from_being_separable(tmp_path):
    x = np.linspace(-1, 1, 30)[:, None]
    y = (x[:, 0] > 0).astype(int)
    y[[3, 26]] ^= 1
    estimator = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(x, y)
    store = from_sklearn(estimator, x, y, tmp_path / "grad")
    assert predict_without(estimator, store, x[:1], samples=[3]).quality.unit == "margin"
    with pytest.raises(AttributionError, match=r"without end|isn't positive definite"):
        predict_without(estimator, store, x[:1], samples=[3, 26])


def test_samples_are_whole_numbers_in_any_form(cancer):
    estimator, store = cancer
    found = [
        predict_without(estimator, store, RAW[:1, :4], samples=form).margins_without
        for form in ([4, 2], (2, 4, 4), np.array([2, 4]), iter([2, np.int64(4)]), {2, 4})
    ]
    assert len({float(one[0]) for one in found}) == 1
    for wrong in ([1.7], ["2"], [True], [None]):
        with pytest.raises(AttributionError, match="is no sample"):
            predict_without(estimator, store, RAW[:1, :4], samples=wrong)
    with pytest.raises(AttributionError, match="answered in margins"):
        predict_without(estimator, store, RAW[:1, :4], samples=[1], target=tp.attribution.Loss(1))
