"""Margins of left-out labels: against models that were really trained without each sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score

from tests.attribution.evaluate.test_evaluate import X, Y
from tests.curvature.recorded import recorded
from tests.naive.curvature import call, flat, ggn
from tests.naive.influence import at_minimum, margin, margin_gradient
from tests.naive.retrain import retrained
from traceprop.attribution import evaluate, from_sklearn
from traceprop.curvature.losses import LossSpec
from traceprop.errors import AttributionError

N, KIND, PENALTY = 60, "cross_entropy", 0.01
FLIPPED = np.arange(0, N, 10)


def _flipped_labels() -> np.ndarray:
    labels = Y[:N].astype(np.int64)
    labels[FLIPPED] ^= 1
    return labels


def test_of_a_linear_model_they_are_those_of_retraining(tmp_path):
    def fit(x, y):
        return LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(x, y)

    x, y = X[:N], _flipped_labels()
    estimator, sign = fit(x, y), 2 * y - 1
    store = from_sklearn(estimator, x, y, tmp_path / "grad")
    found = evaluate.left_out_margins(estimator, store)
    without = np.empty(N)
    for i in range(N):
        rest = np.arange(N) != i
        without[i] = sign[i] * fit(x[rest], y[rest]).decision_function(x[i : i + 1])[0]
    gap = without - sign * estimator.decision_function(x)
    assert np.abs(found - without).mean() < 0.2 * np.abs(gap).mean()
    assert spearmanr(found, without)[0] > 0.999
    auc = evaluate.mislabel_auc(estimator, store, FLIPPED)
    assert auc == pytest.approx(roc_auc_score(np.isin(np.arange(N), FLIPPED), -found))
    assert auc == roc_auc_score(np.isin(np.arange(N), FLIPPED), -without)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    start = torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    x, y = torch.tensor(X[:N]), torch.tensor(_flipped_labels())
    model = at_minimum(start.double(), x, y, KIND, "mean", PENALTY)
    return model, recorded(model, x, y, LossSpec(KIND, "mean"), PENALTY), x, y


def _margin(model, theta, x, label):
    return float(margin(KIND, call(model, theta, x[None]), int(label)))


def test_of_a_network_they_are_the_formula_with_every_matrix_written_out(network):
    model, store, x, y = network
    theta = flat(model)
    matrix = ggn(model, theta, x, y, KIND, "mean", PENALTY, 1 / N).numpy()
    matrix += 0.01 * np.linalg.eigvalsh(matrix)[-1] * np.eye(len(matrix))
    want = []
    for i in range(N):
        m, slope = _margin(model, theta, x[i], y[i]), margin_gradient(model, KIND, x[i], int(y[i]))
        p = 1 / (1 + np.exp(m))
        rest = matrix - p * (1 - p) / N * np.outer(slope, slope)
        want.append(m - slope @ np.linalg.inv(rest) @ slope * p / N)
    np.testing.assert_allclose(evaluate.left_out_margins(model, store), want, atol=1e-4)


def test_of_a_network_they_are_near_those_of_retraining(network):
    model, store, x, y = network
    theta, without, now = flat(model), [], []
    for i in range(N):
        rest = np.arange(N) != i
        trained = retrained(model, x[rest], y[rest], KIND, "mean", PENALTY)
        without.append(_margin(model, trained, x[i], y[i]))
        now.append(_margin(model, theta, x[i], y[i]))
    found = evaluate.left_out_margins(model, store)
    gap = np.abs(np.array(now) - without)
    assert np.abs(found - without).mean() < 0.1 * gap.mean()


def test_a_regression_has_no_labels(tmp_path):
    estimator = LinearRegression().fit(X[:N], Y[:N])
    store = from_sklearn(estimator, X[:N], Y[:N].astype(float), tmp_path / "grad")
    with pytest.raises(AttributionError, match="no labels that could be flipped"):
        evaluate.left_out_margins(estimator, store)
