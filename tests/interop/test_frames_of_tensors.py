"""Tensors out to pandas and polars and in again, and an index that names rows."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import traceprop as tp
from traceprop.errors import DataError, LineageEscapeWarning
from traceprop.lineage import values
from traceprop.lineage.recording.escapes import forget_warned


@pytest.fixture
def people() -> pd.DataFrame:
    return pd.DataFrame({"age": [30, 40, 50], "debt": [1.0, 2.0, 0.5]}, index=["ann", "bob", "cid"])


def test_a_numeric_frame_becomes_a_tensor_whose_traces_name_the_index(people: Any) -> None:
    X = tp.from_pandas(people, source="people").to_tensor()
    assert X.columns == ("age", "debt")
    assert str(X[1].trace()).startswith("people row 1 (index=bob)")
    assert str(X[X[:, 1] < 1].trace()).startswith("people row 2 (index=cid)")


@pytest.mark.parametrize(
    ("index", "place"),
    [
        (pd.Index(["a", "b", "c"], name="person"), "row 1 (person=b)"),
        (pd.Index([10, 20, 30]), "row 1 (index=20)"),
        (pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("c", 3)], names=["k", None]),
         "row 1 (k=b, index=2)"),
        (pd.date_range("2024-01-01", periods=3), "row 1 (index=2024-01-02 00:00:00)"),
        (pd.RangeIndex(3), "row 1"),
        (pd.RangeIndex(1, 4), "row 1 (index=2)"),
    ],
)  # fmt: skip
def test_labels_of_any_index(people: Any, index: Any, place: str) -> None:
    made = tp.from_pandas(people.set_axis(index, axis=0), source="people")
    assert str(made["age"][1].trace()).endswith(f"people {place}")


def test_a_label_is_that_of_the_time_when_the_frame_came_in(people: Any) -> None:
    made = tp.from_pandas(people, source="people")
    people.index = ["x", "y", "z"]
    assert "index=bob" in str(made["age"][1].trace())


def test_labels_are_saved(people: Any, tmp_path: Any) -> None:
    X = tp.from_pandas(people, source="people").to_tensor()
    tp.save_lineage(tmp_path / "lineage.arrow", X)
    assert "people row 2 (index=cid)" in str(tp.load_lineage(tmp_path / "lineage.arrow").trace(2))


def test_a_tensor_out_to_pandas_and_back() -> None:
    X = tp.array(np.array([[1.0, 2.0], [3.0, 0.0], [5.0, 6.0]]), name="t", columns=("a", "b"))
    frame = (X * 2).to_pandas()
    assert list(frame.columns) == ["a", "b"]
    assert frame.index.name == "t row"
    frame.iloc[0, 0] = 99.0  # a copy: the tensor stays
    assert values(X)[0, 0] == 1
    back = tp.from_pandas((X * 2).to_pandas().query("b > 0")).to_tensor()
    assert values(back).tolist() == [[2, 4], [10, 12]]
    assert back[1].sources() == {"t": {2}}
    assert not X.escapes()


def test_a_tensor_out_to_polars_and_back() -> None:
    X = tp.array(np.arange(6.0).reshape(3, 2), name="t")
    frame = X.to_polars()
    assert frame.columns[:2] == ["column 0", "column 1"]
    gc.collect()
    back = tp.from_polars(frame.filter(pl.col("column 0") > 1))
    assert back.to_tensor()[0].sources() == {"t": {1}}
    forget_warned()
    with pytest.warns(LineageEscapeWarning, match="column 'column 0' from polars"):
        tp.from_polars(frame.with_columns(pl.col("column 0") + 1))
    assert X.to_polars(rows=False).shape == (3, 2)
    del X
    gc.collect()
    with pytest.raises(DataError, match="a table that is gone"):
        tp.from_polars(frame)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(DataError, match="3 axes is no table"):
        tp.array(np.zeros((2, 2, 2)), name="t").to_pandas()
    with pytest.raises(DataError, match="no columns"):
        tp.array(np.zeros((2, 0)), name="t").to_polars()


def test_a_column_alone_and_names_that_are_twice() -> None:
    assert list(tp.array([1.0, 2.0], name="t").to_pandas().columns) == ["value"]
    X = tp.array(np.eye(2), name="t", columns=("a", "a"))
    assert list(X.to_pandas().columns) == ["a 0", "a 1"]
