"""Questions asked in awkward ways: what is no lineage, no row, no root, no column."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from traceprop import lineage
from traceprop.errors import LineageError, RowError, SourceError, TracepropError
from traceprop.lineage import RowSet, array, load_lineage, save_lineage

VALUES = np.arange(9.0).reshape(3, 3)


@pytest.fixture
def X():
    return array(VALUES, name="x", columns=("a", "b", "c"))


@pytest.fixture
def loaded(X, tmp_path):
    save_lineage(tmp_path / "lineage", X * 2, X[1:])
    return load_lineage(tmp_path / "lineage")


def test_a_reduction_over_the_columns_has_none(X):
    """As long as the columns, and yet not along them."""
    assert (
        X.sum(axis=1).columns is np.add.reduce(X, 1).columns is X.mean(axis=(-1,)).columns is None
    )
    for total in (X.sum(axis=0), np.add.reduce(X), X.max(axis=0, keepdims=True)):
        assert total.columns == ("a", "b", "c")
    assert repr(X.ancestors().leaves[0].cells([1], "b").descendants(X.sum(axis=1))) == "row 1"


def test_what_has_no_lineage_is_named(X, tmp_path):
    source = X.ancestors().leaves[0]
    for asked in (source.rows([1]), source.cells([1], "b")):
        with pytest.raises(LineageError, match="ndarray has no lineage"):
            asked.descendants(VALUES)
    with pytest.raises(LineageError, match="ndarray has no lineage"):
        save_lineage(tmp_path / "plain", VALUES)
    with pytest.raises(LineageError, match="no lineage to save"):
        save_lineage(tmp_path / "nothing")
    assert not list(tmp_path.iterdir())


def test_a_loaded_lineage_answers_as_a_tensor_does(X, loaded):
    source = loaded.leaves[0]
    assert loaded.cells((1, 2)) == (X * 2).cells((1, 2))
    assert loaded.cells((0, 0), root=1)["x"] == {(1, 0)}
    assert source.rows([1]).descendants(loaded) == {1}
    assert source.cells([1], "b").descendants(loaded) == {(1, 1)}
    assert loaded.trace(-1).rows == loaded.trace(2).rows == {"x": RowSet([2])}


def test_rows_and_roots_that_there_are_not(loaded):
    for row in (3, -4, 99):
        with pytest.raises(RowError, match=f"no row {row}: the tensor has 3 rows"):
            loaded.trace(row)
    with pytest.raises(LineageError, match="that of 2 tensors: there is no root 2"):
        loaded.sources(2)


@pytest.mark.parametrize("index", [(9, 0), "a", 1.5, (0, 0, 0), [7]])
def test_indices_that_show_no_cell(X, index):
    with pytest.raises(LineageError, match="is no cell of an array of shape"):
        X.cells(index)


def test_names_stay_on_one_line():
    nasty = array([1.0], name='a"]\n b --> c').ancestors()
    assert len(nasty.mermaid().splitlines()) == 2
    assert len(nasty.graphviz().splitlines()) == 4


def test_cells_are_asked_for_from_several_threads(X):
    Z = (X - X.mean(axis=0))[X[:, 0] > 1]
    expected = {index: Z.cells(index) for index in np.ndindex(Z.shape)}
    wrong = []

    def ask():
        wrong.extend(index for index, cells in expected.items() if Z.cells(index) != cells)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


def two_files_of_one_name():
    first = lineage.Source("one/x.csv", n_rows=2, sha256="1" * 64, path="/data/one/x.csv")
    second = lineage.Source("two/x.csv", n_rows=2, sha256="2" * 64, path="/data/two/x.csv")
    X = lineage.from_source(np.ones((2, 2)), first)
    return first, second, X + lineage.from_source(np.ones((2, 2)), second)[::-1]


@pytest.mark.parametrize("ask", ["sources", "cells"])
def test_a_source_is_found_by_what_it_is_called(ask):
    first, second, X = two_files_of_one_name()
    found = getattr(X, ask)()
    assert found["one/x.csv"] == found["/data/one/x.csv"] == found[first]
    assert found[second] == found["two/x.csv"]
    assert "x.csv" in found
    with pytest.raises(SourceError, match=r"x.csv is the name of several sources \(/data/"):
        found["x.csv"]
    assert "other.csv" not in found
    assert 3 not in found
    assert found.get("other.csv") is None
    with pytest.raises(KeyError) as lost:
        found["other.csv"]
    assert str(lost.value) == "other.csv is no source here: there is one/x.csv, two/x.csv."
    assert isinstance(lost.value, TracepropError)


def test_a_source_equals_its_uri_and_no_other_text():
    first, _, _ = two_files_of_one_name()
    assert first == "one/x.csv"
    assert first not in ("x.csv", "/data/one/x.csv")


def test_a_tensor_and_a_trace_print_as_what_they_are(X):
    doubled = (X * 2)[1:]
    assert repr(doubled).startswith("ProvenanceTensor([[ 6.,  8., 10.],\n                  [12.,")
    assert repr(doubled).endswith(
        "\n                 sources={x: rows 1-2}, steps=[multiply, row_slice])"
    )
    trace = doubled.trace()
    assert repr(trace) == str(trace) == "x rows 1-2 · multiply → row_slice"
