"""kill -9 at random moments: nothing committed is lost, the store opens, and can be written."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.attribution.store.runs import commit, mark_of
from traceprop.attribution.store.gradient_store import GradientStore

ROOT = Path(__file__).resolve().parents[2]


def _killed_writer(path: Path, after: float) -> int | None:
    """Start a writer, kill it some time after it began to write, and return its last commit."""
    command = [sys.executable, "-m", "tests.robustness.store_writer", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        printed = process.stdout.read().splitlines()
    assert process.returncode == -signal.SIGKILL
    return int(printed[-1]) if printed else None


def _kill_often(path: Path, times: int) -> None:
    dice = random.Random(times)
    commit(GradientStore(k=8, path=path), mark=1)
    start = time.perf_counter()
    commit(GradientStore(k=8, path=path, overwrite=True), mark=1)
    seconds = time.perf_counter() - start
    last = 1
    for _ in range(times):
        printed = _killed_writer(path, dice.uniform(0, 3 * seconds))
        committed = printed or last
        store = GradientStore(path=path)
        last = mark_of(store)
        assert last in (committed, committed + 1)
        assert store.verify().ok
    commit(GradientStore(k=8, path=path, overwrite=True), last + 1)
    assert mark_of(GradientStore.open(path)) == last + 1
    on_disk = {p.relative_to(path).parts[0] for p in path.rglob("*") if p.is_file()}
    assert len(on_disk) == 4  # lock, one manifest, shards, one run: all strays are cut


def test_nothing_committed_is_lost_to_kill_9(tmp_path: Path):
    _kill_often(tmp_path / "store", 20)


@pytest.mark.nightly
def test_nothing_committed_is_lost_to_kill_9_two_hundred_times(tmp_path: Path):
    _kill_often(tmp_path / "store", 200)
