"""Removal from fitted scikit-learn models, against scikit-learn's own fit on the rows that stay."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import traceprop as tp
from traceprop.attribution import ForgetSet, from_sklearn
from traceprop.errors import UnlearnError
from traceprop.lineage import values
from traceprop.unlearning import RemovalRecord, approximate_unlearn, preparation, record

X, Y = load_breast_cancer(return_X_y=True)
RAW = X[:200, :8]
X = StandardScaler().fit_transform(X)[:200, :8]
Y = Y[:200]
IRIS, KIND = load_iris(return_X_y=True)
D, T = load_diabetes(return_X_y=True)
D, T = D[:150] * 20, T[:150] / 100
GONE = (3, 50, 120)


def _tight(**settings):
    settings = {"solver": "newton-cholesky", **settings}
    return LogisticRegression(tol=1e-12, max_iter=10_000, **settings)


CASES = {
    "binary": (_tight(C=2.0), X, Y, "curvature"),
    "no intercept": (_tight(C=0.5, fit_intercept=False), X, Y, "penalty"),
    "softmax": (_tight(C=1.0), IRIS, KIND, "curvature"),
    "ridge": (Ridge(alpha=3.0, solver="cholesky"), D, T, "curvature"),
    "ridge, two values": (Ridge(alpha=3.0, solver="cholesky"), D, np.c_[T, T[::-1]], "curvature"),
    "text labels": (_tight(), X, np.where(Y == 1, "good", "bad"), "curvature"),
    "pipeline": (make_pipeline(StandardScaler(), _tight()), RAW, Y, "curvature"),
}


def _weights(estimator) -> np.ndarray:
    last = estimator[-1] if hasattr(estimator, "steps") else estimator
    return np.concatenate([np.ravel(last.coef_), np.ravel(last.intercept_)])


def _recorded(estimator, inputs, labels, folder, gone=GONE):
    store = from_sklearn(estimator, inputs, labels, folder / "grad")
    return ForgetSet(np.array(gone), {}, store)


@pytest.mark.parametrize("case", CASES)
def test_what_comes_out_is_scikit_learns_own_fit_on_the_rest(case, tmp_path):
    estimator, inputs, labels, rests_on = CASES[case]
    estimator = clone(estimator).fit(inputs, labels)
    given = _weights(estimator)
    forget_set = _recorded(estimator, inputs, labels, tmp_path)
    new = approximate_unlearn(estimator, forget_set)
    keep = np.delete(np.arange(len(inputs)), GONE)
    if case == "pipeline":  # the raw data aren't in the store, so the scaler stays as it was
        want = clone(estimator[-1]).fit(estimator[:-1].transform(inputs[keep]), labels[keep])
    else:
        want = clone(estimator).fit(inputs[keep], labels[keep])
    distance = np.linalg.norm(_weights(new) - _weights(want))
    assert distance <= 1e-6 * np.linalg.norm(given - _weights(want))
    done = record(new)
    assert done.removal_class == "exact-convex"
    assert distance <= done.bound + 1e-9  # what scikit-learn's own solver leaves
    assert done.bound < 1e-8
    assert rests_on in done.bound_from
    assert "minimum" in done.compared_with
    assert type(new) is type(estimator)
    np.testing.assert_array_equal(_weights(estimator), given)
    assert new.predict(inputs[:3]).shape == labels[:3].shape


def test_a_pipeline_given_its_raw_data_is_fitted_again_as_a_whole(tmp_path):
    """The rows then leave the scaler's means too."""
    estimator = make_pipeline(StandardScaler(), _tight(C=2.0)).fit(RAW, Y)
    forget_set = _recorded(estimator, RAW, Y, tmp_path)
    new = approximate_unlearn(estimator, forget_set, data=(RAW, Y))
    keep = np.delete(np.arange(200), GONE)
    want = clone(estimator).fit(RAW[keep], Y[keep])
    np.testing.assert_array_equal(new[0].mean_, want[0].mean_)
    assert not np.array_equal(estimator[0].mean_, want[0].mean_)
    moved = np.linalg.norm(_weights(estimator) - _weights(want))
    assert np.linalg.norm(_weights(new) - _weights(want)) <= 1e-6 * moved
    np.testing.assert_allclose(new.predict_proba(RAW), want.predict_proba(RAW), rtol=1e-7)
    done = record(new)
    assert done.replayed == {"refitted": ["StandardScaler"]}
    assert "fitted again" in done.preprocessing
    old = approximate_unlearn(estimator, forget_set, data=(RAW, Y), replay=False)
    np.testing.assert_array_equal(old[0].mean_, estimator[0].mean_)
    assert "StandardScaler" in record(old).preprocessing
    assert "still contain" in record(old).preprocessing


def test_a_tracked_pipeline_is_replayed_and_fitted_again(tmp_path):
    table = tmp_path / "t.csv"
    columns = ",".join(f"c{i}" for i in range(8))
    np.savetxt(table, np.c_[RAW, Y], delimiter=",", header=f"{columns},y", comments="")
    tracked = tp.load_csv(table)
    inputs, labels = tracked[:, :8], tracked[:, 8].astype(np.int64)
    inputs = inputs - inputs.mean(axis=0)
    estimator = make_pipeline(StandardScaler(), _tight()).fit(values(inputs), values(labels))
    store = from_sklearn(estimator, inputs, labels, tmp_path / "grad")
    new = approximate_unlearn(estimator, store.samples_from_source(table, rows=list(GONE)))
    keep = np.delete(np.arange(200), GONE)
    raw = np.loadtxt(table, delimiter=",", skiprows=1)[keep, :8]
    want = clone(estimator).fit(raw - raw.mean(axis=0), Y[keep])
    moved = np.linalg.norm(_weights(estimator) - _weights(want))
    assert np.linalg.norm(_weights(new) - _weights(want)) <= 1e-6 * moved
    probe = np.r_[RAW[7], 0.0]
    (prepared,) = tp.apply(preparation(new), probe)
    np.testing.assert_allclose(prepared, probe[:8] - raw.mean(axis=0), rtol=1e-12)
    assert record(new).replayed["statistics"][0]["step"] == "mean"


def test_its_record_comes_back_with_the_estimator(tmp_path):
    estimator = _tight().fit(X, Y)
    new = approximate_unlearn(estimator, _recorded(estimator, X, Y, tmp_path))
    record(new).save(tmp_path / "r.json")
    again = clone(new)
    again.coef_, again.intercept_, again.classes_ = new.coef_, new.intercept_, new.classes_
    assert RemovalRecord.load(tmp_path / "r.json", again).bound == record(new).bound
    with pytest.raises(UnlearnError, match="give the model that the removal made"):
        RemovalRecord.load(tmp_path / "r.json", estimator)


def _refusal(estimator, inputs, labels, folder) -> str:
    forget_set = _recorded(estimator, inputs, labels, folder)
    with pytest.raises(UnlearnError) as refused:
        approximate_unlearn(estimator, forget_set, method="exact-convex")
    return str(refused.value)


def test_without_a_penalty_nothing_is_called_exact_convex(tmp_path):
    estimator = LinearRegression().fit(D, T)
    new = approximate_unlearn(estimator, _recorded(estimator, D, T, tmp_path))
    assert record(new).removal_class == "exact"  # fitted again, which needs no penalty
    assert record(new).bound is None
    assert "no penalty" in _refusal(LinearRegression().fit(D, T), D, T, tmp_path / "first")
    estimator = LogisticRegression(C=np.inf, max_iter=5000).fit(X, Y)
    forget_set = _recorded(estimator, X, Y, tmp_path / "second")
    with pytest.raises(UnlearnError, match="no penalty"):
        approximate_unlearn(estimator, forget_set, method="exact-convex")


def test_single_precision_is_bounded_as_it_is_stored(tmp_path):
    estimator = LogisticRegression(tol=1e-6, max_iter=5000).fit(X.astype(np.float32), Y)
    assert estimator.coef_.dtype == np.float32
    new = approximate_unlearn(estimator, _recorded(estimator, X.astype(np.float32), Y, tmp_path))
    keep = np.delete(np.arange(200), GONE)
    want = _tight().fit(X.astype(np.float32).astype(np.float64)[keep], Y[keep])
    distance = np.linalg.norm(_weights(new).astype(np.float64) - _weights(want))
    assert 1e-9 < distance <= record(new).bound < 1e-5


def _network(**settings) -> MLPClassifier:
    estimator = MLPClassifier((4,), max_iter=20, **settings)
    with pytest.warns(ConvergenceWarning):
        return estimator.fit(X, Y)


def test_a_network_with_a_seed_is_fitted_again_to_the_bit(tmp_path):
    estimator = _network(random_state=0)
    new = approximate_unlearn(estimator, _recorded(estimator, X, Y, tmp_path))
    keep = np.delete(np.arange(200), GONE)
    with pytest.warns(ConvergenceWarning):
        want = clone(estimator).fit(X[keep], Y[keep])
    for got, wanted in zip(
        new.coefs_ + new.intercepts_, want.coefs_ + want.intercepts_, strict=True
    ):
        np.testing.assert_array_equal(got, wanted)
    done = record(new)
    assert (done.method, done.removal_class) == ("exact", "exact")
    assert done.recipe["name"].endswith("MLPClassifier.fit")
    assert done.recipe["seed"] == 0
    assert "to the bit" in done.reason
    assert "class exact" not in done.unused_arguments


def test_a_network_whose_fit_does_not_come_again_takes_a_step(tmp_path):
    estimator = _network(random_state=None)
    forget_set = _recorded(estimator, X, Y, tmp_path)
    weights = [each.copy() for each in estimator.coefs_]
    with pytest.raises(UnlearnError, match="random_state=None"):
        approximate_unlearn(estimator, forget_set, method="exact")
    new = approximate_unlearn(estimator, forget_set)
    done = record(new)
    assert (done.method, done.removal_class) == ("gauss-newton", "approximate-unguaranteed")
    assert "random_state=None" in done.reason
    for before, after, kept in zip(weights, new.coefs_, estimator.coefs_, strict=True):
        np.testing.assert_array_equal(before, kept)
        assert before.shape == after.shape
        assert (before != after).any()
    assert not hasattr(new, "_optimizer")  # its moments are sums over the removed rows' gradients
    assert new.loss_curve_ == []
    assert new.predict(X).shape == (200,)
    new.partial_fit(X, Y)


@pytest.mark.parametrize(
    ("settings", "weights"),
    [({}, np.linspace(0.5, 2, 200)), ({"warm_start": True, "max_iter": 3}, None)],
)
def test_a_fit_that_something_else_went_into_is_not_fitted_again(tmp_path, settings, weights):
    estimator = LogisticRegression(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X[::-1][:150], Y[::-1][:150]).fit(X, Y, sample_weight=weights)
    with pytest.raises(UnlearnError, match=r"can't be trained again.*sample weights"):
        approximate_unlearn(estimator, _recorded(estimator, X, Y, tmp_path), method="exact")


def test_a_linear_model_is_fitted_again_where_that_is_asked_for(tmp_path):
    estimator = LogisticRegression().fit(X, Y)
    forget_set = _recorded(estimator, X, Y, tmp_path)
    new = approximate_unlearn(estimator, forget_set, method="exact")
    keep = np.delete(np.arange(200), GONE)
    np.testing.assert_array_equal(new.coef_, clone(estimator).fit(X[keep], Y[keep]).coef_)
    assert record(new).removal_class == "exact"
    assert record(approximate_unlearn(estimator, forget_set)).removal_class == "exact-convex"
