"""What a score can be asked about: a class, one class over another, the loss of a label."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from tests.curvature.problems import data, mlp
from tests.curvature.recorded import recorded
from traceprop.attribution import (
    Loss,
    compute_influence_scores,
    from_sklearn,
    predict_without,
)
from traceprop.attribution.influence import influence_matrix
from traceprop.curvature.losses import LossSpec
from traceprop.errors import AttributionError

IRIS, KIND = load_iris(return_X_y=True)
IRIS = StandardScaler().fit_transform(IRIS)


def _fit(x, y):
    return LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(x, y)


@pytest.fixture(scope="module")
def softmax(tmp_path_factory):
    estimator = _fit(IRIS, KIND)
    return estimator, from_sklearn(estimator, IRIS, KIND, tmp_path_factory.mktemp("s") / "grad")


def _without(sample):
    keep = np.arange(len(IRIS)) != sample
    return _fit(IRIS[keep], KIND[keep])


def test_one_class_over_another(softmax):
    estimator, store = softmax
    x = IRIS[70]
    scores = compute_influence_scores(estimator, store, x, top_k=150, target=(1, 2))
    logits = estimator.decision_function(x[None])[0]
    assert scores.margin == pytest.approx(logits[1] - logits[2])
    assert scores.target == [1, 2]
    for sample, score in (*scores[:3], *scores[-3:]):
        other = _without(sample).decision_function(x[None])[0]
        assert scores.margin - (other[1] - other[2]) == pytest.approx(score, rel=0.25, abs=2e-3)
    turned = compute_influence_scores(estimator, store, x, top_k=150, target=(2, 1))
    np.testing.assert_allclose(turned.all_scores, -scores.all_scores)


def test_the_loss_of_a_label(softmax):
    estimator, store = softmax
    x = IRIS[70]
    scores = compute_influence_scores(estimator, store, x, top_k=150, target=Loss(1))
    assert scores.margin == pytest.approx(-estimator.predict_log_proba(x[None])[0, 1])
    for sample, score in (*scores[:3], *scores[-3:]):
        other = -_without(sample).predict_log_proba(x[None])[0, 1]
        assert scores.margin - other == pytest.approx(score, rel=0.25, abs=2e-3)
    matrix = influence_matrix(estimator, store, IRIS[70:72], target=Loss(1))
    np.testing.assert_allclose(matrix.scores[0], scores.all_scores)


def test_the_squared_loss_of_a_value(tmp_path):
    y = IRIS[:, 0] * 2 - IRIS[:, 3]
    estimator = Ridge(alpha=2.0).fit(IRIS, y)
    store = from_sklearn(estimator, IRIS, y, tmp_path / "grad")
    scores = compute_influence_scores(estimator, store, IRIS[5], top_k=150, target=Loss(y[5] + 1))
    sample, score = scores[0]
    keep = np.arange(len(IRIS)) != sample
    other = Ridge(alpha=2.0).fit(IRIS[keep], y[keep]).predict(IRIS[5:6])[0]
    assert score == pytest.approx(scores.margin - (other - y[5] - 1) ** 2, rel=0.05)


@pytest.mark.parametrize("target", [(0, 2), Loss(2)])
@pytest.mark.parametrize("method", ["influence", "ggn", "dot", "trak"])
def test_a_networks_scores_follow_the_gradient_of_what_is_asked(method, target):
    """f is linear in the scores of the logits, so scores of f are those of its gradient."""
    kind, model = "cross_entropy", mlp("cross_entropy")
    x, y = data(kind, n=12)
    store = recorded(model, x, y, LossSpec(kind, "mean"), 0.01)
    asked = x[3:4]
    by_class = [
        influence_matrix(model, store, asked, target=(c, (c + 1) % 3), method=method).scores[0]
        for c in range(3)
    ]
    np.testing.assert_allclose(sum(by_class), 0.0, atol=1e-6 * np.abs(by_class).max())
    logits = model(asked).detach().requires_grad_()
    if isinstance(target, Loss):
        functional.cross_entropy(logits, torch.tensor([target.label])).backward()
    else:
        (logits[0, target[0]] - logits[0, target[1]]).backward()
    g = logits.grad[0].numpy()  # sums to zero, so two differences of logits give all of it
    want = g[0] * by_class[0] + (g[0] + g[1]) * by_class[1]
    got = influence_matrix(model, store, asked, target=target, method=method).scores[0]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6 * np.abs(want).max())


def test_the_counterfactual_of_a_pair(softmax):
    estimator, store = softmax
    found = predict_without(estimator, store, IRIS[70], samples=[77, 83], target=(1, 2))
    keep = np.setdiff1d(np.arange(150), [77, 83])
    other = _fit(IRIS[keep], KIND[keep]).decision_function(IRIS[70:71])[0]
    assert found.margins_without[0] == pytest.approx(other[1] - other[2], abs=1e-4)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ((1, 1), "two different classes"),
        ((0, 1, 2), "two different classes"),
        ((0, 7), "no class 7"),
        (Loss(0.5), "of no class"),
        (Loss(4), "no class 4"),
        ("setosa", "give the number"),
    ],
)
def test_targets_that_are_none(softmax, target, why):
    with pytest.raises(AttributionError, match=why):
        compute_influence_scores(*softmax, IRIS[0], target=target)


@pytest.mark.parametrize("label", [float("nan"), float("inf"), "a", None])
def test_a_loss_needs_a_label_that_is_a_number(softmax, label, tmp_path):
    ridge = Ridge().fit(IRIS, IRIS[:, 0])
    line = from_sklearn(ridge, IRIS, IRIS[:, 0], tmp_path / "grad")
    for model, store in (softmax, (ridge, line)):
        with pytest.raises(AttributionError, match="give a finite number"):
            compute_influence_scores(model, store, IRIS[0], target=Loss(label))
