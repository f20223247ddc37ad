"""Which numbers of a program pass for what is written there, and which for a count of its rows."""

from __future__ import annotations

import numpy as np
import pytest

import traceprop as tp
from tests.replays.stored import load
from traceprop.errors import LineageError, LineageEscapeWarning
from traceprop.lineage import values
from traceprop.replays.compare import same_bits

TABLE = np.random.default_rng(3).normal(size=(400, 4))
GONE = [0, 17, 200, 399]
_RNG = np.random.default_rng(0)

AS_WRITTEN = {
    "columns": lambda X: X[:, [3, 1]] + X[:, 2:],
    "the first rows": lambda X: X[:5],
    "all but the first and last": lambda X: X[1:-1] * 2,
    "a small window": lambda X: X[7:] - X[:-7],
    "one row": lambda X: X - X[0],
    "the last row": lambda X: X - X[-1],
    "every other row": lambda X: X[::2],
    "other numbers": lambda X: np.clip(X * 33 + 0.5, -47, 47) / 3,
    "axes": lambda X: np.swapaxes(X, 0, 1).sum(axis=1, keepdims=True),
    "a reshape of each row": lambda X: X.reshape(-1, 2, 2),
    "a flat tensor": lambda X: X.reshape(-1),
    "weights of columns": lambda X: X @ np.eye(4)[:, :3],
    "a convolution": lambda X: np.convolve(X[:, 0], np.ones(4) / 4, mode="valid"),
    "windows": lambda X: np.lib.stride_tricks.sliding_window_view(X[:, 0], 6).mean(axis=1),
    "percentiles": lambda X: np.percentile(X, [5, 95], axis=0),
    "a filter": lambda X: X[X[:, 0] > 0],
    "a sort": lambda X: X[np.argsort(X[:, 0])],
    "what NumPy counts": lambda X: X.sum(axis=0) / np.ones_like(X[:, 0]).sum(),
    "parts": lambda X: np.array_split(X, 3)[1],
    "degrees of freedom": lambda X: X.std(axis=0, ddof=1),
    "broadcast to another": lambda X: np.broadcast_arrays(X[:, :1], X)[0] + 0,
    "rows at a time": lambda X: np.add.reduceat(X, np.array([0, 1]), axis=1),
}

AMBIGUOUS = {
    "divided by the rows": lambda X: X.sum(axis=0) / len(X),
    "divided by one less": lambda X: X.sum(axis=0) / (len(X) - 1),
    "times one over the rows": lambda X: X.sum(axis=0) * (1 / len(X)),
    "times half the rows": lambda X: X * (len(X) / 2),
    "over a share of the rows": lambda X: np.cumsum(X[:, 0] > 0) > 0.05 * len(X),
    "over a rounded share": lambda X: np.cumsum(X[:, 0] > 0) > int(len(X) / 3),
    "divided by their root": lambda X: X.std(axis=0) / np.sqrt(len(X)),
    "divided by all cells": lambda X: X.sum() / X.size,
    "in a small array": lambda X: X.sum(axis=0) / np.array([len(X), 1, 1, 1]),
    "divided by a filter's rows": lambda X: X[X[:, 0] > 0].sum(axis=0) / len(X[X[:, 0] > 0]),
    "an array of so many rows": lambda X: X + np.zeros((len(X), 1)),
    "rows put on": lambda X: np.concatenate([X, np.ones((len(X), 4))]),
    "a permutation": lambda X: X[_RNG.permutation(len(X))],
    "a resample": lambda X: X[_RNG.integers(0, 390, 30)],
    "a plain mask": lambda X: X[np.arange(400) % 2 == 0],
    "a plain list": lambda X: X[[3, 1]],
    "taken": lambda X: np.take(X, np.array([5, 6]), axis=0),
    "deleted": lambda X: np.delete(X, np.array([5, 6]), axis=0),
    "a share of the rows": lambda X: X[: int(0.8 * len(X))],
    "the rest": lambda X: X[int(0.8 * len(X)) :],
    "the middle row": lambda X: np.sort(X, axis=0)[len(X) // 2],
    "the last row by its number": lambda X: X[len(X) - 1],
    "split at a share": lambda X: np.split(X, [300])[0],
    "partitioned at the middle": lambda X: np.partition(X[:, 0], 200)[:3],
    "a roll by half": lambda X: np.roll(X, 200, axis=0),
    "written rows": lambda X: written(X, slice(0, 100)),
    "a reshape with the rows": lambda X: X[:, 0].reshape(200, -1),
    "folded": lambda X: X[:, 0].reshape(-1, 100),
    "so many classes": lambda X: np.bincount((X[:, 0] > 0).astype(int), minlength=400),
    "repeated": lambda X: np.repeat(X[:1], 400, axis=0),
}


def written(X, key):
    X = X.copy()
    X[key] = 0
    return X


@pytest.mark.parametrize("what", AS_WRITTEN)
def test_taken_as_written(tmp_path, what):
    program = AS_WRITTEN[what]
    (X,) = load(tmp_path, [TABLE])
    made = program(X)
    expected = program(np.delete(TABLE, GONE, axis=0))
    found = tp.replay(made, without={X.ancestors().leaves[0]: GONE})
    assert same_bits(values(found), np.asarray(expected))


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_refused(tmp_path, what):
    (X,) = load(tmp_path, [TABLE])
    made = AMBIGUOUS[what](X)
    assert same_bits(values(tp.replay(made)), values(made))
    with pytest.raises(LineageError, match=r"can't be (replayed without rows|run again on)"):
        tp.replay(made, without={X.ancestors().leaves[0]: GONE})


COUNTED = {
    "an unusual share": lambda X: X[:, 0] * (0.07 * len(X)),
    "through the shape": lambda X: X.sum(axis=0) / (0.93 * X.shape[0]),
    "by taking the shape apart": lambda X: (lambda n, d: X * (n / d / 7))(*X.shape),
    "through all cells": lambda X: X / (X.size / 37),
    "of bytes": lambda X: X * (X.nbytes / 3210),
    "a position under a twentieth": lambda X: X[: len(X) // 50] * 1,
    "of a filter": lambda X: X * (3 / len(X[X[:, 0] > 0])),
    "of distinct values": lambda X: X / len(np.unique(np.round(X))),
    "across the columns": lambda X: X * (X.T.shape[1] / 37),
    "by turns": lambda X: X * (sum(1 for _ in X) / 37),
    "by comparing the shape": lambda X: X * (next(n for n in range(500) if X.shape < (n,)) / 37),
    "by looking into the shape": lambda X: X * (max(n for n in range(500) if n in X.shape) / 37),
    "of a data frame": lambda X: X * (len(X.to_pandas()) / 37),
    "of a torch tensor": lambda X: X * (X.torch().shape[0] / 37),
    "in a large array": lambda X: X[:20].mean(axis=0) @ np.full((4, 40), 1 / (3 * len(X))),
}

LOOKED_AT = {
    "a shape in print": lambda X: (str(X.shape), X * 0.37)[1],
    "columns": lambda X: X / (X.shape[1] * 0.37),
    "columns in turn": lambda X: sum(0.37 * column for column in X.T),
    "a count knowingly": lambda X: (len(values(X)), X * 0.37)[1],
    "a count at the end": lambda X: ((Y := X * 0.37), len(Y))[0],
    "of quantiles": lambda X: (lambda a, b: X * 0.37 + a - b)(*np.percentile(X, [5, 95], axis=0)),
}


@pytest.mark.parametrize("what", COUNTED)
def test_a_count_that_left_is_held_against_the_numbers_after_it(tmp_path, what):
    (X,) = load(tmp_path, [TABLE])
    made = COUNTED[what](X)
    assert same_bits(values(tp.replay(made)), values(made))
    with pytest.raises(LineageError, match=r"can't be replayed without rows"):
        tp.replay(made, without={X.ancestors().leaves[0]: GONE})


@pytest.mark.parametrize("what", LOOKED_AT)
def test_what_is_only_looked_at_is_not(tmp_path, what):
    (X,) = load(tmp_path, [TABLE])
    made = LOOKED_AT[what](X)
    expected = LOOKED_AT[what](np.delete(TABLE, GONE, axis=0))
    found = tp.replay(made, without={X.ancestors().leaves[0]: GONE})
    assert same_bits(values(found), np.asarray(expected))


def test_a_saved_lineage_keeps_where_a_count_left(tmp_path):
    (X,) = load(tmp_path, [TABLE])
    before = X * 0.37
    assert len(before) == 400
    source = X.ancestors().leaves[0]
    tp.save_lineage(tmp_path / "before.arrow", before)
    tp.save_lineage(tmp_path / "after.arrow", before + 0.37)
    tp.replay(tp.load_lineage(tmp_path / "before.arrow"), without={source.uri: GONE})
    with pytest.raises(LineageError, match=r"0\.37 may come of a number of rows.*len at"):
        tp.replay(tp.load_lineage(tmp_path / "after.arrow"), without={source.uri: GONE})


def test_what_left_one_column_is_held_against_another(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" + "".join(f"{i},{i * i}\n" for i in range(30)))
    table = tp.read_csv(path)
    assert len(table) == 30
    scaled = table["b"] * 0.37
    with pytest.raises(LineageError, match="may come of a number of rows"):
        tp.replay(scaled, without={path: [3]})
    other = tp.read_csv(path)
    with pytest.warns(LineageEscapeWarning):
        mean = float(other["a"].mean())
    with pytest.raises(LineageError, match="values left its lineage through float"):
        tp.replay(other["b"] - mean, without={path: [3]})
