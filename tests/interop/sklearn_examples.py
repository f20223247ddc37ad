"""A call of every class of scikit-learn that `traceprop.interop.sklearn.kinds` makes a promise of.

Each is fitted on some rows and transforms others; the tests nudge both, and the coverage page lists
them. A class that isn't listed there is opaque; a few of these are here too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import decomposition, feature_selection, preprocessing, random_projection
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, MissingIndicator, SimpleImputer
from sklearn.kernel_approximation import (
    AdditiveChi2Sampler,
    Nystroem,
    PolynomialCountSketch,
    RBFSampler,
    SkewedChi2Sampler,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

_rng = np.random.default_rng(11)
X = _rng.normal(size=(7, 3)).round(2)
OTHER = _rng.normal(size=(4, 3)).round(2)
POSITIVE, OTHER_POSITIVE = np.abs(X) + 0.1, np.abs(OTHER) + 0.1
GAPS, OTHER_GAPS = X.copy(), OTHER.copy()
GAPS[[1, 4, 5], [0, 2, 1]] = OTHER_GAPS[[0, 2], [1, 0]] = np.nan
CODES = _rng.integers(0, 3, size=(7, 2))
OTHER_CODES = CODES[[5, 0, 3, 1]]
Y = np.array([0, 1, 0, 1, 1, 0, 1])
WORDS = np.array(["b", "a", "c", "a", "b", "c", "a"])

_PLAIN = (X, OTHER)
_LABELLED = (X, OTHER, Y)

MAKERS: dict[str, tuple[Callable[[], Any], tuple[Any, ...]]] = {
    "AdditiveChi2Sampler": (lambda: AdditiveChi2Sampler(), (POSITIVE, OTHER_POSITIVE)),
    "Binarizer": (lambda: preprocessing.Binarizer(), _PLAIN),
    "ColumnTransformer": (
        lambda: ColumnTransformer(
            [
                ("scaled", preprocessing.StandardScaler(), [0, 1]),
                ("kept", "passthrough", [2]),
            ]
        ),
        _PLAIN,
    ),
    "DecisionTreeClassifier": (lambda: DecisionTreeClassifier(random_state=0), _LABELLED),
    "DecisionTreeRegressor": (lambda: DecisionTreeRegressor(random_state=0), _LABELLED),
    "FactorAnalysis": (
        lambda: decomposition.FactorAnalysis(2, svd_method="lapack", max_iter=5, tol=1),
        _PLAIN,
    ),
    "FastICA": (lambda: decomposition.FastICA(2, random_state=0, max_iter=5, tol=1), _PLAIN),
    "FeatureUnion": (
        lambda: FeatureUnion(
            [("a", preprocessing.StandardScaler()), ("b", preprocessing.Normalizer())]
        ),
        _PLAIN,
    ),
    "FunctionTransformer": (lambda: preprocessing.FunctionTransformer(np.cbrt), _PLAIN),
    "GaussianRandomProjection": (
        lambda: random_projection.GaussianRandomProjection(2, random_state=0),
        _PLAIN,
    ),
    "GenericUnivariateSelect": (
        lambda: feature_selection.GenericUnivariateSelect(mode="k_best", param=2),
        _LABELLED,
    ),
    "IncrementalPCA": (lambda: decomposition.IncrementalPCA(2), _PLAIN),
    "IterativeImputer": (
        lambda: IterativeImputer(random_state=0, max_iter=2),
        (GAPS[:5], OTHER_GAPS[:2]),
    ),
    "KBinsDiscretizer": (
        lambda: preprocessing.KBinsDiscretizer(3, encode="ordinal", strategy="uniform"),
        _PLAIN,
    ),
    "KMeans": (lambda: KMeans(2, random_state=0, n_init=1), _PLAIN),
    "KNNImputer": (lambda: KNNImputer(n_neighbors=2), (GAPS, OTHER_GAPS)),
    "KernelPCA": (
        lambda: decomposition.KernelPCA(2, kernel="rbf", eigen_solver="dense"),
        _PLAIN,
    ),
    "LabelBinarizer": (lambda: preprocessing.LabelBinarizer(), (WORDS, WORDS[[2, 0, 1]])),
    "LabelEncoder": (lambda: preprocessing.LabelEncoder(), (WORDS, WORDS[[2, 0, 1]])),
    "LinearDiscriminantAnalysis": (lambda: LinearDiscriminantAnalysis(), _LABELLED),
    "LinearRegression": (lambda: LinearRegression(), _LABELLED),
    "LogisticRegression": (lambda: LogisticRegression(max_iter=5, tol=1), _LABELLED),
    "MaxAbsScaler": (lambda: preprocessing.MaxAbsScaler(), _PLAIN),
    "MinMaxScaler": (lambda: preprocessing.MinMaxScaler(), _PLAIN),
    "MissingIndicator": (
        lambda: MissingIndicator(error_on_new=False),
        (GAPS, OTHER_GAPS),
    ),
    "Normalizer": (lambda: preprocessing.Normalizer(), _PLAIN),
    "Nystroem": (lambda: Nystroem(n_components=3, random_state=0), _PLAIN),
    "OneHotEncoder": (
        lambda: preprocessing.OneHotEncoder(sparse_output=False, handle_unknown="ignore"),
        (CODES, OTHER_CODES),
    ),
    "OrdinalEncoder": (
        lambda: preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        (CODES, OTHER_CODES),
    ),
    "PCA": (lambda: decomposition.PCA(0.9, svd_solver="full"), _PLAIN),
    "Pipeline": (
        lambda: Pipeline([("fill", SimpleImputer()), ("scale", preprocessing.RobustScaler())]),
        (GAPS, OTHER_GAPS),
    ),
    "PolynomialCountSketch": (
        lambda: PolynomialCountSketch(n_components=4, random_state=0),
        _PLAIN,
    ),
    "PolynomialFeatures": (lambda: preprocessing.PolynomialFeatures(), _PLAIN),
    "PowerTransformer": (lambda: preprocessing.PowerTransformer(), (X[:4, :2], OTHER[:2, :2])),
    "QuantileTransformer": (
        lambda: preprocessing.QuantileTransformer(n_quantiles=4, output_distribution="normal"),
        _PLAIN,
    ),
    "RBFSampler": (lambda: RBFSampler(n_components=3, random_state=0), _PLAIN),
    "RFE": (
        lambda: feature_selection.RFE(LinearRegression(), n_features_to_select=2),
        _LABELLED,
    ),
    "Ridge": (lambda: Ridge(), _LABELLED),
    "RobustScaler": (lambda: preprocessing.RobustScaler(), _PLAIN),
    "SelectFdr": (lambda: feature_selection.SelectFdr(alpha=0.9), _LABELLED),
    "SelectFpr": (lambda: feature_selection.SelectFpr(alpha=0.9), _LABELLED),
    "SelectFromModel": (
        lambda: feature_selection.SelectFromModel(LinearRegression(), threshold="median"),
        _LABELLED,
    ),
    "SelectFwe": (lambda: feature_selection.SelectFwe(alpha=0.9), _LABELLED),
    "SelectKBest": (lambda: feature_selection.SelectKBest(k=1), _LABELLED),
    "SelectPercentile": (lambda: feature_selection.SelectPercentile(percentile=50), _LABELLED),
    "SequentialFeatureSelector": (
        lambda: feature_selection.SequentialFeatureSelector(
            LinearRegression(), n_features_to_select=1, cv=2
        ),
        (X[:4, :2], OTHER[:2, :2], np.array([0.3, 1.0, -0.4, 2.0])),
    ),
    "SimpleImputer": (lambda: SimpleImputer(strategy="median"), (GAPS, OTHER_GAPS)),
    "SkewedChi2Sampler": (
        lambda: SkewedChi2Sampler(n_components=3, random_state=0),
        (POSITIVE, OTHER_POSITIVE),
    ),
    "SparseRandomProjection": (
        lambda: random_projection.SparseRandomProjection(2, density=1.0, random_state=0),
        _PLAIN,
    ),
    "SplineTransformer": (lambda: preprocessing.SplineTransformer(n_knots=3), _PLAIN),
    "StandardScaler": (lambda: preprocessing.StandardScaler(), _PLAIN),
    "TargetEncoder": (
        lambda: preprocessing.TargetEncoder(cv=2, random_state=0),
        (CODES, OTHER_CODES, np.arange(7.0) ** 1.5),
    ),
    "TruncatedSVD": (lambda: decomposition.TruncatedSVD(2, random_state=0), _PLAIN),
    "VarianceThreshold": (lambda: feature_selection.VarianceThreshold(0.5), _PLAIN),
}
"""Class → how to make one, and its data: rows to fit on, rows to transform, labels."""


def fit_then_transform(name: str) -> Callable[..., Any]:
    """Return a function of the data that fits on some rows and applies that to them and others."""
    make = MAKERS[name][0]

    def call(fitted_on: Any, others: Any, *labels: Any) -> Any:
        estimator = make().fit(fitted_on, *labels)
        apply = estimator.transform if hasattr(estimator, "transform") else estimator.predict
        return [apply(fitted_on), apply(others)]

    return call


def fit_transform(name: str) -> Callable[..., Any]:
    """Return a function of the data that does both in one call, and back where that is possible."""
    make = MAKERS[name][0]

    def call(fitted_on: Any, others: Any, *labels: Any) -> Any:
        estimator = make()
        if not hasattr(estimator, "fit_transform"):
            return estimator.fit(fitted_on, *labels).predict(others)
        found = estimator.fit_transform(fitted_on, *labels)
        back = name in ("StandardScaler", "PCA", "PowerTransformer", "KBinsDiscretizer",
                        "MinMaxScaler", "OrdinalEncoder", "LabelBinarizer")  # fmt: skip
        return [found, estimator.inverse_transform(found)] if back else found

    return call
