"""Certified removal: its noise, its threshold, its budget."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler

from tests.naive.certified import delta_of
from traceprop.attribution import ForgetSet, from_sklearn
from traceprop.errors import UnlearnError
from traceprop.unlearning import approximate_unlearn, record
from traceprop.unlearning.methods.certified import noise_scale

X, Y = load_breast_cancer(return_X_y=True)
X, Y = StandardScaler().fit_transform(X)[:150, :5], Y[:150]
ASKED = {"method": "certified", "epsilon": 1.0, "delta": 1e-4}


@pytest.fixture
def fitted(tmp_path):
    estimator = LogisticRegression(tol=1e-8, max_iter=5000).fit(X, Y)
    return estimator, from_sklearn(estimator, X, Y, tmp_path / "grad")


def _forget(store, *samples):
    return ForgetSet(np.array(samples), {}, store)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("delta", [1e-2, 1e-5])
def test_the_noise_is_the_least_that_keeps_the_promise(epsilon, delta):
    sigma = noise_scale(epsilon, delta, 0.3)
    assert delta_of(sigma, epsilon, 0.3) == pytest.approx(delta, rel=2e-3)
    assert noise_scale(epsilon, delta, 0.6) == pytest.approx(2 * sigma)


def test_the_result_is_the_retrained_minimum_with_that_noise(fitted):
    estimator, store = fitted
    forget_set = _forget(store, 3, 7, 9)
    keep = np.delete(np.arange(150), [3, 7, 9])
    want = LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(X[keep], Y[keep])
    off = []
    for _ in range(30):
        new = approximate_unlearn(estimator, forget_set, threshold=1e-4, **ASKED)
        off.extend([*(new.coef_ - want.coef_).ravel(), *(new.intercept_ - want.intercept_)])
    sigma = noise_scale(1.0, 1e-4, 1e-4)
    # 180 draws: their standard deviation is within 5.3 % of σ in two of three cases.
    assert 0.75 * sigma < np.std(off) < 1.25 * sigma
    done = record(new)
    assert done.removal_class == "certified"
    assert done.bound is None
    assert done.figures["bound_before_noise"] <= 1e-4
    assert done.budget["sigma"] == sigma
    assert done.unused_arguments == ()


def test_the_budget_adds_up_over_the_removals_from_a_store(fitted):
    estimator, store = fitted
    first = record(approximate_unlearn(estimator, _forget(store, 3), **ASKED))
    approximate_unlearn(estimator, _forget(store, 4))  # spends nothing
    second = record(
        approximate_unlearn(
            estimator, _forget(store, 3, 8), method="certified", epsilon=0.5, delta=1e-5
        )
    )
    assert (first.budget["epsilon_of_all"], first.budget["removals"]) == (1.0, 1)
    assert second.budget["epsilon_of_all"] == 1.5
    assert second.budget["delta_of_all"] == pytest.approx(1.1e-4)
    assert second.budget["removals"] == 2


def test_a_spent_budget_ends_it(fitted):
    estimator, store = fitted
    budget = (2.5, 1e-3)
    for sample in (3, 4):
        approximate_unlearn(estimator, _forget(store, sample), budget=budget, **ASKED)
    with pytest.raises(UnlearnError, match=r"ε = 3, .*above the budget.*begins at 0"):
        approximate_unlearn(estimator, _forget(store, 5), budget=budget, **ASKED)
    small = {**ASKED, "epsilon": 0.5}
    done = record(approximate_unlearn(estimator, _forget(store, 5), budget=budget, **small))
    assert done.budget["epsilon_of_all"] == 2.5
    with pytest.raises(UnlearnError, match="above the budget"):
        approximate_unlearn(estimator, _forget(store, 6), budget=(9.0, 2e-4), **small)


def test_above_the_threshold_nothing_comes_out(fitted):
    estimator, store = fitted
    with pytest.raises(UnlearnError, match=r"from zero.*threshold 1e-18"):
        approximate_unlearn(estimator, _forget(store, 3), threshold=1e-18, **ASKED)


def test_a_start_that_leads_nowhere_is_left_for_zero(fitted, monkeypatch):
    """Newton's method from the model as it is may fail; training again may not."""
    from traceprop.unlearning.methods import certified

    estimator, store = fitted
    solve = certified.minimum_without

    def failing(problem, gone, start, **settings):
        if start.any():
            raise np.linalg.LinAlgError("singular")
        return solve(problem, gone, start, **settings)

    monkeypatch.setattr(certified, "minimum_without", failing)
    done = record(approximate_unlearn(estimator, _forget(store, 3), **ASKED))
    assert done.figures["trained_from_zero"] == 1


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"epsilon": None}, "epsilon="),
        ({"epsilon": 0.0}, "epsilon="),
        ({"delta": 1.0}, "delta="),
        ({"epsilon": np.inf}, "finite"),
        ({"threshold": 0.0}, "threshold"),
    ],
)
def test_settings_that_promise_nothing_are_refused(fitted, changed, says):
    estimator, store = fitted
    with pytest.raises(UnlearnError, match=says):
        approximate_unlearn(estimator, _forget(store, 3), **{**ASKED, **changed})


def test_only_strictly_convex_objectives_are_certified(tmp_path):
    estimator = LinearRegression().fit(X, Y)
    store = from_sklearn(estimator, X, Y, tmp_path / "grad")
    with pytest.raises(UnlearnError, match="'certified' doesn't fit"):
        approximate_unlearn(estimator, _forget(store, 3), **ASKED)


def test_a_number_that_the_data_do_not_decide_is_not_the_old_models(tmp_path):
    """Of softmax models that differ in what is added to all biases, the one of sum 0 is taken."""
    X3, y3 = load_iris(return_X_y=True)
    estimator = LogisticRegression(solver="newton-cholesky", tol=1e-10).fit(X3, y3)
    estimator.intercept_ = estimator.intercept_ + 7.0
    store = from_sklearn(estimator, X3, y3, tmp_path / "grad")
    new = approximate_unlearn(estimator, _forget(store, 1, 60), **ASKED)
    assert abs(new.intercept_.sum()) < 20 * record(new).budget["sigma"]
