"""Several processes record one run, or read beside a writer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.attribution.store.runs import WIDTH, commit
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.errors import StoreError

ROOT = Path(__file__).resolve().parents[2]
N = 11


def _ranks(path: Path, world_size: int, how: str) -> list[tuple[int, str]]:
    module = [sys.executable, "-m", "tests.robustness.store_rank", str(path)]
    started = [
        subprocess.Popen(
            [*module, str(rank), str(world_size), str(N), how],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in reversed(range(world_size))
    ]  # fmt: skip
    outputs = [process.communicate(timeout=120)[0] for process in started]
    return [(p.returncode, out) for p, out in zip(started, outputs, strict=True)][::-1]


@pytest.mark.parametrize("how", ["all", "own"])
def test_ranks_commit_one_run(tmp_path: Path, how: str):
    path = tmp_path / "grad"
    assert all(out == "done\n" for _, out in _ranks(path, 3, how))
    store = GradientStore.open(path)
    expected = np.repeat(np.arange(N, dtype=np.float32)[:, None], WIDTH, 1)
    expected[:2] += 3  # a row of ones from each rank
    assert store.sample_ids.tolist() == list(range(N))
    np.testing.assert_array_equal(store.gradients, expected)
    assert [len(shard) for shard in store.shards()] == [5, 5, 5]
    assert store.repeats
    assert store.record.order is None  # no rank knows the others' batches
    np.testing.assert_array_equal(store.record.inputs[:, 0], np.arange(1, N + 1))
    assert store.verify().ok
    assert {p.name for p in path.iterdir()} == {"lock", "manifest-1.json", "run-1", "shards"}
    store.compact()
    assert len(store.shards()) == 1
    assert not store.repeats
    np.testing.assert_array_equal(GradientStore.open(path).gradients, expected)


def test_a_run_of_ranks_is_appended_with_its_samples_numbered_on(tmp_path: Path):
    path = tmp_path / "grad"
    commit(GradientStore(k=8, path=path), mark=9)
    assert all(out == "done\n" for _, out in _ranks(path, 2, "all"))
    store = GradientStore.open(path)
    assert store.sample_ids.tolist() == list(range(5 + N))
    assert store.gradients[5:, 0].tolist() == [2, 3, *range(2, N)]


def test_a_rank_that_dies_is_named_and_nothing_is_stored(tmp_path: Path):
    path = tmp_path / "grad"
    commit(GradientStore(k=8, path=path), mark=9)
    (code, out), (killed, _) = _ranks(path, 2, "dies")
    assert (code, killed) == (1, -9)
    assert "rank 1 has not handed its rows to rank 0 after 2 s" in out
    assert GradientStore.open(path).n_samples == 5
    commit(GradientStore(path=path, append=True), mark=8)  # the next writer has what is left cut
    assert GradientStore.open(path).verify().notes == ()


def test_ranks_that_cannot_be_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for given in ({"rank": 2, "world_size": 2}, {"rank": 0}, {"world_size": 2}):
        with pytest.raises(StoreError, match="is no rank"):
            GradientStore(path=tmp_path / "grad", **given)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(StoreError, match="rank=3 of world_size=2"):
        GradientStore(path=tmp_path / "grad")
    monkeypatch.setenv("RANK", "x")
    with pytest.raises(StoreError, match="RANK='x' in the environment is no number"):
        GradientStore(path=tmp_path / "grad")


READER = """
import sys, warnings
import numpy as np
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.errors import StoreError
from tests.attribution.store.runs import mark_of
marks, replaced = [], 0
while not marks or marks[-1] < 30:
    store = GradientStore.open(sys.argv[1])
    try:
        marks.append(mark_of(store))
    except StoreError as error:
        assert "open it again" in str(error), error
        replaced += 1
assert marks == sorted(marks)
print(len(marks), replaced)
"""


def test_readers_go_on_beside_a_writer(tmp_path: Path):
    """Each sees whole runs alone, in order; what was replaced under its hands is said so."""
    path = tmp_path / "grad"
    commit(GradientStore(k=8, path=path), mark=1)
    readers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", READER, str(path)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for mark in range(2, 31):
        commit(GradientStore(k=8, path=path, overwrite=True), mark=mark)
    for reader in readers:
        out, _ = reader.communicate(timeout=120)
        assert reader.returncode == 0, out
