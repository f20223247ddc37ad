"""scikit-learn's estimators on tracked rows: what they keep and refuse, and how it is undone."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import IncrementalPCA
from sklearn.feature_selection import SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from sklearn.random_projection import GaussianRandomProjection

import traceprop as tp
from tests.interop.sklearn_cases import CASES, ESCAPES, WRONG
from traceprop.errors import EscapeError, LineageError, LineageEscapeWarning, LineageWarning
from traceprop.interop.sklearn import kinds
from traceprop.lineage import ProvenanceTensor, values
from traceprop.lineage.recording.escapes import forget_warned

ALL = set(range(6))


@pytest.fixture(autouse=True)
def on() -> Iterator[None]:
    forget_warned()
    with tp.sklearn.enable(dispatch=False):
        yield


def numbers(name: str, rows: int = 6, seed: int = 0) -> Any:
    return tp.array(np.random.default_rng(seed).normal(size=(rows, 3)), name=name)


@pytest.fixture
def X() -> Any:
    return numbers("X")


@pytest.fixture
def y() -> Any:
    return tp.array(np.array([0, 1, 0, 1, 0, 1]), name="y")


def depends(tensor: Any, name: str, how: str = "statistic") -> set[int]:
    return set(getattr(tensor.dependencies(), how).get(name, ()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_ordinary_case_is_wrong(case: Any) -> None:
    verdict = case.judge()
    assert verdict != WRONG
    assert (verdict == ESCAPES) == ("sparse" in case.name)


def test_what_was_learned_is_a_statistic_of_rows_transformed_later(X: Any) -> None:
    scaler, other = StandardScaler(), numbers("Z", 3, seed=1)
    scaler.fit(X)
    with tp.strict():
        found = scaler.transform(other)
    assert isinstance(found, ProvenanceTensor)
    assert found[1].sources() == {"Z": {1}}
    assert depends(found[1], "X") == ALL
    assert found.ops() == ["StandardScaler"]
    assert values(found).tobytes() == StandardScaler().fit(values(X)).transform(
        values(other)
    ).tobytes()  # fmt: skip


def test_plain_rows_rest_on_what_was_learned(X: Any) -> None:
    found = StandardScaler().fit(X).transform(np.ones((2, 3)))
    assert not found.sources()
    assert depends(found[0], "X") == ALL


def test_what_was_learned_is_read_as_tensors(X: Any, y: Any) -> None:
    scaler = StandardScaler().fit(X)
    other = numbers("Z", 2, seed=1)
    by_hand = (other - scaler.mean_) / scaler.scale_
    assert depends(by_hand[1], "X") == ALL
    pipeline = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(X, y)
    for learned in (pipeline[0].statistics_, pipeline[1].mean_, pipeline[-1].coef_):
        assert depends(learned, "X", "direct") == ALL
    assert depends(pipeline[-1].intercept_, "y", "direct") == ALL
    encoder = OrdinalEncoder().fit(X)
    assert [depends(each, "X", "direct") for each in encoder.categories_] == [ALL] * 3
    with pytest.raises(ValueError, match="read-only"):
        scaler.mean_[0] = 1
    assert scaler.n_features_in_ == 3
    assert not X.escapes()


def test_a_step_of_a_pipeline_keeps_what_the_pipeline_learned(X: Any, y: Any) -> None:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    found = pipeline[:-1].transform(X)
    assert isinstance(found, ProvenanceTensor)
    assert depends(pipeline[0].transform(X)[0], "X") == ALL
    assert depends(pipeline.predict(X)[2], "X", "direct") == {2}
    assert depends(pipeline.predict_proba(X)[2], "y") == ALL
    assert depends(pipeline.score(X, y), "y", "direct") == ALL
    assert not X.escapes()


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])  # noqa: S301
def test_copies_keep_what_was_learned(X: Any, how: Any) -> None:
    found = how(StandardScaler().fit(X)).transform(np.ones((1, 3)))
    assert depends(found, "X") == ALL


def test_a_clone_has_learned_nothing(X: Any) -> None:
    fresh = clone(StandardScaler().fit(X))
    other = numbers("Z", 4, seed=1)
    assert "X" not in [str(s) for s in fresh.fit_transform(other).dependencies().all()]


def test_a_fit_out_of_sight_is_an_unknown_source(X: Any) -> None:
    scaler = StandardScaler().fit(X)
    StandardScaler.fit(scaler, np.eye(3))  # past the seam: the class's own function
    found = scaler.transform(X)
    unknown = [str(source) for source in found[0].dependencies().statistic]
    assert unknown == [u for u in unknown if u.startswith("unknown:")]
    assert len(unknown) == 1
    loaded = StandardScaler().fit(np.eye(3)).transform(X)
    assert any("fitted out of sight" in str(s) for s in loaded.dependencies().statistic)


def test_a_second_fit_forgets_the_first(X: Any) -> None:
    scaler, other = StandardScaler().fit(X), numbers("Z", 4, seed=1)
    assert not depends(scaler.fit(other).transform(other), "X")
    scaler.fit(values(X))
    assert not depends(scaler.transform(other), "Z")


def test_fits_that_go_on_rest_on_all_batches(X: Any) -> None:
    other = numbers("Z", 4, seed=1)
    pca = IncrementalPCA(2).partial_fit(X).partial_fit(other)
    found = pca.transform(X)
    assert depends(found[0], "X") == ALL
    assert depends(found[0], "Z") == {0, 1, 2, 3}
    again = tp.replay(found, sources={"X": values(X), "Z": values(other)})
    assert np.array_equal(values(again), values(found))


def test_an_estimator_that_works_in_place_leaves_the_rows_alone(X: Any) -> None:
    before = values(X).copy()
    found = StandardScaler(copy=False).fit_transform(X)
    assert np.array_equal(values(X), before)
    found[0] = 0  # nor does the result share their memory
    identity = Normalizer(copy=False).fit(X).transform(X)
    identity[:] = 0
    assert np.array_equal(values(X), before)


def test_weights_and_labels_are_learned_from(X: Any, y: Any) -> None:
    weights = tp.array(np.arange(1.0, 7.0), name="weights")
    found = StandardScaler().fit(X, sample_weight=weights).transform(X)
    assert depends(found[0], "weights") == ALL


def test_a_searched_pipeline(X: Any, y: Any) -> None:
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()),
        {"logisticregression__C": [0.1, 1.0]},
        cv=2,
    ).fit(X, y)
    assert depends(search.predict(X)[0], "y", "direct") == ALL  # nobody knows: all rows
    assert depends(search.best_estimator_[0].mean_, "X", "direct") == ALL
    assert depends(search.best_estimator_[0].transform(X)[0], "X") == ALL


@pytest.mark.parametrize("jobs", [None, 2])
def test_columns_apart_in_several_threads(X: Any, jobs: int | None) -> None:
    columns = ColumnTransformer(
        [("a", StandardScaler(), [0, 1]), ("b", FunctionTransformer(np.square), [2])], n_jobs=jobs
    )
    found = columns.fit(X).transform(X)
    assert found[1].sources() == {"X": {1}}
    assert depends(columns.named_transformers_["a"].mean_, "X", "direct") == ALL
    both = make_union(StandardScaler(), Normalizer(), n_jobs=jobs).fit_transform(X)
    assert both[1].sources() == {"X": {1}}


def test_a_result_that_is_no_array_is_an_escape(X: Any) -> None:
    codes = tp.array(np.array([[0], [1], [0]]), name="codes")
    with pytest.warns(LineageEscapeWarning, match=r"OneHotEncoder.fit_transform as csr_.*dense"):
        OneHotEncoder().fit_transform(codes)
    pytest.importorskip("pandas")
    with pytest.warns(LineageEscapeWarning, match="as DataFrame.*default"):
        StandardScaler().set_output(transform="pandas").fit_transform(X)
    with tp.strict(), pytest.raises(EscapeError, match="OneHotEncoder"):
        OneHotEncoder().fit_transform(codes)


def test_texts_are_encoded_with_their_rows() -> None:
    words = tp.array(np.array([["a"], ["b"], ["a"]]), name="words")
    found = OneHotEncoder(sparse_output=False).fit_transform(words)
    assert values(found).tolist() == [[1, 0], [0, 1], [1, 0]]
    assert found[1].sources() == {"words": {1}}


def test_tensors_that_stand_in_a_parameter_leave_visibly(X: Any) -> None:
    ordered = np.sort(X, axis=0)
    encoder = OrdinalEncoder(categories=[ordered[:, j] for j in range(3)])
    with pytest.warns(LineageEscapeWarning):
        encoder.fit(values(ordered))


class Centred(BaseEstimator):
    """Keeps to NumPy functions."""

    def fit(self, X: Any, y: Any = None) -> Any:
        self.middle = np.median(X, axis=0)
        return self

    def transform(self, X: Any) -> Any:
        return X - self.middle


class Ranked(BaseEstimator):
    """Takes plain arrays, and calls what it learned as it likes."""

    def fit(self, X: Any, y: Any = None) -> Any:
        self.known = np.sort(np.asarray(X), axis=0)
        return self

    def transform(self, X: Any) -> Any:
        return np.stack([np.searchsorted(self.known[:, j], X[:, j]) for j in range(3)], axis=1)


class Typed(BaseEstimator):
    """Takes nothing but arrays, as compiled code does."""

    def fit(self, X: Any, y: Any = None) -> Any:
        return self

    def transform(self, X: Any) -> Any:
        return np.asarray(memoryview(X)) * 2


class Inplace(BaseEstimator):
    def fit(self, X: Any, y: Any = None) -> Any:
        return self

    def transform(self, X: Any) -> Any:
        plain = np.asarray(X)
        plain *= 2
        return plain


def test_an_estimator_that_keeps_to_numpy_is_recorded_step_by_step(X: Any) -> None:
    other = numbers("Z", 2, seed=1)
    with tp.strict():
        found = Centred().fit(X).transform(other)
    assert found[1].sources() == {"Z": {1}}
    assert depends(found[1], "X") == ALL
    again = tp.replay(found, sources={"X": values(X), "Z": values(other)})
    assert np.array_equal(values(again), values(found))


@pytest.mark.parametrize("own", [Ranked, Typed])
def test_an_estimator_that_takes_plain_arrays_gets_the_sound_answer(X: Any, own: Any) -> None:
    other = numbers("Z", 2, seed=1)
    with tp.strict():
        found = own().fit(X).transform(other)
    assert np.array_equal(values(found), own().fit(values(X)).transform(values(other)))
    assert depends(found[0], "Z", "direct") == {0, 1}
    if own is Ranked:
        assert depends(found[0], "X", "direct") == ALL
    with pytest.raises(LineageError, match=r"nobody knows whether .* learns the same"):
        tp.replay(found, sources={"X": values(X), "Z": values(other)})


def test_no_estimator_writes_into_rows_unseen(X: Any) -> None:
    with pytest.raises(ValueError, match="read-only"):
        Inplace().fit(X).transform(X)


def test_what_was_fitted_before_is_learned_from_too(X: Any, y: Any) -> None:
    other = numbers("Z", 4, seed=1)
    scaler = StandardScaler().fit(other)
    frozen = make_pipeline(FrozenEstimator(scaler), StandardScaler()).fit(X)
    assert depends(frozen.transform(X)[0], "Z", "direct") == {0, 1, 2, 3}
    assert depends(scaler.transform(X)[0], "Z") == {0, 1, 2, 3}  # its own record stays
    assert not depends(scaler.transform(other)[0], "X")
    model = LinearRegression().fit(other, np.arange(4.0))
    chosen = SelectFromModel(model, prefit=True, threshold=-1.0).fit(X).transform(X)
    assert depends(chosen[0], "Z") == {0, 1, 2, 3}
    with pytest.raises(LineageError, match="fitted before"):
        tp.replay(chosen, sources={"X": values(X), "Z": values(other)})


def test_a_search_leaves_the_record_of_the_model_it_was_given(X: Any, y: Any) -> None:
    other = numbers("Z", 4, seed=1)
    model = LogisticRegression().fit(other, np.array([0, 1, 0, 1]))
    GridSearchCV(model, {"C": [0.1, 1.0]}, cv=2).fit(X, y)
    assert not depends(model.predict(X)[0], "y")
    assert depends(model.predict(X)[0], "Z") == {0, 1, 2, 3}


def test_a_warm_start_rests_on_what_came_before(X: Any, y: Any) -> None:
    other, labels = numbers("Z", 4, seed=1), np.array([0, 1, 0, 1])
    model = LogisticRegression(warm_start=True).fit(other, labels).fit(X, y)
    assert depends(model.predict(X)[0], "Z") == {0, 1, 2, 3}
    assert depends(model.predict(X)[0], "y") == ALL
    unseen = LogisticRegression(warm_start=True).fit(values(other), labels).fit(X, y)
    found = unseen.predict(X)[0].dependencies().all()
    assert any("fitted out of sight" in str(source) for source in found)


def test_one_s_own_subclass_of_a_known_transformer_is_not_known(X: Any) -> None:
    class Backwards(StandardScaler):
        def transform(self, X: Any, copy: Any = None) -> Any:
            return super().transform(X)[::-1]

    found = Backwards().fit(X).transform(X)
    assert depends(found[0], "X", "direct") == ALL


# --- splitters


@pytest.mark.parametrize(
    "splitter", [KFold(3), ShuffleSplit(2, random_state=0), TimeSeriesSplit(2)]
)
def test_rows_split_by_their_number_rest_on_themselves(X: Any, y: Any, splitter: Any) -> None:
    out_of_fold = np.zeros(6)
    with tp.strict():
        for train, test in splitter.split(X, y):
            assert X[test].sources() == {"X": set(test.tolist())}
            assert X[train].dependencies().all() == X[train].sources()
            out_of_fold[test] = 1  # a count leaves there, and no value
    assert not X.escapes()
    assert not y.escapes()


def test_labels_decide_the_folds_that_are_stratified_by_them(X: Any, y: Any) -> None:
    with tp.strict():
        for train, test in StratifiedKFold(3).split(X, y):
            fold = X[test]
            assert depends(fold[0], "y", "control") == ALL
            assert len(X[train]) + len(fold) == 6
        parts = train_test_split(X, y, stratify=y, test_size=2, random_state=0)
    assert depends(parts[0][0], "y", "control") == ALL
    again = tp.replay(parts[0], parts[3], sources={"X": values(X), "y": values(y)})
    assert np.array_equal(values(again[0]), values(parts[0]))
    with pytest.raises(LineageError, match="split by shares"):
        tp.replay(parts[0], without={"X": [0], "y": [0]},
                  sources={"X": values(X), "y": values(y)})  # fmt: skip


def test_scores_of_a_cross_validation_leave_visibly(X: Any, y: Any) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression())
    with pytest.warns(LineageEscapeWarning):
        scores = cross_val_score(model, X, y, cv=2)
    expected = cross_val_score(model, values(X), values(y), cv=2)
    assert np.array_equal(scores, expected)


# --- running again


def test_a_replay_without_rows_fits_anew(X: Any, y: Any) -> None:
    pipeline = make_pipeline(SimpleImputer(), StandardScaler())
    found = pipeline.fit(X[:4]).transform(X)
    kept = np.delete(values(X), 1, axis=0)
    again = tp.replay(found, without={"X": [1]}, sources={"X": values(X)})
    assert np.array_equal(values(again), clone(pipeline).fit(kept[:4]).transform(kept))
    whole = tp.replay(pipeline.fit_transform(X), without={"X": [1]}, sources={"X": values(X)})
    assert np.array_equal(values(whole), clone(pipeline).fit_transform(kept))


@pytest.mark.parametrize(
    ("transformer", "reason"),
    [
        (FunctionTransformer(np.square, validate=True), None),
        (
            make_pipeline(FunctionTransformer(lambda x: x + 1), StandardScaler()),
            "function of yours",
        ),
        (GaussianRandomProjection(2), "draws numbers: give it random_state= as an int"),
    ],
)
def test_what_can_t_be_run_again_says_why(X: Any, transformer: Any, reason: str | None) -> None:
    found = clone(transformer).fit_transform(X)
    if reason is None:
        again = tp.replay(found, sources={"X": values(X)})
        assert np.array_equal(values(again), values(found))
        return
    with pytest.raises(LineageError, match=reason):
        tp.replay(found, sources={"X": values(X)})


def test_parameters_set_after_a_fit_are_noticed(X: Any) -> None:
    scaler = StandardScaler().fit(X).set_params(with_mean=False)
    with pytest.raises(LineageError, match="parameters were set anew"):
        tp.replay(scaler.transform(X), sources={"X": values(X)})


def test_another_scikit_learn_is_refused(X: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = StandardScaler().fit_transform(X)
    monkeypatch.setattr(sklearn, "__version__", "1.9.99")
    with pytest.raises(LineageError, match=r"fitted by scikit-learn .* and this is 1\.9\.99"):
        tp.replay(found, sources={"X": values(X)})


def test_a_saved_lineage_runs_again(X: Any, y: Any, tmp_path: Any) -> None:
    fold = next(iter(StratifiedKFold(2).split(X, y)))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[fold[0]], y[fold[0]])
    found = model.predict_proba(X[fold[1]])
    tp.save_lineage(tmp_path / "lineage.arrow", found, model[0].mean_)
    program = (
        "import sys, numpy as np, traceprop as tp\n"
        "graph = tp.load_lineage(sys.argv[1])\n"
        "print(graph.ops())\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "lineage.arrow")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Pipeline" in told.stdout
    graph = tp.load_lineage(tmp_path / "lineage.arrow")
    again = tp.replay(graph, sources={"X": values(X), "y": values(y)})
    assert np.array_equal(values(again[0]), values(found))


# --- turning it on and off


def test_turned_off_all_is_as_it_was(X: Any) -> None:
    assert "__getattribute__" in vars(BaseEstimator)
    switch = tp.sklearn.enable(dispatch=False)
    switch.disable()
    switch.disable()  # once is enough
    assert "__getattribute__" in vars(BaseEstimator)  # the fixture's still holds


PROGRAM = """
import warnings, numpy as np, sklearn
import traceprop as tp
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.model_selection import train_test_split
from traceprop.errors import LineageEscapeWarning, LineageWarning
X = tp.array(np.random.default_rng(0).normal(size=(8, 2)), name="X")
"""


def run(program: str, **environment: str) -> str:
    plain = {k: v for k, v in os.environ.items() if k != "SCIPY_ARRAY_API"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM + program],
        capture_output=True, text=True, env={**plain, **environment}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_the_switch_values_leave_visibly() -> None:
    for environment in ({}, {"SCIPY_ARRAY_API": "1"}):
        run(
            """
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    out = StandardScaler().fit_transform(X)
assert type(out) is np.ndarray and X.escapes()
assert any(each.category is LineageEscapeWarning for each in seen)
parts = train_test_split(X, random_state=0)
assert set(parts[0].sources()["X"]) | set(parts[1].sources()["X"]) == set(range(8))
assert "__getattribute__" not in vars(BaseEstimator)
""",
            **environment,
        )


def test_off_again_learned_numbers_are_plain_and_that_is_an_escape() -> None:
    run(
        """
with tp.sklearn.enable(dispatch=False) as switch:
    scaler = StandardScaler().fit(X)
    assert switch.estimators and not switch.dispatch and not X.escapes()
assert "__getattribute__" not in vars(BaseEstimator)
assert type(scaler.mean_) is np.ndarray
assert "what StandardScaler learned" in X.escapes()[0].door
"""
    )


def test_dispatch_where_scipy_can() -> None:
    run(
        """
from sklearn.metrics import mean_squared_error, r2_score
before = sklearn.get_config()["array_api_dispatch"]
with tp.sklearn.enable() as switch:
    assert switch.dispatch and switch.estimators and not switch.notes
    assert sklearn.get_config()["array_api_dispatch"]
    out = StandardScaler().fit_transform(X)
    assert set(out[1].dependencies().statistic["X"]) == set(range(8))
    train, test = train_test_split(X, random_state=0)
    assert len(test[0].sources()["X"]) == 1
    again = tp.replay(train, sources={"X": X.numpy()})
assert sklearn.get_config()["array_api_dispatch"] == before
# Dispatch that somebody else turned on: estimators compute on tensors, operation by operation.
with sklearn.config_context(array_api_dispatch=True), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    out = StandardScaler().fit_transform(X)
    assert set(out[1].dependencies().all()["X"]) == set(range(8))
    assert out[1].sources()["X"] == {1}
""",
        SCIPY_ARRAY_API="1",
    )


def test_where_scipy_can_t_it_says_what_to_do() -> None:
    run(
        """
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    switch = tp.sklearn.enable()
assert switch.estimators and not switch.dispatch
assert len(seen) == 1 and seen[0].category is LineageWarning and seen[0].filename == "<string>"
assert "SCIPY_ARRAY_API=1" in str(seen[0].message) and "dispatch=False" in str(seen[0].message)
switch.disable()
"""
    )


def test_scipy_isn_t_imported_yet_so_that_it_can_be_told() -> None:
    plain = {k: v for k, v in os.environ.items() if k != "SCIPY_ARRAY_API"}
    program = "import traceprop as tp; assert tp.sklearn.enable().dispatch"
    subprocess.run([sys.executable, "-W", "error", "-c", program], env=plain, check=True)


def test_a_version_that_wasn_t_tested_falls_back(monkeypatch: pytest.MonkeyPatch, X: Any) -> None:
    monkeypatch.setattr(sklearn, "__version__", "9.0.1")
    with pytest.warns(LineageWarning, match=r"scikit-learn 9\.0\.1 is none of the versions"):
        switch = tp.sklearn.enable(dispatch=False)
    assert not switch.estimators
    switch.disable()


def test_this_version_is_one_that_was_tested() -> None:
    assert ".".join(sklearn.__version__.split(".")[:2]) in kinds.VERSIONS


def test_importing_traceprop_does_not_import_scikit_learn() -> None:
    program = "import sys, traceprop; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_class_that_is_listed_is_there() -> None:
    import importlib

    for name, home in kinds.HOMES.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert hasattr(importlib.import_module(home), name)
