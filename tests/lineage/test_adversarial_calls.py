"""Calls spelled in every way that NumPy allows, and options that change what a function does."""

from __future__ import annotations

import numpy as np
import pytest

import traceprop as tp
from tests.lineage.adversary import CODES, CUBE, SQUARE, WORDS, Programs, V, W, X
from tests.lineage.examples import EXAMPLES
from traceprop.errors import EscapeError, LineageError
from traceprop.lineage.registry import REFUSED, classification
from traceprop.testing import assert_sound
from traceprop.testing.program import name_of, run_quietly

PROGRAMS = Programs()


@PROGRAMS.on(SQUARE, SQUARE.T.copy())
def _matrices_along_other_axes(a, b):
    return (
        np.matmul(a, b, axes=[(1, 0), (0, 1), (0, 1)]),
        np.matmul(a, b, axes=[(0, 1), (0, 1), (1, 0)]),
        np.matvec(a, b, axes=[(1, 0), 0, 0]),
    )


@PROGRAMS.on(CUBE, CUBE[::-1] + 1)
def _vectors_along_other_axes(a, b):
    return np.vecdot(a, b, axis=0), np.vecdot(a, b, axis=1)


@PROGRAMS.on(V, CODES)
def _reduceat_at_its_edges(v, codes):
    return (
        np.add.reduceat(v, [4]),
        np.add.reduceat(v, [4, 0]),
        np.add.reduceat(v, [0, 0, 4, 4, 2]),
        np.add.reduceat(v, np.array([], dtype=int)),
        np.add.reduceat(v, codes),
        np.add.reduceat(v, codes[:2], dtype=float),
    )


@PROGRAMS.on(CUBE)
def _reduceat_along_each_axis(c):
    return [np.add.reduceat(c, [1, 0], axis=axis) for axis in (0, 1, 2, -1, -3)]


@PROGRAMS.on(V)
def _methods_of_ufuncs_by_name(v):
    return (
        np.add.reduce(array=v),
        np.add.accumulate(array=v, axis=0),
        np.add.reduceat(array=v, indices=[0, 1]),
        np.add.reduceat(v, indices=[0, 3]),
    )


@PROGRAMS.on(V, W)
def _mutators_by_name(v, w):
    np.copyto(dst=w, src=v)
    np.put(a=v, ind=[0], v=w[1:2])
    np.place(arr=v, mask=v > 0, vals=w)
    np.putmask(v, mask=v > 1, values=w)
    np.fill_diagonal(a=v.reshape(5, 1), val=w[0])
    np.put_along_axis(arr=v, indices=np.array([1]), values=w[2:3], axis=0)
    np.nan_to_num(x=v, copy=False)
    return v, w


@PROGRAMS.on(np.array([200.0, 1.0, 300.0, 200.0]))
def _elements_said_to_be_unique(v):
    return np.isin(v, np.arange(100.0), assume_unique=True), np.isin(v, np.arange(100.0))


@PROGRAMS.on(np.array([1.0, 0.0, 0.5]), np.array(["2020-01-01", "2020-02-02", "2021-03-03"]))
def _dates_of_the_unit_that_a_text_needs(v, days):
    texts = np.where(v > 1, "2020-01-01T05", days)
    return texts.astype("datetime64"), texts.astype(object).astype("M8"), texts.astype("M8[h]")


@PROGRAMS.on(WORDS, V)
def _nothing_equals_another_kind(words, v):
    return words == 5, words != None, v == "a", v != "a", v == None  # noqa: E711


@PROGRAMS.on(X)
def _sorts_of_every_kind(x):
    other = x.copy()
    other.sort(stable=True)
    x.sort(axis=0, kind="stable")
    x[:, 1].sort()
    x.T.partition(1)
    x[::-1].sort(axis=0)
    return x, other


@PROGRAMS.on(V)
def _rounded_by_python(v):
    return round(v.mean(), 2), round(v[1], 0)


@pytest.mark.parametrize(("function", "arrays"), PROGRAMS)
def test_it_is_sound(function, arrays):
    assert_sound(function, *arrays)


FOUR = np.arange(48.0).reshape(4, 3, 4)
ALL = slice(None)
KEYS = [
    (slice(1, 3), True, ALL, 0),
    (True,),
    (0, True),
    (ALL, True),
    (..., True, 0),
    (None, True, slice(1, None), 0),
    (slice(1, 3), 0, True),
    (ALL, np.True_, ALL, 0),
    (slice(1, 3), False),
    (1, ALL, True),
    (slice(1, 3), [0, 1], ALL),
    (slice(1, 3), ALL, [0, 1]),
    (0, ALL, [0, 1]),
    (ALL, 0, [0, 1]),
    ([0, 1], ALL, 0),
    (slice(2, None), True, ALL, [1]),
    (slice(1, None), None, 0, [0, 1]),
    (slice(1, 3), np.int64(0), ALL),
    (slice(1, 3), np.array(0)),
    (np.array(1), ALL, np.array([0, 1])),
]


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_keys_of_every_kind(key):
    def work(c):
        found = c[key]
        c[key] = found[::-1] * 0 + c[0, 0, 0] if found.ndim else 1.0
        return found.copy(), c

    assert_sound(work, FOUR)


TABLE = classification()
JUDGED = [f for f in EXAMPLES if TABLE[f].status != REFUSED and TABLE[f].family not in
          ("metadata", "doors")]  # fmt: skip


@pytest.mark.parametrize("function", JUDGED, ids=name_of)
@pytest.mark.parametrize("kept", [0, 1])
def test_an_example_with_arguments_by_name(function, kept):
    for example in EXAMPLES[function]:
        call = example.named(kept)
        try:
            run_quietly(call, *(each.copy() for each in example.arrays))
        except (TypeError, AttributeError):
            continue  # what dispatches the call, in C or in Python, takes no names
        assert_sound(call, *example.arrays, finite=example.finite)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_matrix_is_refused():
    x, matrix = tp.array(np.ones((2, 2))), np.matrix([[1.0, 2.0], [3.0, 4.0]])
    for call in (lambda: x * matrix, lambda: matrix * x, lambda: np.concatenate([x, matrix])):
        with pytest.raises(LineageError, match=r"np\.asarray\(matrix\)"):
            call()


def test_values_go_nowhere_before_strict_says_no(tmp_path):
    x, buffer = tp.array(np.ones(3)), np.zeros(3)
    for leave in (
        lambda: np.save(tmp_path / "x.npy", x),
        lambda: np.add(x, 1, out=buffer),
        lambda: np.cumsum(x, out=buffer),
        lambda: np.add.at(buffer, [0], x[:1]),
        lambda: np.copyto(buffer, x),
        lambda: round(x[0]),
    ):
        with tp.strict(), pytest.raises(EscapeError):
            leave()
    assert not list(tmp_path.iterdir())
    assert not buffer.any()


def test_a_large_index_that_was_changed_gives_every_row():
    n = 100_000
    v, index = tp.array(np.arange(float(n)), name="v"), np.arange(n // 2)
    sums, parts = np.zeros_like(v), np.add.reduceat(v, index)
    np.add.at(sums, index, v[: n // 2])
    index[:] = 7
    with pytest.warns(UserWarning, match="changed afterwards"):
        assert len(parts[0].sources()["v"]) == n
    with pytest.warns(UserWarning, match="changed afterwards"):
        assert len(sums[7].dependencies().all()["v"]) == n // 2
