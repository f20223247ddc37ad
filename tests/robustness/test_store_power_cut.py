"""Power cuts at every moment of a commit: what was committed is there, whole.

Killing the process can't show a missing fsync, since the system's cache survives it. So every
crash state of a simulated disk is opened, and leaving out any one fsync must be noticed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attribution.runs import commit, mark_of
from tests.robustness.power_cut import Event, LoggedFolder, crash_states, needed_syncs, put_on_disk
from traceprop.attribution import store as store_module
from traceprop.attribution.store import GradientStore
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
            commit(GradientStore(k=8, path=root, overwrite=True), mark)
            ends.append(len(log))
    return root, log, ends


def _first_loss(
    root: Path, log: list[Event], ends: list[int], scratch: Path, originals: list[int]
) -> str | None:
    """What a power cut can break, or None; `originals` maps events to their place in `ends`."""
    above = root.parent.parent
    for done, state in crash_states(log):
        put_on_disk(state | {above: None}, above, scratch)
        at = originals[done]
        committed = max(i for i, end in enumerate(ends) if end <= at)
        allowed = {committed or None, min(committed + 1, len(ends) - 1)}
        try:
            store = GradientStore(path=scratch / "new" / "store")
            mark = mark_of(store)
            report = store.verify()
        except (TracepropError, StoreWarning, AssertionError) as error:
            return f"after event {at}: {error}"
        if mark not in allowed:
            return f"after event {at}: run {mark} is there, not {allowed}"
        if not report.ok:
            return f"after event {at}: {report}"
    return None


def test_no_power_cut_loses_what_was_committed(logged, tmp_path: Path):
    root, log, ends = logged
    assert _first_loss(root, log, ends, tmp_path / "x", list(range(len(log) + 1))) is None


def test_leaving_out_any_fsync_is_noticed(logged, tmp_path: Path):
    root, log, ends = logged
    syncs = needed_syncs(log)
    assert len(syncs) > 10
    unnoticed = []
    for i in syncs:
        without = log[:i] + log[i + 1 :]
        originals = [*range(i), *range(i + 1, len(log) + 1)]
        if _first_loss(root, without, ends, tmp_path / "x", originals) is None:
            unnoticed.append(log[i])
    assert not unnoticed
