"""scikit-learn's models as they are: their objective, their decisions, their influence scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeCV,
    SGDClassifier,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import traceprop as tp
from traceprop.attribution import GradientStore, compute_influence_scores, from_sklearn
from traceprop.attribution.estimators import problem_of
from traceprop.attribution.models import module_of
from traceprop.curvature.bounds import distance_bound
from traceprop.curvature.sklearn_models import minimised_by, read_estimator, with_weights
from traceprop.errors import AttributionError, DataError, ModelError
from traceprop.lineage import values

X, Y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)[:200, :8]
Y = Y[:200]
IRIS, KIND = load_iris(return_X_y=True)
IRIS = StandardScaler().fit_transform(IRIS)
D, T = load_diabetes(return_X_y=True)
D, T = D[:150] * 20, T[:150] / 100


def _tight(**settings):
    return LogisticRegression(tol=1e-10, max_iter=10_000, **settings)


CASES = {
    "binary": (_tight(C=2.0), X, Y),
    "no intercept": (_tight(C=0.5, fit_intercept=False), X, Y),
    "liblinear": (_tight(C=0.5, solver="liblinear"), X, Y),
    "softmax": (_tight(C=1.0), IRIS, KIND),
    "ridge": (Ridge(alpha=3.0, tol=1e-10), D, T),
    "ridge, two values": (Ridge(alpha=3.0, tol=1e-10), D, np.c_[T, T[::-1]]),
    "text labels": (_tight(), X, np.where(Y == 1, "good", "bad")),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fitted_model_is_at_the_minimum_of_what_it_is_read_as(case, tmp_path):
    estimator, inputs, labels = CASES[case]
    estimator.fit(inputs, labels)
    store = from_sklearn(estimator, inputs, labels, tmp_path / "grad")
    module = module_of(estimator)
    problem = problem_of(module, store)
    theta = problem.head.pack(module.state_dict())
    assert distance_bound(problem.head_objective(), theta) < 1e-3
    outputs = module(torch_double(inputs)).detach().numpy()
    if hasattr(estimator, "decision_function"):
        np.testing.assert_allclose(outputs.squeeze(), estimator.decision_function(inputs))
    else:
        np.testing.assert_allclose(outputs.squeeze(), estimator.predict(inputs))


@pytest.mark.parametrize("case", CASES)
def test_scores_predict_refits_by_scikit_learn_itself(case, tmp_path):
    estimator, inputs, labels = CASES[case]
    estimator.fit(inputs, labels)
    store = from_sklearn(estimator, inputs, labels, tmp_path / "grad")
    asked = inputs[7]
    target = 0 if np.ndim(labels) > 1 else None
    scores = compute_influence_scores(estimator, store, asked, top_k=len(inputs), target=target)
    assert scores.quality.unit == "margin"
    samples = [sample for sample, _ in scores]
    chosen = samples[:6] + samples[-6:]
    by_sample = dict(scores)
    changes = []
    for sample in chosen:
        keep = np.arange(len(inputs)) != sample
        refit = type(estimator)(**estimator.get_params()).fit(inputs[keep], labels[keep])
        changes.append(scores.margin - _margin(refit, asked, scores.target))
    assert np.corrcoef(changes, [by_sample[s] for s in chosen])[0, 1] > 0.99
    off = np.abs(np.array(changes) / [by_sample[s] for s in chosen] - 1)
    assert np.median(off) < 0.1  # they are of first order


def torch_double(array):
    import torch

    return torch.tensor(np.asarray(array), dtype=torch.float64)


def _margin(estimator, x, target):
    if not hasattr(estimator, "predict_log_proba"):
        return np.ravel(estimator.predict(x[None]))[target]
    log_p = estimator.predict_log_proba(x[None])[0]
    return log_p[target] - np.log(-np.expm1(log_p[target]))


def test_a_pipeline_is_asked_with_raw_inputs(tmp_path):
    raw, labels = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), _tight(C=1.0)).fit(raw, labels)
    store = from_sklearn(pipeline, raw, labels, tmp_path / "grad")
    scores = compute_influence_scores(pipeline, store, raw[3], top_k=3)
    prepared = StandardScaler().fit_transform(raw)
    alone = _tight(C=1.0).fit(prepared, labels)
    other = from_sklearn(alone, prepared, labels, tmp_path / "other")
    want = compute_influence_scores(alone, other, prepared[3], top_k=3)
    np.testing.assert_allclose([s for _, s in scores], [s for _, s in want], rtol=1e-6)
    np.testing.assert_allclose(
        scores.margin,
        pipeline.decision_function(raw[3:4])[0] * np.sign(pipeline.decision_function(raw[3:4])[0]),
    )


def test_the_rows_of_the_source_are_kept(tmp_path):
    path = tmp_path / "loans.csv"
    rows = np.c_[X[:60, :3], Y[:60]]
    np.savetxt(path, rows, delimiter=",", header="a,b,c,y", comments="")
    data = tp.load_csv(path)
    data = data[data[:, 0] > -0.5]
    features, labels = data[:, :3], data[:, 3]
    estimator = _tight().fit(values(features), values(labels))
    store = from_sklearn(estimator, features, labels, tmp_path / "grad")
    kept = np.flatnonzero(np.round(rows[:, 0], 18) > -0.5)
    (found,) = store.get_provenance(5).rows.values()
    assert list(found) == [kept[5]]
    assert list(store.samples_from_source("loans.csv", [int(kept[5])])) == [5]
    assert store.record.input_columns == ("a", "b", "c")


def test_a_stochastic_fit_is_not_called_exact(tmp_path):
    estimator = SGDClassifier(loss="log_loss", alpha=1e-3, random_state=0).fit(X, Y)
    store = from_sklearn(estimator, X, Y, tmp_path / "grad")
    quality = compute_influence_scores(estimator, store, X[0]).quality
    assert quality.unit == "relative"
    assert "stopped further" in quality.notes[0]


def test_least_squares_without_a_penalty_has_exact_scores(tmp_path):
    estimator = LinearRegression().fit(D, T)
    store = from_sklearn(estimator, D, T, tmp_path / "grad")
    scores = compute_influence_scores(estimator, store, D[3], top_k=len(D))
    sample, score = scores[0]
    keep = np.arange(len(D)) != sample
    refit = LinearRegression().fit(D[keep], T[keep])
    assert score == pytest.approx(scores.margin - refit.predict(D[3:4])[0], rel=1e-6)


@pytest.mark.parametrize("labels", [Y, KIND], ids=["binary", "three classes"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_perceptron_is_a_network(labels, tmp_path):
    inputs = X if len(labels) == len(X) else IRIS
    estimator = MLPClassifier((6, 5), activation="tanh", max_iter=50, random_state=0)
    estimator.fit(inputs, labels)
    store = from_sklearn(estimator, inputs, labels, tmp_path / "grad")
    outputs = module_of(estimator)(torch_double(inputs)).detach().numpy()
    p = 1 / (1 + np.exp(-outputs)) if outputs.shape[1] == 1 else np.exp(outputs)
    want = estimator.predict_proba(inputs)
    np.testing.assert_allclose(
        p / p.sum(1, keepdims=True) if p.shape[1] > 1 else p, want[:, -p.shape[1] :]
    )
    assert len(compute_influence_scores(estimator, store, inputs[0], method="ggn")) == 20


def test_new_weights_make_a_new_estimator():
    estimator = _tight().fit(IRIS, KIND)
    state = {n: p.detach().numpy() * 2 for n, p in module_of(estimator).named_parameters()}
    new = with_weights(estimator, state)
    np.testing.assert_allclose(new.decision_function(IRIS), 2 * estimator.decision_function(IRIS))
    assert type(new) is LogisticRegression


@pytest.mark.parametrize(
    ("estimator", "why"),
    [
        (_tight(), "isn't fitted"),
        (RidgeCV().fit(D, T), "RidgeCV isn't a model"),
        (_tight(class_weight="balanced").fit(X, Y), "class_weight='balanced'"),
        (_tight(l1_ratio=1.0, solver="saga").fit(X, Y), "l1_ratio"),
        (SGDClassifier().fit(X, Y), "loss='hinge'"),
        (SGDClassifier(loss="log_loss").fit(IRIS, KIND), "3 classes"),
        (SGDClassifier(loss="log_loss", early_stopping=True).fit(X, Y), "early_stopping"),
        (Ridge(positive=True).fit(D, T), "positive"),
        (Ridge(alpha=[1.0, 2.0]).fit(D, np.c_[T, T]), "alpha"),
        (MLPClassifier((3,), early_stopping=True, max_iter=300).fit(X, Y), "early_stopping"),
        (StandardScaler().fit(X), "StandardScaler isn't a model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_has_no_such_form_is_refused_by_name(estimator, why, tmp_path):
    inputs, labels = (D, T) if isinstance(estimator, Ridge | RidgeCV) else (X, Y)
    if "alpha" in why:
        labels = np.c_[T, T]
    with pytest.raises(ModelError, match=why):
        from_sklearn(estimator, inputs, labels, tmp_path / "grad")
    assert not (tmp_path / "grad").exists()


def test_data_that_were_not_fitted_are_refused(tmp_path):
    estimator = _tight().fit(X, Y)
    with pytest.raises(DataError, match="none of the model's classes"):
        from_sklearn(estimator, X, Y + 5, tmp_path / "grad")
    with pytest.raises(DataError, match="200 rows and y 199"):
        from_sklearn(estimator, X, Y[:-1], tmp_path / "grad")
    with pytest.raises(DataError, match="NaN"):
        from_sklearn(estimator, np.where(X > 2, np.nan, X), Y, tmp_path / "grad")
    with pytest.raises(AttributionError, match="the model is a str"):
        compute_influence_scores("clf", GradientStore(path=tmp_path / "grad"), X[0])
    assert read_estimator(estimator).targets(Y[:3]).tolist() == Y[:3].tolist()


def test_a_pipeline_takes_one_row_in_any_form_and_names_what_it_cannot_take(tmp_path):
    frame = pd.DataFrame(X[:, :3], columns=list("abc"))
    pipeline = make_pipeline(StandardScaler(), _tight()).fit(frame, Y)
    store = from_sklearn(pipeline, frame, Y, tmp_path / "grad")
    (want,) = compute_influence_scores(pipeline, store, frame.iloc[:1], top_k=1)
    (series,) = compute_influence_scores(pipeline, store, frame.iloc[0], top_k=1)
    assert series == want
    plain = make_pipeline(StandardScaler(), _tight()).fit(X[:, :3], Y)
    other = from_sklearn(plain, X[:, :3], Y, tmp_path / "plain")
    for form in (X[0, :3], X[:1, :3], X[0, :3].tolist(), torch_double(X[0, :3])):
        (found,) = compute_influence_scores(plain, other, form, top_k=1)
        assert found == pytest.approx(want)
    for wrong, says in [
        (X[0, :2], "2 features"),
        (["a", "b", "c"], "doesn't take these inputs"),
        (np.zeros((0, 3)), "minimum of 1"),
    ]:
        with pytest.raises(DataError, match=says):
            compute_influence_scores(plain, other, wrong)
    with pytest.raises(DataError, match=r"c$"):
        compute_influence_scores(pipeline, store, frame[["a", "b"]].iloc[:1])


def test_sparse_inputs_and_a_column_of_labels_are_what_fit_took(tmp_path):
    sparse = csr_matrix(X * (X > 0))
    estimator = _tight().fit(sparse, Y)
    store = from_sklearn(estimator, sparse, Y[:, None], tmp_path / "sparse")
    dense = from_sklearn(estimator, sparse.toarray(), Y, tmp_path / "dense")
    answers = [compute_influence_scores(estimator, s, sparse[0], top_k=3) for s in (store, dense)]
    assert list(answers[0]) == list(answers[1])


@pytest.mark.parametrize("labels", [Y * 2 - 1, Y.astype(bool), np.array(["no", "yes"])[Y]])
def test_labels_of_any_kind_are_numbered_as_the_classes_are(labels, tmp_path):
    estimator = _tight().fit(X, labels)
    store = from_sklearn(estimator, X, labels.tolist(), tmp_path / "grad")
    np.testing.assert_array_equal(store.record.targets, Y)
    with pytest.raises(DataError, match="the label None is none of"):
        from_sklearn(estimator, X, [None] * len(X), tmp_path / "other")


def test_what_older_releases_fit_one_by_one_is_refused():
    """`multi_class` decided it there; this release has no such setting."""
    two, three = _tight().fit(X, Y), _tight().fit(IRIS, KIND)
    for estimator, allowed, refused in (
        (two, ("auto", "deprecated", "ovr"), "multinomial"),
        (three, ("auto", "deprecated", "multinomial"), "ovr"),
    ):
        model = read_estimator(estimator)
        want = minimised_by(model, 50)
        for setting in allowed:
            estimator.multi_class = setting
            assert minimised_by(model, 50) == want
        estimator.multi_class = refused
        with pytest.raises(ModelError, match=f"multi_class='{refused}'"):
            minimised_by(model, 50)


def test_another_librarys_pipeline_is_refused():
    other = type("Pipeline", (), {"__module__": "imblearn.pipeline", "steps": []})()
    with pytest.raises(ModelError, match="Pipeline isn't a model"):
        read_estimator(other)


def test_a_sample_alone_in_a_dummy_column_has_no_exact_score(tmp_path):
    """Without it no one model is left, so the leave-one-out formula comes to 0/0."""
    dummy = np.zeros((len(D), 1))
    dummy[5] = 1
    inputs = np.c_[D, dummy]
    estimator = LinearRegression().fit(inputs, T)
    store = from_sklearn(estimator, inputs, T, tmp_path / "grad")
    scores = compute_influence_scores(estimator, store, inputs[5])
    assert scores.quality.unit == "relative"
    assert "singular without one of the samples" in scores.quality.notes[0]
    assert np.isfinite(scores.all_scores).all()


def test_a_sample_that_was_erased_is_not_named_from_memory(tmp_path):
    np.savetxt(tmp_path / "a.csv", X, delimiter=",", header=",".join("abcdefgh"), comments="")
    table = tp.load_csv(tmp_path / "a.csv")
    estimator = _tight().fit(X, Y)
    store = from_sklearn(estimator, table, Y, tmp_path / "grad")
    assert 5 in [i for i, _ in compute_influence_scores(estimator, store, X[0], top_k=200)]
    store.erase(store.samples_from_source("a.csv", [5]))
    left = [i for i, _ in compute_influence_scores(estimator, store, X[0], top_k=200)]
    assert len(left) == 199
    assert 5 not in left
