"""Published data sets read whole: every row traced back to its line of text."""

from __future__ import annotations

import csv
import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest

import traceprop as tp
from tests.naive.text_rows import unlike_their_text
from traceprop.lineage import values

GERMAN_COLUMNS = [
    *("status", "duration", "history", "purpose", "amount", "savings", "employment", "rate"),
    *("personal", "debtors", "residence", "property", "age", "plans", "housing", "credits"),
    *("job", "people", "telephone", "foreign", "class"),
]
ADULT_COLUMNS = [
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status"),
    *("occupation", "relationship", "race", "sex", "capital-gain", "capital-loss"),
    *("hours-per-week", "native-country", "income"),
]


def test_german_credit(shared_data: Path) -> None:
    path = shared_data / "german.data"
    table = tp.read_csv(path, delimiter=" ", header=False, columns=GERMAN_COLUMNS)
    assert len(table) == 1000
    assert table.columns == tuple(GERMAN_COLUMNS)
    assert table.source.sha256.startswith("e2bc10785808")
    assert len(table.categories) == 13
    assert table.categories["purpose"][:2] == ("A40", "A41")
    assert not unlike_their_text(path, table, " ", np.arange(1000))


def test_adult(shared_data: Path) -> None:
    path = shared_data / "adult.data"
    table = tp.read_csv(path, delimiter=", ", header=False, columns=ADULT_COLUMNS, missing="?")
    assert len(table) == 32_561
    assert table.source.sha256.startswith("5b00264637db")
    assert table.categories["income"] == ("<=50K", ">50K")
    missing = [name for name in table.categories if (values(table.codes(name)) < 0).any()]
    assert missing == ["workclass", "occupation", "native-country"]
    rows = np.random.default_rng(0).choice(len(table), 1000, replace=False)
    assert not unlike_their_text(path, table, ", ", rows)


def test_adult_in_compressed_batches(shared_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "adult.data.gz"
    path.write_bytes(gzip.compress((shared_data / "adult.data").read_bytes(), 1))
    options = {"delimiter": ", ", "header": False, "columns": ADULT_COLUMNS, "missing": "?"}
    batches = [*tp.read_csv(path, batch_rows=10_000, **options)]
    physical = (shared_data / "adult.data").read_text().splitlines()
    (row,) = batches[3]["age"][1234].sources().values()
    assert [*row] == [31_234]
    for first, batch in zip(range(0, 40_000, 10_000), batches, strict=True):
        rows = np.random.default_rng(first).choice(len(batch), 250, replace=False)
        ages, jobs = values(batch["age"]), values(batch["occupation"])
        lines, _ = batch.source.locate(first + rows)
        for row, line in zip(rows, lines, strict=True):
            cells = physical[line - 1].split(", ")
            assert (str(ages[row]), jobs[row]) == (cells[0], cells[6].replace("?", ""))


def test_bank_marketing(shared_data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared_data / "bank-additional.zip") as archive:
        path = tmp_path / "bank-additional-full.csv"
        path.write_bytes(archive.read(f"bank-additional/{path.name}"))
    table = tp.read_csv(path, delimiter=";")
    assert len(table) == 41_188
    assert len(table.columns) == 21
    assert table.categories["y"] == ("no", "yes")
    rows = np.random.default_rng(0).choice(len(table), 1000, replace=False)
    assert table.source.locate([0])[0].tolist() == [2]
    assert not unlike_their_text(path, table, ";", rows)


@pytest.mark.parametrize("columns", [None, ["mean radius", "target"], [1, 0]])
def test_a_written_scikit_learn_table(tmp_path: Path, columns: list | None) -> None:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    names = [*data.feature_names, "target"]
    whole = np.column_stack([data.data, data.target])
    path = tmp_path / "cancer.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *whole.tolist()])
    tensor = tp.load_csv(path, columns=columns)
    chosen = [c if isinstance(c, int) else names.index(c) for c in columns or range(len(names))]
    assert tensor.columns == tuple(names[j] for j in chosen)
    assert np.array_equal(values(tensor), whole[:, chosen])
