"""Threads on one tensor: who takes views, and who writes into parts, is told apart afterwards.

Threads change as often as the interpreter lets them.
"""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from traceprop.lineage import array, values

N = 200


@pytest.fixture(autouse=True)
def _eager_threads():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(*jobs):
    errors = []
    barrier = threading.Barrier(len(jobs))

    def run(job):
        barrier.wait()
        try:
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def rows(tensor, name):
    return list(tensor.sources().get(name, ()))


@pytest.mark.parametrize("attempt", range(20))
def test_views_taken_while_another_thread_writes(attempt):
    X, w = array(np.ones(N), name="X"), array(np.full(N, 2.0), name="w")
    views = []

    def look():
        for i in range(N - 1):
            views.append((i, X[i : i + 2]))

    def write():
        nonlocal X
        X *= w

    together(look, look, write)
    for i, view in views:
        assert rows(view, "w") == rows(view, "X") == [i, i + 1]
    np.testing.assert_array_equal(values(X), 2.0)


@pytest.mark.parametrize("as_views", [False, True])
@pytest.mark.parametrize("attempt", range(10))
def test_each_thread_writes_its_own_rows(as_views, attempt):
    X = array(np.zeros((N, 2)), name="X")
    sources = [array(np.ones((N, 2)) * k, name=f"w{k}") for k in range(4)]

    def work(k):
        for i in range(k, N, 4):
            if as_views:
                row = X[i : i + 1]
                row += sources[k][i : i + 1]
            else:
                X[i] = sources[k][i]

    together(*(lambda k=k: work(k) for k in range(4)))
    for i in range(N):
        assert rows(X[i], f"w{i % 4}") == [i]
    np.testing.assert_array_equal(values(X)[:, 0], np.arange(N) % 4)


@pytest.mark.parametrize("attempt", range(50))
def test_views_of_one_tensor_share_one_root(attempt):
    X, w = array(np.zeros(8), name="X"), array(np.ones(8), name="w")
    views = []
    together(*(lambda k=k: views.append((k, X[k : k + 2])) for k in range(4)))
    X[...] = w
    for k, view in views:
        assert rows(view, "w") == [k, k + 1]
        assert rows(view, "X") == []
