"""Data sets of tracked tensors: their lineage, and messages that name file, row and column."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import traceprop as tp
from traceprop.errors import DataError
from traceprop.lineage import ProvenanceTensor, Source, from_source, origins, values


def tracked(name: str, numbers: np.ndarray, *columns: str) -> ProvenanceTensor:
    source = Source(name, n_rows=len(numbers), sha256="0" * 64, columns=columns)
    return from_source(numbers, source)


@pytest.fixture
def table() -> ProvenanceTensor:
    numbers = np.random.default_rng(0).standard_normal((30, 3))
    numbers[:, 2] = np.arange(30) % 2
    numbers[17, 1] = np.nan
    return tracked("data/loans.csv", numbers, "income", "debt", "label")


def test_a_data_set_keeps_its_lineage_and_lets_nothing_escape(table: ProvenanceTensor) -> None:
    good = table[~np.isnan(table[:, 1])]
    data = tp.torch.dataset(good[:, :-1], good[:, -1])
    assert data.X is not None
    assert data.columns == ("income", "debt")
    assert [o.source.name for o in origins(data.X)] == ["loans.csv"]
    assert not data.X.escapes()
    assert data.targets is not None
    assert data.targets.dtype == torch.int64
    for Xb, yb in DataLoader(data, batch_size=7, shuffle=True):
        for row, label, sample in zip(Xb.plain(), yb, Xb.sample_ids, strict=True):
            (source_row,) = next(iter(data.X[int(sample)].sources().values()))
            assert int(label) == source_row % 2
            assert torch.equal(row, torch.tensor(values(table)[source_row, :2]).float())


def test_nan_names_file_row_and_column(table: ProvenanceTensor) -> None:
    kept = table[5:]
    with pytest.raises(DataError, match=r"nan at sample 12 \(loans.csv row 17\), column 'debt'"):
        tp.torch.dataset(kept[:, :-1], kept[:, -1])


def test_nan_in_labels_is_named_too(table: ProvenanceTensor) -> None:
    with pytest.raises(DataError, match=r"y holds nan at sample 17 \(loans.csv row 17\); drop"):
        tp.torch.dataset(table[:, [0, 2]], table[:, 1])


def test_features_and_labels_out_of_step_are_refused(table: ProvenanceTensor) -> None:
    X, y = table[:, [0]], table[:, 2]
    kept = table[:, 0] > 0
    rows = np.flatnonzero(values(kept))
    n = len(rows)
    first = int(np.flatnonzero(rows != np.arange(n))[0])
    message = rf"sample {first}: X \(loans.csv row {rows[first]}\), y \(loans.csv row {first}\)"
    with pytest.raises(DataError, match=message):
        tp.torch.dataset(X[kept], y[:n])
    with pytest.raises(DataError, match="out of step"):
        tp.torch.dataset(X, y[::-1])
    assert len(tp.torch.dataset(X[kept], y[kept])) == n


def test_windows_of_rows_are_in_step_where_they_share_one(table: ProvenanceTensor) -> None:
    X, y = table[:, 0], table[:, 2]
    lagged = np.stack([X[1:], X[:-1]], axis=1)
    assert len(tp.torch.dataset(lagged, y[1:])) == len(tp.torch.dataset(lagged, y[:-1])) == 29
    with pytest.raises(DataError, match=r"X \(loans.csv rows 0, 1\), y \(loans.csv row 29\)"):
        tp.torch.dataset(lagged, y[:0:-1])


def test_features_and_labels_of_different_files_cannot_be_compared(
    table: ProvenanceTensor,
) -> None:
    labels = tracked("labels.csv", np.ones((30, 1)), "label")
    assert len(tp.torch.dataset(table[:, [0]], labels[:, 0])) == 30


def test_the_tensors_of_tracked_data(table: ProvenanceTensor) -> None:
    whole = tp.torch.tensor(table[:, [0, 2]])
    assert whole.owner.X is not None  # type: ignore[union-attr]
    assert np.array_equal(whole.sample_ids, np.arange(30))
    assert whole.dtype == torch.float32
