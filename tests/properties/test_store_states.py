"""A store driven at random beside a plain model of it: commits, crashes, full disks, torn files."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.attribution.store.runs import PROJECTOR, WIDTH, make_record
from tests.naive.store import MemoryStore
from traceprop.attribution.store import gradient_store as store_module
from traceprop.attribution.store.files import StoreFolder
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.errors import DataError, StoreError, StoreWarning

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where an fsync costs nothing


class Killed(BaseException):
    """The process is gone: nothing that it does from here on reaches the disk."""


class FailingFolder(StoreFolder):
    """A store folder whose n-th change of the disk fails; a killed one never works again."""

    left = 0
    error: BaseException = Killed()

    def _step(self) -> None:
        cls = type(self)
        cls.left -= 1
        if cls.left == 0 or (cls.left < 0 and isinstance(cls.error, Killed)):
            raise cls.error

    def _make_folders(self, path: Path) -> None:
        self._step()
        super()._make_folders(path)

    def _sync_file(self, descriptor: int, path: Path) -> None:
        self._step()
        super()._sync_file(descriptor, path)

    def _rename(self, old: Path, new: Path) -> None:
        self._step()
        super()._rename(old, new)

    def _sync_folder(self, path: Path) -> None:
        self._step()
        super()._sync_folder(path)

    def _unlink(self, path: Path) -> None:
        self._step()
        super()._unlink(path)


rows = st.integers(1, 6).flatmap(
    lambda n: st.tuples(
        hnp.arrays(
            np.float32,
            (n, WIDTH),
            elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
        ),
        st.lists(st.integers(0, 9), min_size=n, max_size=n, unique=True),
    )
)


class StoreMachine(RuleBasedStateMachine):
    """Whatever happens, the store holds the last run that was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp(dir=MEMORY)) / "store"
        self.model = MemoryStore()
        self.runs = 0

    def teardown(self) -> None:
        shutil.rmtree(self.path.parent)

    def _commit(self, store: GradientStore, run: tuple[np.ndarray, list[int]]) -> None:
        gradients, ids = run
        self.runs += 1
        record = make_record(10, mark=self.runs)
        store.commit(gradients, np.array(ids), PROJECTOR, record, None)

    def _commit_failing(self, run: tuple, at: int, error: BaseException) -> None:
        """Commit on a disk that fails; which of the two runs is there then is read from it."""
        FailingFolder.left, FailingFolder.error = at, error
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store_module, "StoreFolder", FailingFolder)
            store = GradientStore(k=8, path=self.path, overwrite=True)
            try:
                self._commit(store, run)
            except (Killed, StoreError):
                store.close()
            else:
                assert FailingFolder.left > 0
                self.model.commit(*run)
                return
        after = GradientStore(path=self.path)
        if after.record is not None and after.record.final_weights["scalar"] == self.runs:
            self.model.commit(*run)

    @rule(run=rows)
    def commit(self, run):
        store = GradientStore(k=8, path=self.path, overwrite=True)
        self._commit(store, run)
        self.model.commit(*run)
        np.testing.assert_array_equal(store.gradients, self.model.gradients)

    @rule(run=rows, at=st.integers(1, 45))
    def commit_and_be_killed(self, run, at):
        self._commit_failing(run, at, Killed())

    @rule(run=rows, at=st.integers(1, 45))
    def commit_on_a_full_disk(self, run, at):
        self._commit_failing(run, at, OSError(errno.ENOSPC, "No space left on device"))

    @rule(run=rows, row=st.integers(0, 5))
    def commit_what_is_not_finite(self, run, row):
        gradients = run[0].copy()
        gradients[row % len(gradients), 0] = np.nan
        with pytest.raises(DataError, match=f"sample {run[1][row % len(gradients)]} "):
            self._commit(GradientStore(k=8, path=self.path, overwrite=True), (gradients, run[1]))

    @precondition(lambda self: self.model.gradients is not None)
    @rule(run=rows)
    def commit_without_overwrite(self, run):
        with pytest.raises(StoreError, match="already holds a run"):
            self._commit(GradientStore(path=self.path), run)

    @precondition(lambda self: self.model.gradients is not None)
    @rule(junk=st.binary(min_size=1, max_size=50))
    def tear(self, junk):
        """Leave what a writer leaves that died: a longer shard, a temporary, files of no run."""
        held = GradientStore(path=self.path)._held()
        shard = self.path / held.manifest.shards[0].gradients.path
        with shard.open("ab") as file:
            file.write(junk)
        (self.path / "manifest-99.json.tmp").write_bytes(junk)
        (self.path / "run-99").mkdir(exist_ok=True)
        (self.path / "run-99" / "inputs.npy").write_bytes(junk)
        assert f"{shard.name} has" in str(GradientStore(path=self.path).verify())

    @precondition(lambda self: self.model.gradients is not None)
    @rule(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def flip_a_bit_and_back(self, place, bit):
        """Every flipped bit in what was committed is found, wherever it is."""
        store = GradientStore(path=self.path)
        entries = [entry for entry in store._held().manifest.entries() if entry.size]
        at = int(place * sum(entry.size for entry in entries))
        for entry in entries:
            if at < entry.size:
                break
            at -= entry.size
        path = self.path / entry.path
        content = bytearray(path.read_bytes())
        content[at] ^= 1 << bit
        path.write_bytes(content)
        report = store.verify()
        assert not report.ok
        assert entry.path in report.problems[0]
        content[at] ^= 1 << bit
        path.write_bytes(content)

    @precondition(lambda self: self.model.gradients is not None)
    @rule(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def flip_a_bit_of_the_manifest_and_back(self, place, bit):
        """Never silent: an error, or a warning where the run before this one is still whole."""
        path = self.path / GradientStore(path=self.path)._held().manifest.name
        whole = path.read_bytes()
        content = bytearray(whole)
        content[int(place * len(content))] ^= 1 << bit
        path.write_bytes(content)
        with pytest.raises((StoreError, StoreWarning), match=f"{path.name} is damaged"):
            GradientStore(path=self.path)
        path.write_bytes(whole)

    @invariant()
    def the_last_committed_run_is_there(self):
        store = GradientStore(path=self.path)
        if self.model.gradients is None:
            assert store.n_samples == 0
            return
        np.testing.assert_array_equal(store.gradients, self.model.gradients)
        assert store.sample_ids.tolist() == self.model.sample_ids
        assert store.verify().ok


StoreMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=15)
TestStoreStates = StoreMachine.TestCase
