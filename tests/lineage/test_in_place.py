"""Writes through tensors and views: both sides know; masks and indices that were used are safe."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.lib import recfunctions

from traceprop import lineage
from traceprop.errors import LineageError, LineageEscapeWarning
from traceprop.lineage import granularity
from traceprop.lineage.recording.escapes import forget_warned


def tensor(n: int, name: str, width: int | None = None):
    values = np.arange(float(n if width is None else n * width))
    return lineage.array(values if width is None else values.reshape(n, width), name=name)


def rows(t, name) -> list[int]:
    return list(t.sources().get(name, ()))


def test_a_write_through_a_view_reaches_the_whole():
    X, v = tensor(6, "X"), tensor(2, "v")
    part = X[2:4]
    part += v
    assert rows(X[2], "X") == [2]
    assert rows(X[2], "v") == [0]
    assert rows(X[5], "v") == []
    np.testing.assert_array_equal(lineage.values(X), [0, 1, 2, 4, 4, 5])


def test_a_write_to_the_whole_reaches_its_views_and_their_views():
    X, v = tensor(6, "X", 2), tensor(6, "v", 2)
    part = X[1:5]
    deeper = part.T[0][::2]
    assert rows(deeper, "v") == []
    X *= v
    assert rows(part[0], "v") == [1]
    assert rows(deeper, "v")
    X[...] = 0.0
    assert rows(part, "X") == []
    assert rows(deeper, "v") == []
    np.testing.assert_array_equal(lineage.values(deeper), [0, 0])


def test_a_write_through_a_view_that_a_function_made_by_several_views():
    X = tensor(4, "X", 2)
    records = X.view([("a", "f8"), ("b", "f8")])
    plain = recfunctions.structured_to_unstructured(records)
    assert np.shares_memory(lineage.values(plain), lineage.values(X))
    plain[3] = plain[0]
    assert [rows(X[i], "X") for i in range(3)] == [[0], [1], [2]]
    assert 0 in rows(X[3], "X")
    assert 0 in rows(records[3], "X")


def test_siblings_see_each_other():
    X, v = tensor(8, "X"), tensor(8, "v")
    left, right = X[:5], X[3:]
    left[4] = v[7]
    assert rows(right[1], "v") == [7]
    assert rows(right[1], "X") == []
    assert rows(right[0], "X") == [3]


def test_a_view_of_columns_leaves_the_others():
    X, v = tensor(3, "X", 2), tensor(3, "v")
    X[:, 1] = v
    assert rows(X[1], "X") == [1]
    assert rows(X[1], "v") == [1]
    column = X[:, 0]
    column[...] = 5.0
    assert rows(X[1], "v") == [1]
    assert rows(X[:, 0], "v") == [0, 1, 2]  # a row's cells are one: told apart by no row map
    X[:] = 0.0
    assert rows(X, "X") == rows(column, "v") == []


@pytest.mark.parametrize("write", ["+=", "setitem", "out", "copyto", "sort", "fill"])
def test_a_mask_that_was_used_may_be_written(write):
    X = tensor(6, "X")
    mask = X > 2
    kept = X[mask]
    if write == "+=":
        mask ^= True
    elif write == "setitem":
        mask[:] = False
    elif write == "out":
        np.logical_not(mask, out=mask)
    elif write == "copyto":
        np.copyto(mask, True)
    elif write == "sort":
        mask[::-1].sort()
    else:
        mask.fill(True)
    assert rows(kept, "X") == [3, 4, 5]
    assert [rows(kept[i], "X") for i in range(3)] == [[3], [4], [5]]


def test_an_index_that_was_used_may_be_written_through_its_parent():
    X = tensor(6, "X")
    order = np.argsort(-X)
    part = order[:3]
    picked = X[part]
    order += 1
    np.testing.assert_array_equal(lineage.values(picked), [5, 4, 3])
    assert rows(picked, "X") == [3, 4, 5]


def test_a_small_plain_index_may_be_written():
    X = tensor(6, "X")
    index = np.array([0, 1])
    picked = X[index]
    index[:] = 5
    assert rows(picked, "X") == [0, 1]


def test_a_large_plain_index_that_was_changed_is_answered_with_every_row():
    X = tensor(100_000, "X")
    index = np.random.default_rng(0).permutation(100_000)[:60_000]
    picked, safe = X[index], X[index.copy()]
    expected = sorted(index.tolist())
    index[:] = 5
    with pytest.warns(UserWarning, match="changed afterwards"):
        assert len(picked.sources()["X"]) == 100_000
    assert list(safe.sources()["X"]) == expected


def test_ufunc_at_names_the_rows_that_landed():
    X = tensor(5, "X", 2)
    sums = np.zeros_like(X[:3])
    np.add.at(sums, np.array([0, 2, 0, 0, 2]), X)
    assert rows(sums[0], "X") == [0, 2, 3]
    assert rows(sums[1], "X") == []
    assert rows(sums[2], "X") == [1, 4]


def test_a_plain_buffer_that_was_written_is_known_when_it_comes_back():
    forget_warned()
    X = tensor(5, "X", 2)
    sums = np.zeros((3, 2))
    with pytest.warns(LineageEscapeWarning, match="plain array"):
        np.add.at(sums, np.array([0, 2, 0, 0, 2]), X)
    means = sums / np.ones_like(X, shape=(3, 1))
    assert rows(means[0], "X") == [0, 2, 3]
    with pytest.warns(LineageEscapeWarning, match="plain array"):
        np.add.at(sums, np.array([1]), X[:1])
    product = (X[:3] * sums)[1].dependencies()  # sums are statistics beside single rows
    assert (list(product.direct["X"]), list(product.statistic["X"])) == ([1], [0])
    part = (X[0] + sums[1]).dependencies()  # a part of it: all that is in it
    assert list(part.all()["X"]) == [0, 1, 2, 3, 4]


def test_an_accumulator_becomes_a_tensor():
    forget_warned()
    X = tensor(4, "X", 2)
    total = buffer = np.zeros(2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for row in X[1:3]:
            total += row
    assert [each.category for each in caught] == [LineageEscapeWarning]
    np.testing.assert_array_equal(lineage.values(total), [6, 8])
    assert rows(total, "X") == [1, 2]
    assert rows(X[0] * buffer, "X") == [0, 1, 2]


def test_buffers_are_forgotten_with_their_arrays():
    from traceprop.lineage.recording import plain_targets

    forget_warned()
    before = len(plain_targets.ADOPTIONS)
    sums = np.zeros(3)
    with pytest.warns(LineageEscapeWarning):
        np.add(tensor(3, "X"), 1, out=sums)
    assert len(plain_targets.ADOPTIONS) == before + 1
    del sums
    assert len(plain_targets.ADOPTIONS) == before


@pytest.mark.filterwarnings("ignore:.*not guaranteed to behave correctly")
@pytest.mark.parametrize("generator", [np.random.default_rng(0), np.random.RandomState(0)])
def test_shuffle_of_rows_raises_before_a_byte_moves(generator):
    X = tensor(6, "X", 2)
    before = lineage.values(X).copy()
    with pytest.raises(LineageError, match=r"rng\.permutation"):
        generator.shuffle(X)
    np.testing.assert_array_equal(lineage.values(X), before)
    x = tensor(6, "x")
    generator.shuffle(x)
    assert [rows(x[i], "x") for i in range(6)] == [[int(v)] for v in lineage.values(x)]


def test_swapping_rows_by_hand_is_numpys_business():
    X, plain = tensor(4, "X", 2), np.arange(8.0).reshape(4, 2)
    X[0], X[1] = X[1], X[0]
    plain[0], plain[1] = plain[1], plain[0]
    np.testing.assert_array_equal(lineage.values(X), plain)
    assert rows(X[0], "X") == rows(X[1], "X") == [1]


def test_at_op_granularity_no_mask_is_kept_and_every_row_is_named():
    X = tensor(6, "X")
    with granularity("op"):
        kept = X[X > 2]
        chosen = X[np.array([1, 2])]
    assert rows(kept[0], "X") == list(range(6))
    assert rows(chosen, "X") == list(range(6))
    assert str(kept.ops()) == "[row_filter]"
    assert rows(X[X > 2], "X") == [3, 4, 5]
    with pytest.raises(LineageError, match="'rows' is no granularity"), granularity("rows"):
        pass


def test_a_row_is_written_into_several():
    X = lineage.array(np.arange(8.0).reshape(4, 2), name="X")
    X[np.array([0, 2])] = X[1]
    X[[3]] = X[0]
    assert X[:, 0].numpy().tolist() == [2.0] * 4
    assert X.sources() == {"X": {1}}
