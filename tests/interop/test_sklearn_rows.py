"""Every class of scikit-learn that a promise is made of, judged by nudging rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import traceprop as tp
from tests.interop.sklearn_examples import MAKERS, fit_then_transform, fit_transform
from traceprop.interop.sklearn.kinds import HOMES, NEIGHBOURS, OPAQUE, kind_of
from traceprop.testing import assert_sound, perturbed
from traceprop.testing.oracle import count_shown, recorded, unnamed_pairs


@pytest.fixture(autouse=True)
def on() -> Iterator[None]:
    with tp.sklearn.enable(dispatch=False):
        yield


def test_every_class_has_an_example() -> None:
    assert not sorted(set(HOMES) - set(MAKERS))


EXACT = [
    name
    for name, (make, _) in MAKERS.items()
    if kind_of(make(), "transform" if hasattr(make(), "transform") else "predict")
    not in (OPAQUE, NEIGHBOURS)
]
# Classes, categories, bounds and medians seldom change with one row of a small table.
SELDOM_SEEN = (
    "DecisionTreeClassifier DecisionTreeRegressor KBinsDiscretizer LabelBinarizer LabelEncoder "
    "LogisticRegression MissingIndicator OneHotEncoder OrdinalEncoder SelectFdr SelectFpr "
    "SelectFwe SelectKBest SimpleImputer TargetEncoder VarianceThreshold"
)
# What they draw hangs on the number of columns, and on that of rows, but on no value.
NO_VALUES = (
    "GaussianRandomProjection PolynomialCountSketch RBFSampler SkewedChi2Sampler "
    "SparseRandomProjection"
)
SEEN = {*EXACT} - {*SELDOM_SEEN.split(), *NO_VALUES.split()}


@pytest.mark.parametrize("name", MAKERS)
def test_rows_transformed_later_rest_on_all_that_matters(name: str) -> None:
    """And, where the rows are called exact, on little else."""
    function, arrays = fit_then_transform(name), MAKERS[name][1]
    changed = perturbed(function, arrays, finite=True)
    for _, _, missing in unnamed_pairs(function, arrays, changed, recorded):
        assert not missing.any()
    if name in SEEN:
        shown, named = count_shown(function, arrays, changed, recorded)
        assert shown >= named / 2, f"{shown} of {named}"


SLOW = {"IterativeImputer", "LogisticRegression", "PowerTransformer", "SequentialFeatureSelector"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.nightly] * (n in SLOW)) for n in MAKERS]
)
def test_rows_transformed_at_once_rest_on_all_that_matters(name: str) -> None:
    assert_sound(fit_transform(name), *MAKERS[name][1], finite=True)


def test_what_is_learned_is_not_read_into_other_rows_directly() -> None:
    for name in EXACT:
        fitted_on, others, *labels = MAKERS[name][1]
        tensors = [
            tp.array(each, name=n)
            for each, n in zip((fitted_on, others, *labels), "XZy", strict=False)
        ]
        found = fit_then_transform(name)(*tensors)[1]
        assert found[1].sources() == {"Z": {1}}, name
        assert np.shape(found)[0] == len(others), name
