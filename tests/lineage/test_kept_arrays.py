"""Plain arrays that calls were given: what a lineage says when they are written into afterwards."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

import traceprop as tp
from traceprop.errors import ChangedArrayError, LineageError, LineageWarning
from traceprop.lineage import load_lineage, save_lineage
from traceprop.lineage.graph.node import Constant
from traceprop.lineage.graph.template import fill

N = 2000  # rows: 16 kB, more than is copied


@pytest.fixture
def X():
    return tp.array(np.arange(float(N)), name="X")


def test_a_large_operand_is_referred_to_and_known_to_have_changed(X):
    weights = np.arange(float(N))
    product = X * weights
    (constant,) = [each for each in product.node.args if isinstance(each, Constant)]
    np.testing.assert_array_equal(fill(product.node.args, [0])[1], weights)
    assert (constant.shape, constant.dtype, constant.ndim) == ((N,), weights.dtype, 1)
    weights[:] = 5
    with pytest.raises(ChangedArrayError, match="changed afterwards"):
        fill(product.node.args, [0])
    with pytest.raises(LineageError, match=r"float64\[2000\]"):
        np.asarray(constant)
    assert len(product.sources()["X"]) == N


def test_a_small_operand_is_copied(X):
    few = np.array([1.0, 2.0])
    part = X[:2] * few
    few[:] = 5
    assert list(fill(part.node.args, [0])[1]) == [1, 2]


def test_a_transposed_operand_is_marked_without_a_copy_of_it():
    W = np.arange(6000.0).reshape(60, 100).T
    product = tp.array(np.ones((100, 60))) * W
    W[:] = 0
    with pytest.raises(ChangedArrayError):
        fill(product.node.args, [0])


def test_operands_come_back_from_pickles_and_files(X, tmp_path):
    weights = np.arange(float(N))
    product = X * weights
    save_lineage(tmp_path / "one", product)
    pickled = pickle.loads(pickle.dumps(product))  # noqa: S301
    for node in (load_lineage(tmp_path / "one").root(), pickled.node):
        np.testing.assert_array_equal(fill(node.args, [0])[1], weights)


@pytest.mark.parametrize("dtype", ["f8", "O", "T"])
def test_a_changed_operand_is_saved_by_its_shape_alone(X, tmp_path, dtype):
    words = np.arange(N).astype(dtype)
    equal = words == X if dtype == "f8" else np.equal(X.astype(dtype), words)
    words[:] = words[0]
    save_lineage(tmp_path / "one", equal)
    graph = load_lineage(tmp_path / "one")
    with pytest.raises(LineageError, match=r"\[2000\] isn't in the saved lineage"):
        fill(graph.root().args, [0, 0])
    assert len(graph.sources()["X"]) == N


def chosen_by(index):
    """Return results whose rows a plain index says, by each function that takes one."""
    X, V = tp.array(np.arange(float(N)), name="X"), tp.array(np.arange(float(N)), name="V")
    added = np.zeros_like(X)
    np.add.at(added, index, V)
    yield X[index]
    yield X.take(index)
    yield np.add.reduceat(X, index)
    yield added


@pytest.mark.parametrize("how", range(4))
def test_an_index_that_is_written_into_is_every_row_and_a_warning(how, tmp_path):
    index = np.arange(N)
    unchanged = list(chosen_by(index))[how].dependencies().all()
    tensor = list(chosen_by(index))[how]
    index[:] = 0
    with pytest.warns(LineageWarning, match="changed afterwards") as caught:
        found = tensor.dependencies().all()
    assert {warning.filename for warning in caught} == {__file__}
    assert found == unchanged  # all rows
    save_lineage(tmp_path / "one", tensor)
    graph = load_lineage(tmp_path / "one")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            graph.dependencies().all() == unchanged
        )  # as sound as before, not what the array says now


def test_an_index_that_was_changed_before_it_was_saved_says_every_row(tmp_path):
    X, index = tp.array(np.arange(float(N)), name="X"), np.arange(N)
    picked = X[index]
    index[:] = 0
    save_lineage(tmp_path / "one", picked[:1])
    assert len(load_lineage(tmp_path / "one").sources()["X"]) == N


def test_a_name_of_a_step_is_not_read_from_a_changed_index():
    X, index = tp.array(np.arange(float(N))), np.arange(N // 2)
    picked = X[index]
    index[:] = 0
    with pytest.warns(LineageWarning):
        assert picked.ops() == ["row_select"]


def test_a_lineage_recorded_without_rows_is_saved_and_loaded(X, tmp_path):
    with tp.granularity("op"):
        kept = X[X > 3]
        taken = X[np.arange(10)]
    save_lineage(tmp_path / "one", kept, taken)
    graph = load_lineage(tmp_path / "one")
    assert graph.ops() == kept.ops() == ["row_filter"]
    assert graph.sources() == kept.sources()
    assert len(graph.sources(1)["X"]) == N
