"""The tensor as an array: copies, pickles, depth, printing, scalars, text, objects."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

import traceprop
from traceprop import lineage
from traceprop.errors import DataError, LineageError, LineageEscapeWarning, RowError
from traceprop.lineage import ProvenanceTensor, Source, from_source
from traceprop.lineage.graph.node import Node
from traceprop.lineage.recording import escapes


@pytest.fixture
def X():
    values = np.arange(12.0).reshape(4, 3)
    source = Source("data/table.csv", n_rows=4, sha256="ab", columns=["a", "b", "c"])
    return from_source(values, source)


def deep(n: int):
    x = lineage.array(np.arange(3.0), name="x")
    for _ in range(n):
        x = x + 1.0
    return x


def test_a_lineage_a_hundred_thousand_deep_lives_through_everything(tmp_path):
    x = deep(100_000)
    assert list(x[1].sources()["x"]) == [1]
    assert len(x.ancestors()) == 100_001
    assert len(x.dependencies().all()["x"]) == 3
    for twin in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):  # noqa: S301
        np.testing.assert_array_equal(lineage.values(twin), lineage.values(x))
        assert list(twin[2].sources()["x"]) == [2]
        assert len(twin.ancestors()) == 100_001
    lineage.save_lineage(tmp_path / "deep", x)
    assert list(lineage.load_lineage(tmp_path / "deep").trace(2).rows["x"]) == [2]
    assert len(x.ops()) == 100_000
    assert x.columns is None


def test_nodes_die_with_their_tensors():
    def count():
        return sum(type(thing) is Node for thing in gc.get_objects())

    gc.collect()
    before = count()
    x = deep(20_000)
    y = x * x
    assert count() > before + 20_000
    assert len(y.ops()) == 20_001
    assert list(y[1].sources()["x"]) == [1]
    repr(y), y.dependencies(), lineage.origins(y), y.trace()
    gc.disable()  # nothing waits for the collector
    del x, y
    left = count()
    gc.enable()
    assert left == before


def test_a_bare_node_is_small():
    import sys

    x = lineage.array(np.zeros((1000, 7)))
    node = (x + x).node
    extra = sys.getsizeof(node) + sys.getsizeof(node.inputs) + 16  # the tuple's own GC header
    assert node.shape is x.node.shape
    assert extra <= 250


def test_lineage_keeps_no_data():
    x = lineage.array(np.arange(10.0), name="x")
    y = x * 2
    array = weakref.ref(lineage.values(y))
    z = y + 1
    del y
    assert array() is None
    assert z.ops() == ["multiply", "add"]


def test_a_copy_is_independent(X):
    twin = copy.copy(X)
    twin[0] = 9.0
    assert list(X[0].sources()["table.csv"]) == [0]
    assert "table.csv" not in twin[0].sources()
    assert lineage.values(X)[0, 0] == 0


def test_pickling_keeps_masks_and_sources(X):
    kept = X[X[:, 0] > 3]
    twin = pickle.loads(pickle.dumps(kept))  # noqa: S301 - our own bytes
    assert type(twin) is ProvenanceTensor
    assert twin.sources() == kept.sources()
    assert twin.ops() == kept.ops() == ["row_filter"]


def test_threads_record_apart(X):
    found = {}

    def work(k):
        y = X
        for _ in range(200):
            y = y * 1.0
        found[k] = [len(y.ancestors()), list(y[k].sources()["table.csv"])]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {k: [201, [k]] for k in range(4)}


def test_strict_is_for_one_thread(X):
    outcome = []

    def work():
        with pytest.warns(LineageEscapeWarning):
            outcome.append(float(X[0, 0]))

    escapes.forget_warned()
    with lineage.strict():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert outcome == [0.0]


def test_prints_values_sources_and_steps(X):
    text = repr(X[X[:, 0] > 3])
    assert "[ 9., 10., 11.]" in text
    assert "sources={table.csv: rows 2-3}" in text
    assert "steps=[row_filter]" in text
    assert str(X[0]) == "[0. 1. 2.]"
    assert f"{X[0, 1]:.2f}" == "1.00"
    assert "row_filter" in X[X[:, 0] > 3]._repr_html_()


def test_scalars_and_iteration(X):
    assert [list(row.sources()["table.csv"]) for row in X] == [[0], [1], [2], [3]]
    cell = X[1, 2]
    assert isinstance(cell, ProvenanceTensor)
    assert type(cell._array) is np.float64
    assert list((cell + X[2, 0]).sources()["table.csv"]) == [1, 2]
    with pytest.raises(TypeError, match="0-d"):
        iter(X.sum())


def test_text_and_objects():
    names = lineage.array(np.array(["ann", "bob"]), name="names")
    shouted = np.strings.upper(names)
    assert list(shouted[1].sources()["names"]) == [1]
    assert list((names == "bob")[1].sources()["names"]) == [1]
    with pytest.warns(LineageEscapeWarning, match="upper"):
        assert names[0].upper() == "ANN"
    things = lineage.array(np.array([{"a": 1}, None], dtype=object), name="things")
    with pytest.warns(LineageEscapeWarning, match="element of an object array"):
        assert things[0] == {"a": 1}


def test_power_is_numpys_own_power():
    values = np.random.default_rng(0).normal(size=100) + 3j
    z = lineage.array(values)
    for exponent in (2, 0.5, -1, 3, np.float64(1.5)):
        np.testing.assert_array_equal(lineage.values(z**exponent), values**exponent, strict=True)
    w, plain = z.copy(), values.copy()
    w **= 2
    plain **= 2
    np.testing.assert_array_equal(lineage.values(w), plain, strict=True)


def test_columns_follow_along(X):
    assert X.columns == ("a", "b", "c")
    assert X[:, 1:].columns == ("b", "c")
    assert (X[:, [2, 0]] * 2)[X[:, 0] > 0].columns == ("c", "a")
    assert X.mean(axis=0).columns == ("a", "b", "c")
    assert X[2].columns == ("a", "b", "c")
    assert X.T.columns is None


def test_attributes_and_methods_of_an_array(X):
    assert (X.shape, X.ndim, X.size, X.nbytes, X.itemsize) == ((4, 3), 2, 12, 96, 8)
    assert X.T.shape == (3, 4)
    assert X.strides == (24, 8)
    assert X[1:].base is X
    assert list(X.reshape(6, 2)[1].sources()["table.csv"]) == [0, 1]
    assert X.trace(0, 0, 1)._array == np.trace(lineage.values(X))
    other = X.copy()
    other.shape = (2, 6)
    assert list(other[1].sources()["table.csv"]) == [2, 3]
    with pytest.raises(LineageError, match="share this one's memory"):
        X.shape = (12,)
    with pytest.raises(LineageError, match="values"):
        X.view(np.ndarray)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = X.nonsense


def test_from_source_checks_its_rows():
    source = Source("t.csv", n_rows=3, sha256="")
    with pytest.raises(DataError, match="3 rows and the array 2"):
        from_source(np.zeros((2, 2)), source)
    with pytest.raises(RowError, match=r"t\.csv has no row 3: its rows are 0 to 2"):
        from_source(np.zeros(1), source, rows=[3])
    part = from_source(np.zeros(2), source, rows=[2, 0])
    assert [list(part[i].sources()["t.csv"]) for i in (0, 1)] == [[2], [0]]
    (origin,) = lineage.origins(part)
    np.testing.assert_array_equal(origin.rows, [2, 0])


def test_sources_compare_by_uri_and_digest():
    a = Source("s3://bucket/data.csv", n_rows=3, sha256="1", path="/tmp/data.csv")
    assert a == Source("s3://bucket/data.csv", n_rows=3, sha256="1")
    assert a != Source("s3://bucket/data.csv", n_rows=3, sha256="2")
    assert a == "s3://bucket/data.csv" != a.name
    assert str(a) == "data.csv"
    assert hash(a) == hash("s3://bucket/data.csv")
    with pytest.raises(RowError, match="no row -1"):
        a.check_rows([-1])
    with pytest.raises(RowError, match="give ints"):
        a.rows(["one"])
    with pytest.raises(RowError, match=r"give rows=\[2\]"):
        a.rows(2)


def test_descendants_run_forward(X):
    kept = X[X[:, 0] > 3]
    source = X.node.source
    assert source.rows([3]).descendants(X * 2) == {3}
    assert source.rows([0]).descendants(kept) == {0, 1}  # the mask depends on it
    assert source.rows([0]).descendants(X[2:]) == set()


def test_the_front_door_has_the_public_names():
    for name in ("ProvenanceTensor", "array", "load_lineage", "save_lineage", "strict"):
        assert getattr(traceprop, name) is getattr(lineage, name)
