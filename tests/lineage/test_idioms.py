"""Readable steps: each idiom as people write it, and what looks like one but isn't."""

from __future__ import annotations

import numpy as np
import pytest

from traceprop import lineage


@pytest.fixture
def X():
    values = np.random.default_rng(0).normal(size=(20, 4))
    values[3, 1] = np.nan
    return lineage.array(values, name="X")


STEPS = {
    "normalize": lambda X: (X - X.mean(axis=0)) / X.std(axis=0),
    "normalize ": lambda X: (X - np.nanmean(X, axis=0)) / (np.nanstd(X, axis=0) + 1e-9),
    "normalize  ": lambda X: (X - np.mean(X, 0, keepdims=True)) / np.sqrt(np.var(X, 0)),
    "min_max_scale": lambda X: (X - X.min(axis=0)) / (X.max(axis=0) - X.min(axis=0)),
    "min_max_scale ": lambda X: (X - np.nanmin(X, 0)) / np.ptp(X, axis=0),
    "center": lambda X: X - X.mean(axis=0),
    "scale": lambda X: X / X.std(axis=0),
    "row_filter": lambda X: X[X[:, 0] > 0],
    "row_filter ": lambda X: X[np.arange(20) % 3 == 0],
    "row_filter  ": lambda X: np.compress(X[:, 0] > 0, X, axis=0),
    "row_slice": lambda X: X[5:],
    "row_select": lambda X: X[np.array([3, 1, 3])],
    "shuffle": lambda X: X[np.random.default_rng(1).permutation(20)],
    "clip": lambda X: np.clip(X, -1, 1),
    "clip ": lambda X: np.minimum(np.maximum(X, -1), 1),
    "clip  ": lambda X: X.clip(0, None),
    "log": lambda X: np.log1p(np.abs(X)),
    "impute": lambda X: np.where(np.isnan(X), 0.0, X),
    "impute ": lambda X: np.nan_to_num(X),
    "one_hot": lambda X: (np.floor(X[:, 0])[:, None] == np.arange(3)).astype(float),
    "concat": lambda X: np.concatenate([X, X]),
    "concat ": lambda X: np.column_stack([X, X[:, 0]]),
    "multiply": lambda X: X * 3,
}


@pytest.mark.parametrize("step", STEPS)
def test_is_recognised_as_the_last_step(X, step):
    with np.errstate(all="ignore"):
        assert STEPS[step](X).ops()[-1] == step.strip()


def test_impute_by_assignment(X):
    X[np.isnan(X)] = 0.0
    assert X.ops() == ["impute"]


def test_steps_come_in_order_and_print_without_quotes(X):
    filled = np.where(np.isnan(X), 0.0, X)
    scaled = (filled - filled.mean(axis=0)) / filled.std(axis=0)
    kept = np.clip(scaled[scaled[:, 0] > 0], -2, 2)
    assert str(kept.ops()) == "[impute, normalize, row_filter, clip]"
    assert kept.ops() == kept.ops()


LIKENESSES = {
    "a quotient of scaled columns": (lambda X: _scaled(X)[:, 0] / _scaled(X)[:, 1], "divide"),
    "a difference of scaled columns": (
        lambda X: (_scaled(X)[:, 0] - _scaled(X)[:, 1]) / _scaled(X)[:, 2],
        "divide",
    ),
    "a choice by how many are missing": (
        lambda X: np.where(X[:, 0] > np.isnan(X[:, 1]).sum(), 1, X[:, 2]),
        "where",
    ),
    "a write by how many are missing": (lambda X: _written(X.copy()), "setitem"),
}


def _scaled(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


def _written(X):
    X[np.isnan(X).sum() < X] = 1.0
    return X


@pytest.mark.parametrize("what", LIKENESSES)
def test_what_only_looks_like_an_idiom_keeps_its_name(X, what):
    make, name = LIKENESSES[what]
    assert make(X).ops()[-1] == name


def test_a_mask_of_gaps_may_be_worked_on(X):
    missing = np.isnan(X[:, 1]) | (X[:, 1] > 3)
    assert np.where(missing, 0.0, X[:, 1]).ops() == ["impute"]


def test_columns_and_single_rows_are_no_steps(X):
    assert X[:, 1:].T[0].ops() == []
    assert X[3].ops() == []


def test_raw_names_every_operation(X):
    assert (X - X.mean(axis=0)).ops(raw=True) == ["mean", "subtract"]


def test_a_difference_of_two_tables_is_no_centering(X):
    Y = lineage.array(np.ones((20, 4)), name="Y")
    assert (X - Y).ops() == ["subtract"]
    assert (X / Y).ops() == ["divide"]


def test_a_trace_names_only_the_steps_that_its_row_went_through(X):
    both = np.concatenate([X[:10] * 2, np.log1p(np.abs(X[10:]))])
    assert both[0].trace().steps == ("row_slice", "multiply", "concat")
    assert both[15].trace().steps == ("row_slice", "absolute", "log", "concat")
    assert str(both[15].trace()) == "X row 15 · row_slice → absolute → log → concat"
