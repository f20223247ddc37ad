"""A disk that is full at any step of a change: nothing is lost, and trying again works."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.attribution.store.runs import commit
from traceprop.attribution.store import gradient_store as store_module
from traceprop.attribution.store.erasure.forget import ForgetSet
from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.errors import StoreError, StoreWarning


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where an fsync costs nothing, if there is such a place."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        yield Path(folder)


class FullDisk(StoreFolder):
    """A folder on a disk that has room for `left` more steps; removing needs none."""

    left = 1 << 30
    error = errno.ENOSPC

    def _step(self) -> None:
        FullDisk.left -= 1
        if FullDisk.left < 0:
            raise OSError(FullDisk.error, "No space left on device")

    def _make_folders(self, path: Path) -> None:
        self._step()
        super()._make_folders(path)

    def _write_unsynced(self, path: Path, content: bytes) -> None:
        self._step()
        super()._write_unsynced(path, content)

    def _sync_file(self, descriptor: int, path: Path) -> None:
        self._step()
        super()._sync_file(descriptor, path)

    def _sync_folder(self, path: Path) -> None:
        self._step()
        super()._sync_folder(path)

    def _rename(self, old: Path, new: Path) -> None:
        self._step()
        super()._rename(old, new)


def _two_runs(path: Path) -> None:
    """One run of two ranks, which leave a shard each, and one more."""
    ranks = [GradientStore(k=8, path=path, dtype="int8", rank=r, world_size=2) for r in (0, 1)]
    ranks[0].prepare()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda store: commit(store, mark=3), ranks))
    commit(GradientStore(path=path, append=True), mark=4)
    GradientStore.open(path).put_derived("codes", [b"codes"], {})


def _erase(path: Path) -> None:
    store = GradientStore.open(path)
    store.erase(ForgetSet(np.array([1]), {}, store))


CHANGES: dict[str, Callable[[Path], Any]] = {
    "append": lambda path: commit(GradientStore(path=path, append=True), mark=9),
    "compact": lambda path: GradientStore.open(path).compact(),
    "derive": lambda path: GradientStore.open(path).put_derived("moment", [b"moment"], {}),
    "erase": _erase,
    "overwrite": lambda path: commit(GradientStore(k=8, path=path, overwrite=True), mark=9),
}


def _content(path: Path) -> dict[int, list[float]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        store = GradientStore.open(path)
    rows = store.gradients.astype(float).tolist()
    return dict(zip(store.sample_ids.tolist(), rows, strict=True))


@pytest.mark.parametrize("change", CHANGES)
def test_a_full_disk_at_any_step(memory: Path, monkeypatch: pytest.MonkeyPatch, change: str):
    first, path = memory / "first", memory / "grad"
    _two_runs(first)
    before = _content(first)
    shutil.copytree(first, path)
    CHANGES[change](path)
    after = _content(path)
    monkeypatch.setattr(store_module, "StoreFolder", FullDisk)
    refusals = 0
    for room in range(200):
        shutil.rmtree(path)
        shutil.copytree(first, path)
        FullDisk.left = room
        try:
            CHANGES[change](path)
        except StoreError as error:
            refusals += 1
            assert "No space left on device" in str(error)  # noqa: PT017
        else:
            break
        assert _content(path) in (before, after)  # still full: a reader gets along
        FullDisk.left = 1 << 30
        now = _content(path)
        assert now in (before, after)
        if now == before:
            CHANGES[change](path)
        assert _content(path) == after
        assert GradientStore.open(path).verify().ok
        assert not GradientStore.open(path).verify().notes
    else:
        pytest.fail("the change needs more steps than this test has")
    assert refusals > 3
