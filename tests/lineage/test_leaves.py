"""Leaves: which source, rows and column they hold, whatever became of the tensor since."""

from __future__ import annotations

import gc
import hashlib
import pickle
import weakref

import numpy as np
import pytest

import traceprop as tp
from traceprop.errors import DataError
from traceprop.lineage import MemorySource, Source, from_source, load_lineage, save_lineage


@pytest.fixture
def source():
    return Source("t.csv", n_rows=3, sha256="0" * 64, columns=("a", "b", "c"))


def test_a_leaf_says_what_reads_it_again(source):
    column = from_source(np.arange(3.0), source, columns=("b",))
    part = from_source(np.ones((2, 2)), source, columns=("c", "a"), rows=[2, 0])
    whole = from_source(np.ones((3, 3)), source, columns=source.columns)
    assert column.node.args == (source, None, "b")
    assert part.node.args[2] == ("c", "a")
    assert list(part.node.args[1]) == [2, 0]
    assert whole.node.args == from_source(np.ones((3, 3)), source).node.args == (source, None, None)


@pytest.mark.parametrize("carried", ["pickle", "saved"])
def test_a_column_keeps_its_name_wherever_it_goes(source, tmp_path, carried):
    column = from_source(np.arange(3.0), source, columns=("b",))
    if carried == "pickle":
        again = pickle.loads(pickle.dumps(column))  # noqa: S301
        node = again.node
        assert str(again.cells((1,))) == str(column.cells((1,)))
    else:
        save_lineage(tmp_path / "one", column)
        graph = load_lineage(tmp_path / "one")
        node = graph.root()
        assert str(graph.cells((1,))) == str(column.cells((1,)))
    assert node.args[2] == "b"
    assert column.columns is None  # a 1-D tensor of a column has no columns along its cells


def test_names_of_a_table_made_one_array_are_saved(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,x\n2,y\n")
    table = tp.read_csv(tmp_path / "t.csv").to_tensor(["a"])
    assert table.columns == ("a",)
    save_lineage(tmp_path / "one", table)
    assert load_lineage(tmp_path / "one").root().kwargs["column_names"] == ("a",)
    assert pickle.loads(pickle.dumps(table)).columns == ("a",)  # noqa: S301


@pytest.mark.parametrize("shape", [(2, 3), (3,), ()])
def test_names_that_do_not_fit_are_refused(shape, source):
    with pytest.raises(DataError, match="2 names"):
        tp.array(np.ones(shape), columns=("a", "b"))
    with pytest.raises(DataError, match="2 names"):
        from_source(np.ones((3, 3)), source, columns=("a", "b"))


def test_a_source_in_memory_is_known_by_what_it_held_at_first():
    X = tp.array([1.0, 2.0], name="x")
    X += 1
    X[0] = 9
    (source,) = X.sources()
    expected = hashlib.sha256(b"<f8(2,)" + np.array([1.0, 2.0]).tobytes()).hexdigest()
    assert source.sha256 == expected


def test_a_source_in_memory_keeps_no_data_alive():
    X = tp.array(np.arange(10.0))
    data = weakref.ref(X._array)
    row = X[3].sources()
    del X
    gc.collect()
    assert data() is None
    assert row


@pytest.mark.parametrize("dtype", ["O", "T", "U3", "M8[D]", "c16", [("a", "i4"), ("b", "U2")]])
def test_data_of_every_type_has_a_digest(dtype):
    values = np.zeros(3, np.int64).astype(dtype) if dtype != "M8[D]" else np.zeros(3, dtype)
    assert len(MemorySource.of(values, "x", ()).sha256) == 64
    assert len(MemorySource.of(values[:0], "x", ()).sha256) == 64


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ({"source": ""}, "is no name"),
        ({"name": " "}, "is no name"),
        ({"source": 3}, "not a int"),
        ({"source": "a", "name": "b"}, "twice"),
    ],
)
def test_what_names_no_source_is_refused(named, reason):
    with pytest.raises(DataError, match=reason):
        tp.array([1.0], **named)
