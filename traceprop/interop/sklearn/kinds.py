"""What is known of scikit-learn's estimators: how their results' rows come about.

Promise: a class that isn't listed gets the sound answer, every row of the result from every row
that went in. What is listed was read in the scikit-learn versions of `VERSIONS`, which the tests
run with, and is checked there by nudging rows (`tests/interop/test_sklearn_rows.py`).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from traceprop.lineage.registry import rule_of

VERSIONS: Final = ("1.8", "1.9")
"""Versions of scikit-learn, major and minor, that the tests ran with."""

ROWS: Final = "rows"
"""A row of the result comes from its own row; what was learned is a statistic of it."""
STATELESS: Final = "stateless"
"""A row of the result comes from its own row and nothing else."""
NEIGHBOURS: Final = "neighbours"
"""A row of the result comes from its own row, and from rows that were learned from, as they are."""
OPAQUE: Final = "opaque"
"""A row of the result may come from every row: nobody said otherwise."""

_TRANSFORMERS: Final = {
    "sklearn.preprocessing": (
        "KBinsDiscretizer LabelBinarizer LabelEncoder MaxAbsScaler MinMaxScaler OneHotEncoder "
        "OrdinalEncoder PowerTransformer QuantileTransformer RobustScaler SplineTransformer "
        "StandardScaler TargetEncoder"
    ),
    "sklearn.impute": "MissingIndicator SimpleImputer",
    "sklearn.decomposition": "FactorAnalysis FastICA IncrementalPCA KernelPCA PCA TruncatedSVD",
    "sklearn.discriminant_analysis": "LinearDiscriminantAnalysis",
    "sklearn.feature_selection": (
        "GenericUnivariateSelect RFE SelectFdr SelectFpr SelectFromModel SelectFwe SelectKBest "
        "SelectPercentile SequentialFeatureSelector VarianceThreshold"
    ),
    "sklearn.kernel_approximation": "Nystroem PolynomialCountSketch RBFSampler SkewedChi2Sampler",
    "sklearn.random_projection": "GaussianRandomProjection SparseRandomProjection",
}
_STATELESS: Final = {
    "sklearn.preprocessing": "Binarizer Normalizer PolynomialFeatures",
    "sklearn.kernel_approximation": "AdditiveChi2Sampler",
}
_NEIGHBOURS: Final = {"sklearn.impute": "KNNImputer"}
_PREDICTORS: Final = {
    "sklearn.linear_model": "LinearRegression LogisticRegression Ridge",
    "sklearn.tree": "DecisionTreeClassifier DecisionTreeRegressor",
}
_MADE_OF_OTHERS: Final = {
    "sklearn.pipeline": "FeatureUnion Pipeline",
    "sklearn.compose": "ColumnTransformer",
    "sklearn.preprocessing": "FunctionTransformer",
}


def _listed(*tables: dict[str, str]) -> dict[str, str]:
    return {name: home for table in tables for home, names in table.items()
            for name in names.split()}  # fmt: skip


HOMES: Final = _listed(_TRANSFORMERS, _STATELESS, _NEIGHBOURS, _PREDICTORS, _MADE_OF_OTHERS)
"""Every class that is known, and where it is imported from."""

_KINDS: Final = {
    **dict.fromkeys(_listed(_TRANSFORMERS), ROWS),
    **dict.fromkeys(_listed(_STATELESS), STATELESS),
    **dict.fromkeys(_listed(_NEIGHBOURS), NEIGHBOURS),
}
_PREDICTING: Final = frozenset(_listed(_PREDICTORS)) | {"LinearDiscriminantAnalysis"}
_TRANSFORMS: Final = frozenset({"transform", "fit_transform", "inverse_transform"})
_PREDICTS: Final = frozenset({"predict", "predict_proba", "predict_log_proba", "decision_function"})
_WEAKEST_LAST: Final = (STATELESS, ROWS, NEIGHBOURS, OPAQUE)


def is_known(estimator: Any) -> bool:
    """Whether an estimator's class is scikit-learn's own and listed here."""
    kind = type(estimator)
    return kind.__name__ in HOMES and kind.__module__.startswith("sklearn.")


def kind_of(estimator: Any, method: str) -> str:
    """Return how rows come about in the result of a method of an estimator, as it is set.

    Parameters
    ----------
    estimator : scikit-learn estimator
    method : str
        As ``"transform"``.

    Returns
    -------
    str
        `ROWS`, `STATELESS`, `NEIGHBOURS` or `OPAQUE`.
    """
    if estimator is None or isinstance(estimator, str):
        return STATELESS if estimator in (None, "passthrough", "drop") else OPAQUE
    if not is_known(estimator):
        return OPAQUE
    name = type(estimator).__name__
    if name == "Pipeline":
        return _weakest(_pipeline(estimator, method))
    if name == "FeatureUnion" and method in _TRANSFORMS:
        return _weakest(kind_of(each, "transform") for _, each in estimator.transformer_list)
    if name == "ColumnTransformer" and method in _TRANSFORMS:
        parts = [part for _, part, _ in estimator.transformers]
        return _weakest(kind_of(part, "transform") for part in (*parts, estimator.remainder))
    if name == "FunctionTransformer" and method in _TRANSFORMS:
        functions = (estimator.func, estimator.inverse_func)
        given = estimator.kw_args or estimator.inv_kw_args
        return STATELESS if not given and all(map(_is_cell_by_cell, functions)) else OPAQUE
    if method in _TRANSFORMS:
        return _KINDS.get(name, OPAQUE)
    return ROWS if method in _PREDICTS and name in _PREDICTING else OPAQUE


def takes_tensors(estimator: Any) -> bool:
    """Whether an estimator hands its data to a function of the user's, which is recorded itself."""
    return is_known(estimator) and type(estimator).__name__ == "FunctionTransformer" and (
        not estimator.validate and kind_of(estimator, "transform") == OPAQUE
    )  # fmt: skip


def _pipeline(pipeline: Any, method: str) -> list[str]:
    *before, (_, last) = pipeline.steps
    return [*(kind_of(step, "transform") for _, step in before), kind_of(last, method)]


def _weakest(kinds: Any) -> str:
    return max(kinds, key=_WEAKEST_LAST.index, default=STATELESS)


def _is_cell_by_cell(function: Any) -> bool:
    """Whether a function of one argument, or none, works on each cell by itself."""
    if function is None:
        return True
    return isinstance(function, np.ufunc) and (
        function.signature is None and function.nin == function.nout == 1
        and rule_of(function).family == "elementwise"
    )  # fmt: skip
