"""Power cuts and kills at every moment of writing an audit log: nothing that lasts is lost.

A durable entry is there after any cut. Of the others the last may be gone, but never one in the
middle; what is torn is cut by the next writer; and leaving out any one fsync is noticed.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.robustness.power_cut import (
    Event,
    LoggedLogFiles,
    crash_states,
    needed_syncs,
    put_on_disk,
)
from traceprop.audit import log as log_module
from traceprop.audit.log import AuditLog
from traceprop.audit.log_check import check_log
from traceprop.audit.retention import let_go
from traceprop.errors import AuditError, AuditWarning

ROOT = Path(__file__).resolve().parents[2]

# What is done, and whether it must last: (kind, durable).
STEPS = [("removal", True), ("query", False), ("query", False), ("export", True), ("query", False)]


class Done:
    """Moments of a log: after how many events each entry was written, and lasted."""

    def __init__(self) -> None:
        self.written: list[tuple[int, int]] = []  # (events, entries)
        self.lasting: list[tuple[int, int]] = []

    def bounds(self, done: int) -> tuple[int, int]:
        """The fewest and the most entries that may be there."""
        least = max((n for events, n in self.lasting if events <= done), default=0)
        most = min((n for events, n in self.written if events >= done), default=10**9)
        return least, most


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event], Done]:
    root = tmp_path_factory.mktemp("logged") / "bank"
    events: list[Event] = [Event("make", root), Event("sync_folder", root.parent)]
    (root / "grad").mkdir(parents=True)
    events += [Event("make", root / "grad"), Event("sync_folder", root)]
    done = Done()
    done.written.append((len(events), 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoggedLogFiles, "log_of_events", events, raising=False)
        patch.setattr(log_module, "LogFiles", LoggedLogFiles)
        log = AuditLog(root / "grad")
        for n, (kind, durable) in enumerate(STEPS):
            log.append(kind, {"n": n}, durable=durable)
            done.written.append((len(events), n + 2))  # and the beginning
            if durable:
                done.lasting.append((len(events), n + 2))
        log.sync()
        done.lasting.append((len(events), len(STEPS) + 1))
    return root, events, done


def _after_cut(state: dict[Path, bytes | None], root: Path, scratch: Path) -> tuple[int, int] | str:
    """How many entries are there, and up to which all facts, once a writer went on; or a fault."""
    put_on_disk(state | {root.parent: None}, root.parent, scratch)
    store = scratch / "bank" / "grad"
    if not store.is_dir():
        return 0, 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AuditWarning)
            serial = AuditLog(store).append("query", {"n": -1}).serial
        found = check_log(store)
    except AuditError as error:
        return str(error)
    if not found.ok:
        return found.reason
    before = serial - sum(entry.kind == "cut" for entry in found.entries)
    if before == 1 and len(found.openings) == 1:
        return 0, 0  # the beginning may be this writer's own
    facts = 1
    while facts < before and facts in found.openings:
        if found.openings[facts].facts != {"n": facts - 1}:
            return f"entry {facts} has the facts {found.openings[facts].facts}"
        facts += 1
    return before, facts


def _first_loss(
    root: Path, events: list[Event], originals: list[int], done: Done, scratch: Path
) -> str | None:
    known: dict[frozenset[tuple[Path, bytes | None]], tuple[int, int] | str] = {}
    for at, state in crash_states(events):
        key = frozenset(state.items())
        if key not in known:
            known[key] = _after_cut(state, root, scratch)
        least, most = done.bounds(originals[at])
        outcome = known[key]
        if isinstance(outcome, str) or not least <= min(outcome) <= outcome[0] <= most:
            return f"after event {originals[at]}: {outcome}, not {least} to {most}"
    return None


def test_no_power_cut_loses_what_lasts(logged, tmp_path: Path):
    root, events, done = logged
    assert _first_loss(root, events, list(range(len(events) + 1)), done, tmp_path / "d") is None


def test_leaving_out_any_fsync_is_noticed(logged, tmp_path: Path):
    root, events, done = logged
    syncs = [i for i in needed_syncs(events) if i > 3]
    assert len(syncs) > 8
    unnoticed = []
    for i in syncs:
        originals = [*range(i), *range(i + 1, len(events) + 1)]
        loss = _first_loss(root, events[:i] + events[i + 1 :], originals, done, tmp_path / "d")
        if loss is None:
            unnoticed.append((i, events[i]))
    assert not unnoticed


def test_a_cut_while_old_entries_go_leaves_a_log_that_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = tmp_path / "bank"
    (root / "grad").mkdir(parents=True)
    log = AuditLog(root / "grad")
    for n in range(4):
        log.append("query", {"n": n})
    events: list[Event] = [Event("make", root), Event("make", root / "grad")]
    folder = log.files.folder
    events += [Event("make", folder.parent), Event("make", folder)]
    for path in sorted(p for p in folder.iterdir() if p.name != "lock"):
        events += [Event("content", path, path.read_bytes()), Event("sync", path)]
    events += [Event("sync_folder", p) for p in (folder, folder.parent, root, root.parent)]
    start = len(events)
    monkeypatch.setattr(LoggedLogFiles, "log_of_events", events, raising=False)
    monkeypatch.setattr(log_module, "LogFiles", LoggedLogFiles)
    assert let_go(root / "grad", datetime.now(UTC) + timedelta(days=200)) == 4
    monkeypatch.undo()
    states = 0
    for at, state in crash_states(events):
        if at < start:
            continue
        states += 1
        put_on_disk(state | {root.parent: None}, root.parent, tmp_path / "disk")
        store = tmp_path / "disk" / "bank" / "grad"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AuditWarning)
            AuditLog(store).append("query", {"n": 4})
        found = check_log(store)
        assert found.ok, (at, found.reason)
        assert found.entries[0].serial in (0, 4)
    assert states > 50


_WRITER = """
import sys
from traceprop.audit.recording import record
print("ready", flush=True)
for n in range(10**6):
    entry = record(sys.argv[1], "removal" if n % 20 == 9 else "query", {"n": n})
    print(entry.serial, flush=True)
"""


def _kill_often(store: Path, times: int) -> None:
    store.mkdir()
    dice = random.Random(times)
    last = -1
    for _ in range(times):
        command = [sys.executable, "-c", _WRITER, str(store)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(dice.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
            printed = process.stdout.read().split()
        last = int(printed[-1]) if printed else last
        if last < 0:
            continue
        found = check_log(store)
        assert found.ok, found.reason
        assert found.entries[-1].serial in (last, last + 1)  # an entry may be there, not printed
        last = found.entries[-1].serial
    assert last > times


def test_no_kill_loses_an_entry(tmp_path: Path):
    _kill_often(tmp_path / "grad", 12)


@pytest.mark.nightly
def test_no_kill_loses_an_entry_two_hundred_times(tmp_path: Path):
    _kill_often(tmp_path / "grad", 200)
