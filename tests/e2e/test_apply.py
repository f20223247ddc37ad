"""`tp.apply` on Adult and Bank Marketing: training rows come out as they are, new ones as by hand.

The oracle is a function that fits its statistics on some rows and prepares others, in plain NumPy,
on what `csv` reads: no part of Traceprop.
"""

from __future__ import annotations

import csv
import io
import zipfile

import numpy as np
import pytest

import traceprop as tp
from traceprop.lineage import values
from traceprop.replays.compare import same_bits
from traceprop.replays.pipeline.applying import pipeline_of

ADULT = ["age", "workclass", "fnlwgt", "education", "education_num", "marital", "occupation",
         "relationship", "race", "sex", "capital_gain", "capital_loss", "hours", "country",
         "income"]  # fmt: skip


def adult_rows(shared_data):
    lines = (shared_data / "adult.data").read_text().splitlines()
    return [dict(zip(ADULT, line.split(", "), strict=True)) for line in lines if line]


def bank_rows(shared_data):
    with zipfile.ZipFile(shared_data / "bank-additional.zip") as archive:
        text = archive.read("bank-additional/bank-additional-full.csv").decode()
    return list(csv.DictReader(io.StringIO(text), delimiter=";"))


def written(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def prepare(table, numbers, text, least):
    """Twenty steps: a filter, imputing, logarithms, clipping at quantiles, scaling, one-hot."""
    table = table[table["age"] >= least]
    X = table.to_tensor(numbers)
    median = np.nanmedian(X, axis=0)
    X = np.where(np.isnan(X), median, X)
    X[:, 1] = np.log1p(np.abs(X[:, 1]))
    low, high = np.percentile(X, 5, axis=0), np.percentile(X, 95, axis=0)
    X = np.clip(X, low, high)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return np.hstack([X, X[:, :1] * X[:, 1:2], table.one_hot(text)])


def by_hand(train, new, numbers, text, least):
    """The same: statistics of `train`, rows of `new`."""
    train = [row for row in train if float(row["age"]) >= least]

    def columns(rows):
        X = np.array([[float(row[name]) for name in numbers] for row in rows])
        X[:, 1] = np.log1p(np.abs(X[:, 1]))
        return X

    old = columns(train)
    low, high = np.percentile(old, 5, axis=0), np.percentile(old, 95, axis=0)
    old = np.clip(old, low, high)
    X = (np.clip(columns(new), low, high) - old.mean(axis=0)) / old.std(axis=0)
    texts = sorted({row[text] for row in train})
    hot = [[float(row[text] == each) for each in texts] for row in new]
    return np.hstack([X, X[:, :1] * X[:, 1:2], hot])


CASES = {
    "adult": (adult_rows, ["age", "capital_gain", "hours", "education_num"], "sex", 18),
    "bank": (bank_rows, ["age", "duration", "campaign", "euribor3m"], "contact", 21),
}


@pytest.mark.parametrize("name", CASES)
def test_training_rows_and_new_rows(tmp_path, shared_data, name):
    read, numbers, text, least = CASES[name]
    rows = read(shared_data)
    train, new = rows[:6000], [row for row in rows[6000:8000] if float(row["age"]) >= least]
    path = written(tmp_path / f"{name}.csv", train)
    table = tp.read_csv(path)
    X = prepare(table, numbers, text, least)
    applied, kept = tp.apply(X, table, return_kept=True)
    assert same_bits(applied, values(X))
    assert kept.sum() == len(values(X)) < len(train)
    for i in (0, 17, 3000):
        one = {column: np.array(values(table[column]))[kept][i] for column in table}
        assert same_bits(tp.apply(X, one), values(X)[i : i + 1])
    typed = {key: [row[key] for row in new] for key in rows[0]}
    given = {**typed, **{key: [float(v) for v in typed[key]] for key in numbers}}
    given["age"] = [int(v) for v in given["age"]]
    expected = by_hand(train, new, numbers, text, least)
    assert np.allclose(tp.apply(X, given), expected, rtol=1e-10, atol=1e-10)
    gone = list(range(0, 6000, 7))
    X2 = tp.replay(X, without={path: gone})
    rest = [row for i, row in enumerate(train) if i % 7]
    expected = by_hand(rest, new, numbers, text, least)
    assert np.allclose(tp.apply(X2, given), expected, rtol=1e-10, atol=1e-10)
    tp.save_pipeline(tmp_path / "prepare.arrow", X2)
    path.unlink()
    loaded = tp.load_pipeline(tmp_path / "prepare.arrow")
    assert same_bits(tp.apply(loaded, given), tp.apply(X2, given))
    assert pipeline_of(X).off == 0.0
