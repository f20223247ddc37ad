"""Power cuts at every moment of a commit: what was committed is there, whole.

Killing the process can't show a missing fsync, since the system's cache survives it. So every
crash state of a simulated disk is opened, and leaving out any one fsync must be noticed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import traceprop as tp
from tests.attribution.store.runs import commit, mark_of
from tests.robustness.power_cut import Event, LoggedFolder, crash_states, needed_syncs, put_on_disk
from traceprop.attribution.store import gradient_store as store_module
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.errors import StoreWarning, TracepropError


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event], list[int]]:
    """Two commits into a new store: its folder, what was done, and how much was when each ended."""
    root = tmp_path_factory.mktemp("logged") / "new" / "store"
    log: list[Event] = []
    ends = [0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoggedFolder, "log", log, raising=False)
        patch.setattr(store_module, "StoreFolder", LoggedFolder)
        for mark in (1, 2):
            tensors = (tp.array(np.ones((5, 3)), name="table"),)
            commit(GradientStore(k=8, path=root, overwrite=True), mark, tensors=tensors)
            ends.append(len(log))
    return root, log, ends


class Outcomes:
    """What opening a crash state gives: the run's number, None for no run, or what is broken.

    Many moments and many missing fsyncs lead to the same states, so answers are kept.
    """

    def __init__(self, root: Path, scratch: Path) -> None:
        self.above, self.scratch = root.parent.parent, scratch
        self.known: dict[frozenset, int | str | None] = {}

    def of(self, state: dict[Path, bytes | None]) -> int | str | None:
        key = frozenset(state.items())
        if key not in self.known:
            put_on_disk(state | {self.above: None}, self.above, self.scratch)
            self.known[key] = self._open()
        return self.known[key]

    def _open(self) -> int | str | None:
        try:
            store = GradientStore(path=self.scratch / "new" / "store")
            mark = mark_of(store)
            if mark is not None:
                assert len(store.get_provenance(4).rows) == 1
            report = store.verify()
        except (TracepropError, StoreWarning, AssertionError) as error:
            return str(error)
        return mark if report.ok else str(report)


@pytest.fixture(scope="module")
def outcomes(logged, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    return Outcomes(logged[0], tmp_path_factory.mktemp("crashed") / "disk")


def _first_loss(
    log: list[Event], ends: list[int], outcomes: Outcomes, originals: list[int]
) -> str | None:
    """What a power cut can break, or None; `originals` maps events to their place in `ends`."""
    for done, state in crash_states(log):
        at = originals[done]
        committed = max(i for i, end in enumerate(ends) if end <= at)
        allowed = {committed or None, min(committed + 1, len(ends) - 1)}
        outcome = outcomes.of(state)
        if outcome not in allowed:
            return f"after event {at}: {outcome}, not one of {allowed}"
    return None


def test_no_power_cut_loses_what_was_committed(logged, outcomes: Outcomes):
    _, log, ends = logged
    assert _first_loss(log, ends, outcomes, list(range(len(log) + 1))) is None


def test_leaving_out_any_fsync_is_noticed(logged, outcomes: Outcomes):
    _, log, ends = logged
    syncs = needed_syncs(log)
    assert len(syncs) > 20
    unnoticed = []
    for i in syncs:
        without = log[:i] + log[i + 1 :]
        originals = [*range(i), *range(i + 1, len(log) + 1)]
        if _first_loss(without, ends, outcomes, originals) is None:
            unnoticed.append(log[i])
    assert not unnoticed
