"""Twenty-five ordinary things that people do with scikit-learn, and what becomes of the rows.

The tests and the table `replay` judge each by nudging source rows: where a row of the result
changes with a source row that is not among its dependencies, and nothing was said to have left the
lineage, the case is *wrong*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.feature_selection import SelectKBest
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from traceprop.lineage import ProvenanceTensor
from traceprop.testing import assert_same_values, perturbed
from traceprop.testing.oracle import flat_results, recorded, track
from traceprop.testing.program import run_quietly

EXACT, SOUND, ESCAPES, WRONG = "exact", "sound", "escapes", "WRONG"

_rng = np.random.default_rng(7)
X = _rng.normal(size=(8, 3)).round(3)
GAPS = X.copy()
GAPS[[1, 5, 6], [0, 2, 1]] = np.nan
TEST = _rng.normal(size=(5, 3)).round(3)
CODES = _rng.integers(0, 3, size=(8, 2))
LABELS = np.array([0, 1] * 4)
AMOUNTS = _rng.normal(size=8).round(3)


class Winsorizer(TransformerMixin, BaseEstimator):
    """A transformer of one's own, written as the books say."""

    def fit(self, X: Any, y: Any = None) -> Winsorizer:
        self.low_, self.high_ = np.quantile(np.asarray(X), [0.1, 0.9], axis=0)
        return self

    def transform(self, X: Any) -> Any:
        return np.clip(np.asarray(X), self.low_, self.high_)


@dataclass(frozen=True)
class Case:
    """One thing that people do: a function of arrays, plain or tracked."""

    name: str
    function: Callable[..., Any]
    arrays: tuple[Any, ...] = (X,)

    def judge(self) -> str:
        """Run it on plain and on tracked arrays, nudge every row, and say what became of it."""
        changed = perturbed(self.function, self.arrays)
        tensors = track(self.arrays)
        given = [each.copy() for each in tensors]
        results = flat_results(run_quietly(self.function, *given))
        assert_same_values(flat_results(run_quietly(self.function, *self.arrays)), results)
        escaped = any(each.escapes() for each in given)
        shown = named = 0
        for result, pairs in zip(results, changed, strict=True):
            if not isinstance(result, ProvenanceTensor):
                if not escaped and pairs.any():
                    return WRONG
                continue
            own = recorded(result, tensors)
            if (pairs & ~own).any() and not escaped:
                return WRONG
            shown, named = shown + int((own & pairs).sum()), named + int(own.sum())
        if escaped:
            return ESCAPES
        return EXACT if shown >= named / 2 else SOUND


def fitted(transformer: Any) -> Callable[..., Any]:
    """Fit and transform in one."""
    from sklearn.base import clone

    return lambda *data: clone(transformer).fit_transform(*data)


def train_and_test(train: Any, test: Any) -> Any:
    scaler = MinMaxScaler()
    scaler.fit(train)
    return [scaler.transform(train), scaler.transform(test)]


def split_then_scale(X: Any, y: Any) -> Any:
    parts = train_test_split(X, y, stratify=y, test_size=0.5, random_state=3)
    scaler = StandardScaler().fit(parts[0])
    return [scaler.transform(parts[0]), scaler.transform(parts[1]), *parts[2:]]


def scale_each_fold(X: Any, y: Any) -> Any:
    results = []
    for train, test in StratifiedKFold(3).split(X, y):
        scaler = StandardScaler().fit(X[train])
        results += [scaler.transform(X[test])]
    return results


def columns_apart(X: Any, codes: Any) -> Any:
    table = np.column_stack([X, codes])
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1, 2]),
            ("codes", OneHotEncoder(sparse_output=False, handle_unknown="ignore"), [3, 4]),
        ]
    ).fit_transform(table)


CASES = [
    Case("StandardScaler", fitted(StandardScaler())),
    Case("MinMaxScaler, fitted on other rows", train_and_test, (X, TEST)),
    Case("RobustScaler", fitted(RobustScaler())),
    Case("MaxAbsScaler", fitted(MaxAbsScaler())),
    Case("Normalizer", fitted(Normalizer())),
    Case("PolynomialFeatures", fitted(PolynomialFeatures())),
    Case("PowerTransformer", fitted(PowerTransformer())),
    Case("QuantileTransformer", fitted(QuantileTransformer(n_quantiles=5))),
    Case(
        "KBinsDiscretizer",
        fitted(KBinsDiscretizer(3, encode="onehot-dense", quantile_method="averaged_inverted_cdf")),
    ),
    Case("SplineTransformer", fitted(SplineTransformer(n_knots=3))),
    Case(
        "OneHotEncoder, sparse, made dense",
        lambda codes: OneHotEncoder().fit_transform(codes).toarray(),
        (CODES,),
    ),
    Case("OneHotEncoder", fitted(OneHotEncoder(sparse_output=False)), (CODES,)),
    Case("OrdinalEncoder", fitted(OrdinalEncoder()), (CODES,)),
    Case("TargetEncoder", fitted(TargetEncoder(random_state=0, cv=3)), (CODES, AMOUNTS)),
    Case("SimpleImputer", fitted(SimpleImputer()), (GAPS,)),
    Case("KNNImputer", fitted(KNNImputer(n_neighbors=2)), (GAPS,)),
    Case("IterativeImputer", fitted(IterativeImputer(random_state=0, max_iter=3)), (GAPS,)),
    Case("PCA", fitted(PCA(2, svd_solver="full"))),
    Case("SelectKBest", fitted(SelectKBest(k=2)), (X, LABELS)),
    Case("FunctionTransformer", fitted(FunctionTransformer(lambda X: np.log1p(np.abs(X))))),
    Case(
        "Pipeline",
        fitted(make_pipeline(SimpleImputer(), StandardScaler(), PolynomialFeatures(2))),
        (GAPS,),
    ),
    Case("ColumnTransformer", columns_apart, (GAPS, CODES)),
    Case("train_test_split, stratified, then a scaler", split_then_scale, (X, LABELS)),
    Case("StratifiedKFold, a scaler in each fold", scale_each_fold, (X, LABELS)),
    Case("a transformer of one's own", fitted(Winsorizer())),
]
