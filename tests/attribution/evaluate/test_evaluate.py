"""What scores are worth: the scores of the scores, against scipy and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from tests.attribution.evaluate.recipes import train
from tests.curvature.recorded import recorded
from traceprop.attribution import evaluate, from_sklearn
from traceprop.attribution.evaluate import retraining
from traceprop.attribution.evaluate.correlation import spearman
from traceprop.attribution.evaluate.mislabel import self_influence
from traceprop.attribution.influence import influence_matrix
from traceprop.curvature.losses import LossSpec
from traceprop.errors import AttributionError, DataError

X, Y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)[:, :6]
TRAIN, TEST = slice(0, 120), slice(200, 220)


def _fit(x, y):
    return LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(x, y)


@pytest.fixture(scope="module")
def logistic(tmp_path_factory):
    estimator = _fit(X[TRAIN], Y[TRAIN])
    folder = tmp_path_factory.mktemp("store") / "grad"
    return estimator, from_sklearn(estimator, X[TRAIN], Y[TRAIN], folder)


@given(st.integers(0, 1000), st.integers(2, 30), st.integers(1, 5), st.booleans())
def test_rank_correlation_is_that_of_scipy(seed, s, q, tied):
    draw = np.random.default_rng(seed)
    one, other = draw.standard_normal((2, s, q))
    if tied:
        one = one.round()
        one[0] += 9  # a constant has no correlation, for which scipy warns
    want = [spearmanr(one[:, j], other[:, j])[0] for j in range(q)]
    np.testing.assert_allclose(spearman(one, other), want, atol=1e-12)


def test_the_score_is_that_of_refits_by_scikit_learn(logistic):
    estimator, store = logistic
    found = evaluate.lds(estimator, store, X[TEST], n_subsets=40)
    draw = np.random.default_rng(0)
    subsets = [np.sort(draw.permutation(120)[:60]) for _ in range(40)]
    sign = np.where(estimator.decision_function(X[TEST]) > 0, 1, -1)
    truth = [sign * _fit(X[:120][s], Y[:120][s]).decision_function(X[TEST]) for s in subsets]
    scores = influence_matrix(estimator, store, X[TEST]).scores
    sums = [scores[:, s].sum(1) for s in subsets]
    want = [spearmanr([row[j] for row in sums], [row[j] for row in truth])[0] for j in range(20)]
    np.testing.assert_allclose(found.per_input, want, atol=2e-3)
    assert found.low < found.value < found.high
    assert found.value > 0.9
    assert found.n_trainings == 40
    assert repr(found).endswith("40 trainings (to the minimum, 1e-08 in the weights)")


def test_solving_again_predicts_retraining_better_than_adding_up(logistic):
    estimator, store = logistic
    exact = evaluate.lds(estimator, store, X[TEST], method="predict_without", n_subsets=30)
    assert exact.value > 0.999
    weak = evaluate.lds(estimator, store, X[TEST], method="dot", n_subsets=30)
    assert weak.value < evaluate.lds(estimator, store, X[TEST], n_subsets=30).value < exact.value


def test_leave_one_out_is_nearly_exact_for_a_convex_model(logistic):
    estimator, store = logistic
    found = evaluate.leave_one_out(estimator, store, X[TEST], samples=range(0, 120, 8))
    assert found.value > 0.95
    assert found.n_trainings == 15
    again = evaluate.leave_one_out(
        estimator, store, X[TEST], samples=range(0, 120, 8), method="predict_without"
    )
    assert again.value > 0.999


def _network():
    x, y = X[:80], Y[:80].astype(np.int64)
    model = train(x, y, 0)
    store = recorded(
        model, torch.tensor(x), torch.tensor(y), LossSpec("cross_entropy", "mean"), 1e-2
    )
    return model, store


def test_a_network_is_trained_by_the_recipe_and_each_training_is_kept(tmp_path, monkeypatch):
    model, store = _network()
    kept = tmp_path / "trainings"
    settings = {"method": "ggn", "n_subsets": 6, "recipe": train, "cache": kept, "seeds": 2}
    first = evaluate.lds(model, store, X[TEST], **settings)
    assert len(list(kept.iterdir())) == 12
    assert kept.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(retraining.Retraining, "margins", None)
    again = evaluate.lds(model, store, X[TEST], **settings)
    np.testing.assert_array_equal(again.per_input, first.per_input)
    assert first.how == "by the recipe"


def test_an_evaluation_that_was_stopped_goes_on(tmp_path, monkeypatch):
    model, store = _network()
    settings = {"method": "dot", "n_subsets": 5, "recipe": train, "cache": tmp_path}
    plain, done = retraining.Retraining.margins, []

    def stopped(self, rows, seed):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(seed)
        return plain(self, rows, seed)

    monkeypatch.setattr(retraining.Retraining, "margins", stopped)
    with pytest.raises(KeyboardInterrupt):
        evaluate.lds(model, store, X[TEST], **settings)
    assert len(list(tmp_path.iterdir())) == 3
    done.clear()
    evaluate.lds(model, store, X[TEST], **settings)
    assert len(done) == 2


def test_worker_processes_train_alike():
    model, store = _network()
    settings = {"method": "dot", "n_subsets": 4, "recipe": train}
    alone = evaluate.lds(model, store, X[TEST], **settings)
    both = evaluate.lds(model, store, X[TEST], workers=2, **settings)
    np.testing.assert_array_equal(alone.per_input, both.per_input)


def test_another_recipe_or_other_data_is_another_training(logistic):
    estimator, store = logistic
    model, other = _network()
    rows = np.arange(10)

    def how(problem_of, recipe=None, inputs=X[TEST]):
        from traceprop.attribution.fitted import scorer_for

        fitted = scorer_for(*problem_of, "dot")
        theta = np.zeros(7)
        classes = np.zeros(20, np.int64)
        return retraining.Retraining(fitted.problem, theta, inputs, classes, 2, recipe)

    names = {
        how((estimator, store)).name(rows, 0),
        how((estimator, store)).name(rows, 1),
        how((estimator, store)).name(rows + 1, 0),
        how((estimator, store), inputs=X[TEST] + 1).name(rows, 0),
        how((estimator, store), recipe=train).name(rows, 0),
        how((model, other), recipe=train).name(rows, 0),
    }
    assert len(names) == 6
    assert how((estimator, store)).name(rows, 0) in names


@pytest.mark.parametrize("method", ["influence", "ggn"])
def test_flipped_labels_are_found(method, tmp_path):
    draw = np.random.default_rng(0)
    flipped = np.sort(draw.permutation(300)[:30])
    labels = Y[:300].copy()
    labels[flipped] ^= 1
    estimator = _fit(X[:300], labels)
    store = from_sklearn(estimator, X[:300], labels, tmp_path / "grad")
    own = self_influence(estimator, store, method=method)
    for i in (0, 7, int(flipped[0])):
        matrix = influence_matrix(
            estimator, store, X[i : i + 1], target=int(labels[i]), method=method
        )
        assert own[i] == pytest.approx(matrix.scores[0, i])
    auc = evaluate.mislabel_auc(estimator, store, flipped, method=method)
    assert auc == pytest.approx(roc_auc_score(np.isin(np.arange(300), flipped), own))
    assert auc > 0.85


def test_the_decision_follows_the_samples_named():
    model, store = _network()
    found = evaluate.tail_patch(model, store, X[TEST], method="ggn", rate=0.1)
    assert found.by_score.mean() > max(0.0, found.by_chance.mean())
    assert "random ones, over 20 inputs" in repr(found)
    with pytest.raises(AttributionError, match="no learning rate"):
        evaluate.tail_patch(model, store, X[TEST])
    with pytest.raises(AttributionError, match="1 to 79"):
        evaluate.tail_patch(model, store, X[TEST], rate=0.1, top_k=80)


def train_two_outputs(inputs, targets, seed):
    return train(inputs, targets.astype(np.int64), seed)


def test_a_kept_training_that_is_damaged_or_of_another_model_is_not_used(logistic, tmp_path):
    estimator, store = logistic
    settings = {"n_subsets": 3, "cache": tmp_path}
    evaluate.lds(estimator, store, X[TEST], **settings)
    first = min(tmp_path.iterdir())
    first.write_bytes(b"")
    with pytest.raises(AttributionError, match="isn't a training of this evaluation"):
        evaluate.lds(estimator, store, X[TEST], **settings)
    first.unlink()
    x, y = torch.tensor(X[TRAIN]), torch.tensor(Y[TRAIN], dtype=torch.float64)
    for bias in (True, False):
        linear = torch.nn.Linear(6, 1, bias=bias).double()
        spec = LossSpec("bce_with_logits", "mean")
        run = recorded(linear, x, y, spec, 0.1)
        evaluate.lds(linear, run, X[TEST], target=1, method="dot", **settings)
    assert len(list(tmp_path.iterdir())) == 2 + 3 + 3


def test_questions_that_make_no_evaluation(logistic, tmp_path):
    estimator, store = logistic
    with pytest.raises(AttributionError, match="no estimator is called 'magic'"):
        evaluate.lds(estimator, store, X[TEST], method="magic")
    with pytest.raises(AttributionError, match="give one between 0 and 1"):
        evaluate.lds(estimator, store, X[TEST], share=1.0)
    with pytest.raises(AttributionError, match="give recipe="):
        evaluate.lds(*_network(), X[TEST])
    with pytest.raises(AttributionError, match="three or more"):
        evaluate.leave_one_out(estimator, store, X[TEST], samples=[1, 2])
    with pytest.raises(AttributionError, match="2 subsets make no correlation"):
        evaluate.lds(estimator, store, X[TEST], n_subsets=2)
    with pytest.raises(AttributionError, match="seeds is 0"):
        evaluate.lds(estimator, store, X[TEST], n_subsets=3, seeds=0)
    with pytest.raises(AttributionError, match="can't be trained on 1 of the samples"):
        evaluate.lds(estimator, store, X[TEST], share=0.01)
    with pytest.raises(AttributionError, match="sample 999 was never trained on"):
        evaluate.leave_one_out(estimator, store, X[TEST], samples=[1, 2, 999])
    with pytest.raises(AttributionError, match="sample 999 was never trained on"):
        evaluate.mislabel_auc(estimator, store, [1, 999])
    with pytest.raises(AttributionError, match="sent to other processes"):
        evaluate.lds(estimator, store, X[TEST], workers=2, recipe=lambda *_: estimator)
    with pytest.raises(AttributionError, match="a model of 2 outputs, and the one to judge has 1"):
        evaluate.lds(estimator, store, X[TEST], recipe=train_two_outputs)
    with pytest.raises(DataError, match="no test input"):
        evaluate.lds(estimator, store, X[:0])
    with pytest.raises(AttributionError, match="0 of 120 samples were flipped"):
        evaluate.mislabel_auc(estimator, store, [])
    line = LinearRegression().fit(X[TRAIN], X[TRAIN, 0])
    lined = from_sklearn(line, X[TRAIN], X[TRAIN, 0], tmp_path / "line")
    with pytest.raises(AttributionError, match="no labels"):
        evaluate.mislabel_auc(line, lined, [1])
