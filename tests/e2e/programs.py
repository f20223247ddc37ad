"""Programs as NumPy users write them; none has heard of Traceprop.

Each takes the columns of one or two tables and returns named results. The tests run every program
twice, on plain arrays and on tensors that keep their rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Results = dict[str, Any]


def credit_scoring(applications) -> Results:
    """Impute, derive ratios, take logs, cut outliers, standardise and drop minors."""
    age, income, debt, missed = applications.T
    income = np.where(np.isnan(income), np.nanmedian(income), income)
    ratio = debt / np.maximum(income, 1.0)
    features = np.column_stack([np.log1p(income), ratio, missed])
    low, high = np.percentile(features, [5, 95], axis=0)
    features = np.clip(features, low, high)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    adult = age >= 18
    return {"features": features[adult], "age": age[adult]}


def k_means(points) -> Results:
    """Lloyd's algorithm, five rounds from the first three points."""
    centres = points[:3].copy()
    for _ in range(5):
        distances = ((points[:, np.newaxis, :] - centres[np.newaxis, :, :]) ** 2).sum(axis=-1)
        labels = distances.argmin(axis=1)
        centres = np.stack([points[labels == j].mean(axis=0) for j in range(3)])
    return {"labels": labels, "centres": centres}


def principal_components(X) -> Results:
    """The first two principal components, by singular value decomposition."""
    centred = X - X.mean(axis=0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    return {"scores": centred @ axes[:2].T, "share": singular**2 / np.sum(singular**2)}


def moving_averages(prices) -> Results:
    """A window by strides, one by convolution, one by running sums, and the day's change."""
    close = prices[:, 0]
    windows = np.lib.stride_tricks.sliding_window_view(close, 4)
    running = np.cumsum(close)
    return {
        "window": windows.mean(axis=-1),
        "convolved": np.convolve(close, np.ones(4) / 4, mode="valid"),
        "running": (running[4:] - running[:-4]) / 4,
        "change": np.diff(close) / close[:-1],
    }


def bootstrap(X) -> Results:
    """Resample the rows with replacement; the means and the last resample itself."""
    rng = np.random.default_rng(7)
    means = []
    for _ in range(4):
        resample = X[rng.integers(0, len(X), size=len(X))]
        means.append(resample.mean(axis=0))
    return {"means": np.stack(means), "last": resample}


def one_hot(table) -> Results:
    """Codes to indicator columns beside the numbers, most frequent code dropped."""
    codes = table[:, 0].astype(int)
    indicators = (codes[:, np.newaxis] == np.arange(4)).astype(float)
    frequent = np.argmax(np.bincount(codes, minlength=4))
    indicators = np.delete(indicators, frequent, axis=1)
    return {"design": np.hstack([indicators, table[:, 1:]])}


def group_by(table) -> Results:
    """Sums, counts and means by group, and each row's distance from its group's mean."""
    group, amount = table[:, 0].astype(int), table[:, 1]
    sums = np.zeros_like(amount, shape=4)
    counts = np.zeros_like(amount, shape=4)
    np.add.at(sums, group, amount)
    np.add.at(counts, group, 1)
    means = sums / np.maximum(counts, 1)
    return {"sums": sums, "means": means, "centred": amount - means[group]}


def join(orders, customers) -> Results:
    """Join two tables on a key by binary search; orders of unknown customers are dropped."""
    by_key = np.argsort(customers[:, 0], kind="stable")
    sorted_customers = customers[by_key]
    keys = sorted_customers[:, 0]
    position = np.minimum(np.searchsorted(keys, orders[:, 0]), len(keys) - 1)
    found = keys[position] == orders[:, 0]
    joined = np.concatenate([orders[found], sorted_customers[position[found], 1:]], axis=1)
    return {"joined": joined}


@dataclass(frozen=True)
class Program:
    """A program with the function that makes its tables from a random generator."""

    run: Callable[..., Results]
    tables: Callable[[np.random.Generator], list[np.ndarray]]

    @property
    def name(self) -> str:
        return self.run.__name__


def _applications(rng: np.random.Generator) -> list[np.ndarray]:
    table = np.column_stack(
        [
            rng.integers(15, 80, 40).astype(float),
            rng.lognormal(10, 1, 40),
            rng.lognormal(8, 2, 40),
            rng.poisson(1, 40).astype(float),
        ]
    )
    table[rng.integers(0, 40, 6), 1] = np.nan
    return [table]


def _clusters(rng: np.random.Generator) -> list[np.ndarray]:
    centres = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
    return [centres[np.arange(30) % 3] + rng.normal(size=(30, 2))]


def _coded(rng: np.random.Generator) -> list[np.ndarray]:
    return [np.column_stack([rng.integers(0, 4, 25).astype(float), rng.normal(size=25)])]


def _orders_and_customers(rng: np.random.Generator) -> list[np.ndarray]:
    customers = np.column_stack([rng.permutation(12) * 10.0, rng.normal(size=12)])
    orders = np.column_stack([rng.integers(0, 14, 20) * 10.0, rng.normal(size=20)])
    return [orders, customers]


PROGRAMS = (
    Program(credit_scoring, _applications),
    Program(k_means, _clusters),
    Program(principal_components, lambda rng: [rng.normal(size=(20, 4))]),
    Program(moving_averages, lambda rng: [rng.lognormal(3, 0.1, size=(30, 2))]),
    Program(bootstrap, lambda rng: [rng.normal(size=(15, 3))]),
    Program(one_hot, _coded),
    Program(group_by, _coded),
    Program(join, _orders_and_customers),
)
