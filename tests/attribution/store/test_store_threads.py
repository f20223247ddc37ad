"""Threads on one store object, and readers beside a writer that changes the store under them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.attribution.store.runs import WIDTH, commit, mark_of
from traceprop.attribution.search.top import top_k
from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.errors import StoreError


def _at_once(*works: Callable[[], object]) -> list[object]:
    """Run works at the same moment, and return what each gave or raised."""
    gate = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> object:
        gate.wait()
        try:
            return work()
        except StoreError as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def test_threads_of_one_object_take_turns(tmp_path: Path):
    """While one run is written, another thread's waits: it must not cut the files of the first."""
    path = tmp_path / "grad"
    commit(GradientStore(k=8, path=path), mark=1)
    store = GradientStore(path=path, append=True)
    busy, at_most, guard = 0, 0, threading.Lock()
    publish = StoreFolder.publish

    def slow(self: StoreFolder, name: str, content: bytes) -> None:
        nonlocal busy, at_most
        with guard:
            busy, at_most = busy + 1, max(at_most, busy + 1)
        time.sleep(0.05)
        publish(self, name, content)
        with guard:
            busy -= 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StoreFolder, "publish", slow)
        found = _at_once(*(lambda mark=mark: commit(store, mark=mark) for mark in (10, 20, 30)))
    assert found == [None] * 3
    assert at_most == 1
    assert len(GradientStore.open(path).info()["parts"]) == 4
    assert store.verify().ok


@pytest.mark.parametrize("attempt", range(5))
def test_two_threads_append_through_one_object(tmp_path: Path, attempt: int):
    """Each run is there whole, or refused; none is half there or twice."""
    path = tmp_path / "grad"
    commit(GradientStore(k=8, path=path), mark=1)
    store = GradientStore(path=path, append=True)
    marks = (10, 200)
    found = _at_once(*(lambda mark=mark: commit(store, mark=mark) for mark in marks))
    refused = [each for each in found if isinstance(each, StoreError)]
    opened = GradientStore.open(path)
    assert opened.verify().ok
    committed = [
        mark for mark, each in zip(marks, found, strict=True) if not isinstance(each, StoreError)
    ]
    assert len(opened.info()["parts"]) == 1 + len(committed)
    assert len(refused) + len(committed) == 2
    assert committed


def test_questions_beside_appending_through_one_object(tmp_path: Path):
    path = tmp_path / "grad"
    commit(GradientStore(k=8, path=path), mark=1)
    store = GradientStore(path=path, append=True)
    n, stop = store.n_samples, threading.Event()

    def ask() -> int:
        asked = 0
        while not stop.is_set():
            rows = store.rows
            assert rows[:].shape == (len(rows), WIDTH)
            assert top_k(store, np.ones(WIDTH), 3).samples.shape == (1, 3)
            assert len(store.record.inputs) % n == 0
            asked += 1
        return asked

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        try:
            for mark in range(2, 12):
                commit(store, mark=mark)
        finally:
            stop.set()
        assert all(each.result() for each in asking)


def test_readers_beside_a_writer_that_compacts(tmp_path: Path):
    """A reader answers from the state it opened, or says that it must be opened again."""
    path = tmp_path / "grad"
    commit(GradientStore(k=8, path=path), mark=1)
    mark, stop = mark_of(GradientStore.open(path)), threading.Event()
    assert mark == 1

    def read() -> int:
        answers = 0
        while not stop.is_set():
            try:
                store = GradientStore.open(path)
                rows = store.rows[:]
                parts = len(store.info()["parts"])
            except StoreError as error:
                assert "open it again" in str(error)  # noqa: PT017
                continue
            assert rows.shape == (store.n_samples, WIDTH)
            assert parts >= 1
            assert np.isfinite(rows).all()
            answers += 1
        return answers

    with ThreadPoolExecutor(3) as pool:
        reading = [pool.submit(read) for _ in range(3)]
        try:
            for each in range(8):
                commit(GradientStore(path=path, append=True), mark=2 + each)
                GradientStore.open(path).compact()
        finally:
            stop.set()  # else the readers would go on for ever
        assert all(each.result() for each in reading)
