"""Power cuts at every moment: what was committed is there, whole, and what was erased is not.

Killing the process can't show a missing fsync, since the system's cache survives it. So every
crash state of a simulated disk is opened, and leaving out any one fsync must be noticed.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import traceprop as tp
from tests.attribution.store.runs import PROJECTOR, WIDTH, make_record
from tests.robustness.power_cut import Event, LoggedFolder, crash_states, needed_syncs, put_on_disk
from traceprop.attribution.store import gradient_store as store_module
from traceprop.attribution.store.erasure.forget import ForgetSet
from traceprop.attribution.store.folder.layout import strays
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.errors import StoreWarning, TracepropError

N = 5
State = frozenset
"""What a store holds: (sample, its row's values) pairs; the empty set for no run."""


@dataclass
class Script:
    """What was done to a store: its log, and what it held after each step."""

    root: Path
    log: list[Event] = field(default_factory=list)
    ends: list[int] = field(default_factory=lambda: [0])
    held: list[State] = field(default_factory=lambda: [State()])
    erases: list[bool] = field(default_factory=lambda: [False])
    since: int = 0

    def step(self, do: Callable[[], object], *, erases: bool = False) -> None:
        do()
        self.ends.append(len(self.log))
        self.held.append(_content(GradientStore.open(self.root)))
        self.erases.append(erases)

    def begin(self) -> None:
        """Leave the moments up to now to the other scripts."""
        self.since = len(self.log) - 1


def _content(store: GradientStore) -> State:
    if not store.n_samples:
        return State()
    rows = zip(store.sample_ids.tolist(), store.gradients.tolist(), strict=True)
    return State((sample, tuple(row)) for sample, row in rows)


def _commit(root: Path, mark: int, **mode: bool) -> None:
    gradients = np.outer(np.arange(N) + 10 * mark, np.ones(WIDTH)).astype(np.float32)
    tensors = (tp.array(np.full((N, 3), float(mark)), name=f"table-{mark}"),)
    store = GradientStore(k=8, path=root, **mode)
    store.commit(gradients, np.arange(N), PROJECTOR, make_record(N, mark), tensors)


def _erase(script: Script, *samples: int) -> None:
    """Erase; as soon as the rewriting has begun, the samples must be hidden for good."""
    store = GradientStore.open(script.root)
    hidden = State(pair for pair in _content(store) if pair[0] not in samples)

    def advance(rows: int) -> None:
        if script.held[-1] != hidden:
            script.ends.append(len(script.log))
            script.held.append(hidden)
            script.erases.append(False)

    assert store.erase(ForgetSet(np.array(samples), {}, store), advance=advance).clean


def _two_commits(script: Script) -> None:
    for mark in (1, 2):
        script.step(lambda mark=mark: _commit(script.root, mark, overwrite=True))


def _append_and_compact(script: Script) -> None:
    script.step(lambda: _commit(script.root, 1))
    script.begin()
    script.step(lambda: _commit(script.root, 2, append=True))
    script.step(lambda: GradientStore.open(script.root).put_derived("codes", [b"0123"], {}))


def _erasure(script: Script) -> None:
    script.step(lambda: _commit(script.root, 1))
    script.begin()
    script.step(lambda: _erase(script, 1, 3), erases=True)


def _two_ranks(script: Script) -> None:
    def record() -> None:
        stores = [GradientStore(k=8, path=script.root, rank=r, world_size=2) for r in (0, 1)]
        stores[0].prepare()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(_commit_rank, stores))

    script.step(record)


def _commit_rank(store: GradientStore) -> None:
    rank = store._writer._rank.number
    gradients = np.full((2, WIDTH), 10 + rank, np.float32)
    ids = np.array([2 * rank, 2 * rank + 1])
    tensors = (tp.array(np.full((N, 3), 1.0), name="table-1"),)
    store.commit(gradients, ids, PROJECTOR, make_record(N, 1), tensors)


SCRIPTS = {
    "commits": _two_commits,
    "append": _append_and_compact,
    "erase": _erasure,
    "ranks": _two_ranks,
}


@pytest.fixture(scope="module", params=SCRIPTS)
def script(request, tmp_path_factory: pytest.TempPathFactory) -> Script:
    done = Script(tmp_path_factory.mktemp("logged") / "new" / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoggedFolder, "log", done.log, raising=False)
        patch.setattr(store_module, "StoreFolder", LoggedFolder)
        SCRIPTS[request.param](done)
    return done


class Outcomes:
    """What opening a crash state gives: what it holds, or what is broken.

    Many moments and many missing fsyncs lead to the same states, so answers are kept.
    """

    def __init__(self, root: Path, scratch: Path) -> None:
        self.above, self.scratch = root.parent.parent, scratch
        self.known: dict[frozenset, State | str] = {}

    def of(self, state: dict[Path, bytes | None]) -> State | str:
        key = frozenset(state.items())
        if key not in self.known:
            put_on_disk(state | {self.above: None}, self.above, self.scratch)
            self.known[key] = self._open()
        return self.known[key]

    def _open(self) -> State | str:
        path = self.scratch / "new" / "store"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                store = GradientStore(path=path)
                held = _content(store)
                if held:
                    sample = max(sample for sample, _ in held)
                    assert len(store.get_provenance(sample).rows) >= 1
                    assert store.record.final_weights["scalar"] in (1, 2)
                    manifest = store._held().manifest
                    if manifest.erasures:
                        assert not strays(path, manifest), "files of before the erasure are left"
                report = store.verify()
        except (TracepropError, StoreWarning, AssertionError) as error:
            return str(error)
        return held if report.ok else str(report)


@pytest.fixture(scope="module")
def outcomes(script: Script, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    # In memory, where there is such a folder: an erasure that is finished there syncs for nothing.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path_factory.mktemp("crashed")
    with tempfile.TemporaryDirectory(dir=memory) as scratch:
        yield Outcomes(script.root, Path(scratch) / "disk")


def _first_loss(
    script: Script, log: list[Event], outcomes: Outcomes, originals: list[int]
) -> str | None:
    """What a power cut can break, or None; `originals` maps events to their place in the log."""
    for done, state in crash_states(log, since=script.since):
        at = originals[done]
        committed = max(i for i, end in enumerate(script.ends) if end <= at)
        allowed = script.held[committed : committed + 2]
        outcome = outcomes.of(state)
        if outcome not in allowed:
            return f"after event {at}: {outcome}, not one of {allowed}"
    return None


def test_no_power_cut_loses_what_was_committed(script: Script, outcomes: Outcomes):
    everything = list(range(len(script.log) + 1))
    assert _first_loss(script, script.log, outcomes, everything) is None


def _left_on_disk(script: Script, log: list[Event], originals: list[int]) -> str | None:
    """Files with erased samples that a power cut after the erasure's end can bring back."""
    ends = [end for end, erases in zip(script.ends, script.erases, strict=True) if erases]
    kept = {path.relative_to(script.root) for path in script.root.rglob("*") if path.is_file()}
    for done, state in crash_states(log, since=script.since):
        if ends and originals[done] >= ends[-1]:
            left = {
                path.relative_to(script.root)
                for path, content in state.items()
                if content is not None
                and path.is_relative_to(script.root)
                # A file whose folder is gone can't be reached by any name.
                and all(f in state for f in path.parents if f.is_relative_to(script.root))
            }
            if left - kept:
                return f"{left - kept} are back"
    return None


def test_no_power_cut_brings_erased_samples_back(script: Script):
    assert _left_on_disk(script, script.log, list(range(len(script.log) + 1))) is None


def test_leaving_out_any_fsync_is_noticed(script: Script, outcomes: Outcomes):
    syncs = [i for i in needed_syncs(script.log) if i >= script.since]
    if (script.root / "shards" / "1-0.bin").exists():
        # What ranks hand over is of no use after a power cut, so its syncs aren't needed, and
        # rank 0 syncs the folders of all: only what a rank alone syncs is held to it.
        syncs = [i for i in syncs if script.log[i].path.suffix == ".bin"]
    assert len(syncs) > 10 or [script.log[i].path.name for i in syncs].count("1-0.bin") == 1
    unnoticed = []
    for i in syncs:
        without = script.log[:i] + script.log[i + 1 :]
        originals = [*range(i), *range(i + 1, len(script.log) + 1)]
        if (
            _first_loss(script, without, outcomes, originals) is None
            and _left_on_disk(script, without, originals) is None
        ):
            unnoticed.append(script.log[i])
    assert not unnoticed
