"""Splits replayed without rows are those of the same program on a file without their lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
    train_test_split,
)
from sklearn.preprocessing import StandardScaler

import traceprop as tp
from traceprop.errors import LineageError
from traceprop.lineage import values

ROWS = 103
GONE = [0, 7, 30, 60]


def table(seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, ROWS)
    return np.column_stack([rng.normal(size=(ROWS, 3)), labels, rng.integers(0, 6, ROWS)])


def load(path: Any, rows: Any) -> Any:
    path.write_text(
        "a,b,c,label,team\n" + "".join(",".join(map(repr, r.tolist())) + "\n" for r in rows)
    )
    return tp.load_csv(path)


def parts(**options: Any) -> Any:
    def program(data: Any) -> list[Any]:
        return train_test_split(data[:, :3], data[:, 3], random_state=3, **options)

    return program


def folds(splitter: Any) -> Any:
    def program(data: Any) -> list[Any]:
        X, y, team = data[:, :3], data[:, 3], data[:, 4]
        by_team = "Group" in type(splitter).__name__
        found = []
        for train, test in splitter.split(X, y, team if by_team else None):
            found += [X[train], X[test].sum(axis=0), y[test]]
        return found

    return program


def filtered(data: Any) -> list[Any]:
    data = data[data[:, 0] > -0.5]
    X_train, X_test, y_train, _ = train_test_split(data[:, :3], data[:, 3], random_state=0)
    X_fit, X_valid = train_test_split(X_train, test_size=0.3, random_state=1)
    scaler = StandardScaler().fit(X_fit)
    return [scaler.transform(X_valid), scaler.transform(X_test), y_train]


PROGRAMS = {
    "train_test_split": parts(),
    "train_test_split, a share": parts(test_size=0.2),
    "train_test_split, training's share": parts(train_size=0.55),
    "train_test_split, both shares": parts(test_size=0.2, train_size=0.5),
    "twice, after a filter, and scaled": filtered,
    **{
        type(splitter).__name__ + str(i): folds(splitter)
        for i, splitter in enumerate([
            KFold(4), KFold(5, shuffle=True, random_state=2), ShuffleSplit(3, random_state=1),
            ShuffleSplit(2, test_size=0.3, random_state=np.int64(4)), TimeSeriesSplit(3),
            RepeatedKFold(n_splits=3, n_repeats=2, random_state=12345), StratifiedKFold(3),
            StratifiedKFold(3, shuffle=True, random_state=12345),
            RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=12345),
            StratifiedShuffleSplit(2, random_state=12345), GroupKFold(3),
            GroupShuffleSplit(2, random_state=12345), LeaveOneGroupOut(),
            StratifiedGroupKFold(2, shuffle=True, random_state=0),
        ])
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("seed", [0, 1])
def test_as_on_the_shorter_file(tmp_path: Any, name: str, seed: int) -> None:
    rows = table(seed)
    with tp.sklearn.enable(dispatch=False), tp.strict():
        made = PROGRAMS[name](load(tmp_path / "whole.csv", rows))
        expected = PROGRAMS[name](load(tmp_path / "rest.csv", np.delete(rows, GONE, axis=0)))
        same = tp.replay(*made)
        found = tp.replay(*made, without={"whole.csv": GONE})
    for one, again in zip(made, same, strict=True):
        assert np.array_equal(values(one), values(again))
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(values(one), values(other))


def test_a_stratified_train_test_split(tmp_path: Any) -> None:
    def program(data: Any) -> list[Any]:
        return train_test_split(data[:, :3], data[:, 3], stratify=data[:, 3], random_state=0)

    rows = table()
    with tp.sklearn.enable(dispatch=False):
        made = program(load(tmp_path / "whole.csv", rows))
        expected = program(load(tmp_path / "rest.csv", np.delete(rows, GONE, axis=0)))
        found = tp.replay(*made, without={"whole.csv": GONE})
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(values(one), values(other))


REFUSED = {
    "a number of test rows": (lambda d: train_test_split(d, test_size=12, random_state=0)[0],
                              "split by shares"),
    "no random_state": (lambda d: train_test_split(d)[0], "give it random_state= as an int"),
    "a generator": (
        lambda d: train_test_split(d, random_state=np.random.RandomState(0))[0],
        "give it random_state= as an int",
    ),
    "in the order of the file": (
        lambda d: train_test_split(d, shuffle=False)[0], "can't be replayed without rows"),
    "folds of as many rows": (
        lambda d: d[next(KFold(ROWS).split(d))[0]], "can't be (replayed|run again)"),
    "plain labels": (
        lambda d: d[next(StratifiedKFold(3).split(d, values(d)[:, 3]))[0]],
        "can't be (replayed|run again)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path: Any, name: str) -> None:
    program, why = REFUSED[name]
    with tp.sklearn.enable(dispatch=False):
        made = program(load(tmp_path / "whole.csv", table()))
        with pytest.raises(LineageError, match=why):
            tp.replay(made, without={"whole.csv": GONE})


def test_leave_one_out_has_fewer_folds(tmp_path: Any) -> None:
    with tp.sklearn.enable(dispatch=False):
        data = load(tmp_path / "whole.csv", table())
        last = list(LeaveOneOut().split(data))[-1]
        with pytest.raises(LineageError, match="can't be run again"):
            tp.replay(data[last[0]], without={"whole.csv": GONE})


def test_out_of_fold_predictions_at_the_end_do_no_harm(tmp_path: Any) -> None:
    with tp.sklearn.enable(dispatch=False):
        data = load(tmp_path / "whole.csv", table())
        scaled = (data - data.mean(axis=0)) * 0.37
        out_of_fold = np.zeros(ROWS)
        for _, test in KFold(3).split(scaled):
            out_of_fold[test] = 1
        tp.replay(scaled, without={"whole.csv": GONE})
        with pytest.raises(LineageError, match="may come of a number of rows"):
            tp.replay(scaled * 0.73, without={"whole.csv": GONE})
