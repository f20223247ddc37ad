"""Names of columns: carried where a column stays that column, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

import traceprop as tp
from traceprop.errors import DataError, UnknownNameError

ABC = ("a", "b", "c")


@pytest.fixture
def S():
    return tp.array(np.arange(9.0).reshape(3, 3), name="S", columns=ABC)


@pytest.fixture
def U():
    return tp.array(np.arange(9.0).reshape(3, 3), name="U", columns=("x", "y", "z"))


KEPT = {
    "X - X.mean(axis=0)": lambda S: S - S.mean(axis=0),
    "X / X.max(axis=0)": lambda S: S / np.max(S, axis=0),
    "X * plain": lambda S: S * np.arange(3.0),
    "X * vector": lambda S: S * tp.array([1.0, 2.0, 3.0]),
    "where": lambda S: np.where(np.isnan(S), 0, S),
    "X[mask]": lambda S: S[S[:, 0] > 2],
    "X[index]": lambda S: S[[2, 0]],
    "X[1:]": lambda S: S[1:],
    "X[...]": lambda S: S[..., :],
    "X[None]": lambda S: S[None],
    "X[0]": lambda S: S[0],
    "concatenate": lambda S: np.concatenate([S, S[:1]]),
    "written": lambda S: _written(S.copy()),
}


def _written(S):
    S[0, 0] = 7
    S += 1
    return S


@pytest.mark.parametrize("how", KEPT)
def test_names_are_kept(S, how):
    assert KEPT[how](S).columns == ABC


PICKED = {
    "reversed row": (lambda S: S[0][::-1], ("c", "b", "a")),
    "reversed columns": (lambda S: S[:, ::-1], ("c", "b", "a")),
    "columns of rows": (lambda S: S[S[:, 0] > 0, 1:], ("b", "c")),
    "by index": (lambda S: S[:, [2, 0]], ("c", "a")),
    "by mask": (lambda S: S[:, np.array([True, False, True])], ("a", "c")),
    "cells of a row": (lambda S: S[1, [2, 1]], ("c", "b")),
    "row's cells": (lambda S: S[1][[2, 1]], ("c", "b")),
    "last": (lambda S: S[..., 1:], ("b", "c")),
    "side by side": (lambda S: np.concatenate([S, S[:, :1]], axis=1), ("a", "b", "c", "a")),
}


@pytest.mark.parametrize("how", PICKED)
def test_names_are_picked(S, how):
    make, expected = PICKED[how]
    assert make(S).columns == expected


def test_names_that_are_not_those_of_columns_are_not_given(S, U):
    for wrong in (
        S.mean(axis=1),
        np.add.reduce(S, 1),
        S[S > 5],
        S - S.T,
        S + U,
        S.T,
        np.concatenate([S, U]),
        np.concatenate([S, S.T]),
        S[:, 0],
        S[:, :, None],
        S[[0, 1, 2], [2, 1, 0]],
        S[np.array([[0, 1, 2]] * 3), 1],
        np.where(S > 5, S, U),
    ):
        assert wrong.columns is None


def test_columns_of_a_deep_program_are_found_without_recursion(S):
    deep = S
    for _ in range(5000):
        deep = deep + S * 0.5
    assert deep.columns == ABC


def test_a_column_is_asked_for_by_its_name(S):
    np.testing.assert_array_equal(S["b"].numpy(), S.numpy()[:, 1])
    assert S["b"].node.args[1] == (slice(None), 1)
    assert (S * 2)[["c", "a"]].columns == ("c", "a")
    assert float(tp.lineage.values(S[1]["c"])) == 5.0
    written = S.copy()
    written["b"] = 0.0
    written[["a", "c"]] = S["b"][:, None]
    assert not written.numpy()[:, 1].any()
    assert list(written["a"].cells((1,))["S"]) == list(S[:, 1].cells((1,))["S"])
    with pytest.raises(UnknownNameError, match="no column 'income': there are a, b, c"):
        S["income"]
    with pytest.raises(KeyError):
        S["income"] = 3
    with pytest.raises(UnknownNameError, match="no column 'a': its columns have no names"):
        S.T["a"]


def test_fields_of_records_are_still_fields():
    records = tp.array(np.zeros(3, dtype=[("a", "f8"), ("b", "i4")]))
    assert records["a"].shape == (3,)
    assert records[["a", "b"]].dtype.names == ("a", "b")
    with pytest.raises(ValueError, match="no field"):
        records["c"]


def test_names_of_one_dimensional_data():
    with pytest.raises(DataError, match="3 names"):
        tp.array([1.0, 2.0, 3.0], columns=ABC)  # its cells are rows
    assert tp.array([1.0], columns=("a",)).columns is None
