"""Estimators of scikit-learn on new rows: what they learned is that of the recording."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import traceprop as tp
from tests.interop.sklearn_examples import MAKERS
from traceprop.errors import LineageError
from traceprop.interop.sklearn.kinds import HOMES
from traceprop.lineage import values

TRANSFORMERS = sorted(
    name for name in HOMES
    if hasattr(MAKERS[name][0](), "transform") and MAKERS[name][1][0].dtype.kind != "U"
)  # fmt: skip


@pytest.fixture(autouse=True)
def on() -> Iterator[None]:
    with tp.sklearn.enable(dispatch=False):
        yield


def given(name: str) -> tuple[Any, list[Any], dict[str, Any]]:
    make, (fitted_on, _, *labels) = MAKERS[name]
    plain = dict(zip(("X", "y"), (fitted_on, *labels), strict=False))
    return make(), [tp.array(each, name=key) for key, each in plain.items()], plain


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_training_row_is_prepared_as_it_was(name: str) -> None:
    estimator, tensors, plain = given(name)
    found = estimator.fit(*tensors).transform(tensors[0])
    again = tp.apply(found, {"X": plain["X"]}, sources=plain)
    assert np.allclose(again, values(found), equal_nan=True, rtol=1e-12)


@pytest.mark.parametrize(
    "name", ["StandardScaler", "PCA", "KNNImputer", "OneHotEncoder", "Pipeline"]
)
def test_fit_transform_becomes_a_transform_of_new_rows(name: str) -> None:
    estimator, tensors, plain = given(name)
    others = MAKERS[name][1][1]
    found = estimator.fit_transform(*tensors)
    expected = MAKERS[name][0]().fit(*plain.values()).transform(others)
    assert np.array_equal(tp.apply(found, others, sources=plain), expected, equal_nan=True)


@pytest.mark.filterwarnings("ignore:.TargetEncoder:FutureWarning")
def test_what_encodes_its_own_rows_otherwise_is_refused() -> None:
    estimator, tensors, plain = given("TargetEncoder")
    with pytest.raises(LineageError, match="use fit, then transform"):
        tp.apply(estimator.fit_transform(*tensors), {"X": plain["X"]}, sources=plain)


def test_what_nobody_knows_is_refused() -> None:
    estimator, tensors, plain = given("KMeans")
    with pytest.raises(LineageError, match=r"estimator .* isn't known to make each row of its own"):
        tp.apply(estimator.fit_transform(*tensors), plain["X"], sources=plain)


def test_a_fitted_estimator_is_kept_in_no_file(tmp_path: Any) -> None:
    estimator, tensors, plain = given("StandardScaler")
    with pytest.raises(LineageError, match="StandardScaler holds Python objects"):
        tp.save_pipeline(tmp_path / "p", estimator.fit_transform(*tensors), sources=plain)
