"""A store driven at random beside a plain model of it: runs, erasures, crashes, torn files."""

from __future__ import annotations

import copy
import errno
import os
import shutil
import tempfile
from collections.abc import Callable
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
from traceprop.attribution.store.erasure.forget import ForgetSet
from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.errors import DataError, StoreError, StoreWarning

N = 10
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
            elements=st.integers(-1000, 1000).map(float),  # their sums are exact
        ),
        st.lists(st.integers(0, 9), min_size=n, max_size=n, unique=True),
    )
)


class StoreMachine(RuleBasedStateMachine):
    """Whatever happens, the store holds the runs that were committed, less what was erased."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp(dir=MEMORY)) / "store"
        self.model = MemoryStore()

    def teardown(self) -> None:
        shutil.rmtree(self.path.parent)

    def _commit(self, run: tuple[np.ndarray, list[int]], data: int, **mode: bool) -> None:
        gradients, ids = run
        store = GradientStore(k=8, path=self.path, **mode)
        try:
            store.commit(gradients, np.array(ids), PROJECTOR, make_record(N, mark=data), None)
        finally:
            store.close()

    def _failing(self, do: Callable[[], None], change: Callable[[MemoryStore], None], at, full):
        """Change the store on a disk that fails; which of two states is there is read from it."""
        FailingFolder.left = at
        FailingFolder.error = OSError(errno.ENOSPC, "No space left on device") if full else Killed()
        changed = copy.deepcopy(self.model)
        change(changed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store_module, "StoreFolder", FailingFolder)
            try:
                do()
            except (Killed, StoreError):
                done = None
            else:
                done = True
        FailingFolder.left = 1 << 30
        if done is None:
            found = GradientStore(path=self.path)  # as it is after the crash
            # Where both states hold the same rows, how many runs there are tells.
            done = _agrees(found, changed) and _runs(found) == changed.runs
        if done:
            self.model = changed

    @rule(run=rows, data=st.integers(0, 2))
    def commit(self, run, data):
        self._commit(run, data, overwrite=True)
        self.model.commit(*run, data, N)

    @rule(run=rows, data=st.integers(0, 2))
    def append(self, run, data):
        self._commit(run, data, append=True)
        self.model.append(*run, data, N)

    @rule(run=rows, data=st.integers(0, 2), at=st.integers(1, 45), full=st.booleans())
    def append_on_a_disk_that_fails(self, run, data, at, full):
        self._failing(
            lambda: self._commit(run, data, append=True),
            lambda model: model.append(*run, data, N),
            at,
            full,
        )

    def _erase(self, samples: list[int]) -> None:
        store = GradientStore.open(self.path)
        assert store.erase(ForgetSet(np.array(samples), {}, store)).clean

    def _some(self, dice: list[int]) -> list[int]:
        """Return samples to erase: some, not all."""
        known = sorted(self.model.rows)
        return sorted({known[i % len(known)] for i in dice})[: len(known) - 1]

    @precondition(lambda self: len(self.model.rows) > 1)
    @rule(dice=st.lists(st.integers(0, 99), min_size=1, max_size=3))
    def erase(self, dice):
        samples = self._some(dice)
        self._erase(samples)
        self.model.erase(samples)

    @precondition(lambda self: len(self.model.rows) > 1)
    @rule(
        dice=st.lists(st.integers(0, 99), min_size=1, max_size=3),
        at=st.integers(1, 60),
        full=st.booleans(),
    )
    def erase_on_a_disk_that_fails(self, dice, at, full):
        """It didn't begin, or is finished by the opening after."""
        samples = self._some(dice)
        self._failing(lambda: self._erase(samples), lambda model: model.erase(samples), at, full)
        assert not GradientStore(path=self.path)._held().manifest.erasing

    @precondition(lambda self: self.model.rows)
    @rule()
    def compact(self):
        GradientStore.open(self.path).compact()

    @rule(run=rows, row=st.integers(0, 5))
    def commit_what_is_not_finite(self, run, row):
        gradients = run[0].copy()
        gradients[row % len(gradients), 0] = np.nan
        with pytest.raises(DataError, match=f"sample {run[1][row % len(gradients)]} "):
            self._commit((gradients, run[1]), 0, overwrite=True)

    @precondition(lambda self: self.model.rows)
    @rule(run=rows)
    def commit_without_saying_how(self, run):
        with pytest.raises(StoreError, match="already holds a run"):
            self._commit(run, 0)

    @precondition(lambda self: self.model.rows)
    @rule(junk=st.binary(min_size=1, max_size=50))
    def tear(self, junk):
        """Leave what a writer leaves that died: a longer shard, a temporary, files of no run."""
        reader = GradientStore(path=self.path)
        manifest = reader._held().manifest
        shard = self.path / manifest.shards[0].gradients.path
        with shard.open("ab") as file:
            file.write(junk)
        (self.path / "manifest-99.json.tmp").write_bytes(junk)
        (self.path / "run-99").mkdir(exist_ok=True)
        (self.path / "run-99" / "inputs.npy").write_bytes(junk)
        assert f"{shard.name} has" in str(reader.verify())
        # After an erasure, opening anew takes such files for the erased rows' and cuts them.
        opened_anew = str(GradientStore(path=self.path).verify())
        assert (f"{shard.name} has" in opened_anew) == (not manifest.erasures)

    @precondition(lambda self: self.model.rows)
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

    @precondition(lambda self: self.model.rows)
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
    def what_was_committed_is_there(self):
        store = GradientStore(path=self.path)
        assert _agrees(store, self.model)
        assert store.n_samples == 0 or _runs(store) == self.model.runs
        assert store.verify().ok


def _agrees(store: GradientStore, model: MemoryStore) -> bool:
    sums = model.sums()
    if sorted(store.sample_ids.tolist() if store.n_samples else []) != sorted(sums):
        return False
    return all(
        np.array_equal(store.rows[i], sums[sample])
        for i, sample in enumerate(store.sample_ids.tolist() if sums else [])
    )


def _runs(store: GradientStore) -> int:
    return len(store._held().manifest.parts) if store.n_samples else 0


StoreMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=10)
TestStoreStates = StoreMachine.TestCase
