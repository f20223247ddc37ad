"""kill -9 at random moments: nothing committed is lost, the store opens, and can be written."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.robustness.store_rounds import content, expected, run_rounds
from traceprop.attribution.store.folder.layout import strays
from traceprop.attribution.store.gradient_store import GradientStore

ROOT = Path(__file__).resolve().parents[2]


def _killed_writer(path: Path, after: float) -> list[str]:
    """Start a writer, kill it some time after it began to write, and return what it finished."""
    command = [sys.executable, "-m", "tests.robustness.store_writer", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        printed = process.stdout.read().splitlines()
    assert process.returncode == -signal.SIGKILL
    return printed


def _kill_often(path: Path, times: int) -> None:
    dice = random.Random(times)
    start = time.perf_counter()
    states = list(itertools.islice(run_rounds(str(path)), 3))
    seconds = time.perf_counter() - start
    last = 2
    known = list(itertools.islice(expected(), 3))
    assert states == known
    for _ in range(times):
        printed = _killed_writer(path, dice.uniform(0, 1.5 * seconds))
        while len(known) <= last + len(printed) + 2:  # and one that wasn't printed, and the next
            known = list(itertools.islice(expected(), 2 * len(known)))
        assert printed == known[last + 1 : last + 1 + len(printed)]
        last += len(printed)
        store = GradientStore(path=path)
        held = content(store)
        assert held in (known[last], known[last + 1])
        last += held == known[last + 1]
        manifest = store._held().manifest
        assert not manifest.erasing, "an erasure that began is finished at the next open"
        assert not (manifest.erasures and strays(path, manifest))
        assert store.verify().ok
    assert next(run_rounds(str(path))) == known[last + 1]
    store = GradientStore.open(path)
    assert not strays(path, store._held().manifest)


def test_nothing_committed_is_lost_to_kill_9(tmp_path: Path):
    _kill_often(tmp_path / "store", 12)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_nothing_committed_is_lost_to_kill_9_two_hundred_times(tmp_path: Path):
    _kill_often(tmp_path / "store", 200)
