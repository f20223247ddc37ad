"""Random pipelines of scikit-learn: their rows are sound, and they replay as if fitted anew."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)

import traceprop as tp
from traceprop.lineage import values
from traceprop.testing import assert_sound
from traceprop.testing.oracle import rows_differ

STEPS = (
    StandardScaler(),
    MinMaxScaler(),
    RobustScaler(),
    Normalizer(),
    PolynomialFeatures(interaction_only=True),
    QuantileTransformer(n_quantiles=4),
    KBinsDiscretizer(3, encode="ordinal", strategy="uniform"),
    SplineTransformer(n_knots=3, degree=2),
    KNNImputer(n_neighbors=2),
    FunctionTransformer(np.cbrt),
)


@pytest.fixture(autouse=True)
def on() -> Iterator[None]:
    with tp.sklearn.enable(dispatch=False):
        yield


def pipeline(rng: np.random.Generator) -> Any:
    """Two or three steps; one of them may be columns apart, or two things side by side."""
    chosen = [clone(STEPS[i]) for i in rng.choice(len(STEPS), size=rng.integers(2, 4))]
    form = rng.integers(4)
    if form == 0:
        chosen[-1] = ColumnTransformer(
            [("a", chosen[-1], [0]), ("b", clone(STEPS[rng.integers(len(STEPS))]), [1])],
            remainder="passthrough",
        )
    elif form == 1:
        chosen[-1] = make_union(chosen[-1], clone(STEPS[rng.integers(len(STEPS))]))
    return make_pipeline(SimpleImputer(), *chosen)


def data(rng: np.random.Generator) -> tuple[Any, Any]:
    X, Z = rng.normal(size=(6, 2)).round(2), rng.normal(size=(3, 2)).round(2)
    X[rng.integers(6), 0] = np.nan
    return X, Z


@pytest.mark.parametrize("seed", range(12))
def test_rows_are_sound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps, (X, Z) = pipeline(rng), data(rng)

    def program(X: Any, Z: Any) -> list[Any]:
        fitted = clone(steps).fit(X)
        return [fitted.transform(Z), clone(steps).fit_transform(X)]

    assert_sound(program, X, Z, finite=True)


@pytest.mark.parametrize("seed", range(40))
def test_a_replay_is_a_fit_anew(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps, (X, Z) = pipeline(rng), data(rng)
    sources = {"X": X, "Z": Z}
    fitted = clone(steps).fit(tp.array(X, name="X"))
    tensors = (
        fitted.transform(tp.array(Z, name="Z")),
        clone(steps).fit_transform(tp.array(X, name="X")),
    )
    for found, again in zip(tensors, tp.replay(*tensors, sources=sources), strict=True):
        assert not rows_differ(values(found), values(again)).any()
    gone = int(rng.integers(6))
    kept = np.delete(X, gone, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer rows than quantiles
        expected = clone(steps).fit(kept).transform(Z), clone(steps).fit_transform(kept)
        replayed = tp.replay(*tensors, sources=sources, without={"X": [gone]})
    for one, other in zip(expected, replayed, strict=True):
        assert not rows_differ(one, values(other)).any()
