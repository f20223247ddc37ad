"""What would make a purge lie: equal rows, other formats, several ranks, readers, other writers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.unlearning.purging.conftest import Run
from traceprop.attribution import ForgetSet, GradientStore, from_sklearn
from traceprop.attribution.store.folder.lock import WriterLock
from traceprop.errors import StoreError, UnlearnError
from traceprop.unlearning import (
    approximate_unlearn,
    finish_purges,
    purge,
    reconstruct,
    record,
)

N, D = 200, 6


def _linear(path: Path, dtype: str, X: np.ndarray) -> tuple[LogisticRegression, GradientStore]:
    y = (X[:, 0] + 0.3 * X[:, 1] > 0).astype(int)
    model = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(X, y)
    return model, from_sklearn(model, X, y, GradientStore(path=path, dtype=dtype))


def _rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N, D))


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_the_attack_gets_the_rows_before_and_none_after(tmp_path: Path, dtype: str):
    X, gone = _rows(), np.arange(0, N, 10)
    model, store = _linear(tmp_path / "grad", dtype, X)
    before = reconstruct(store.path, X[gone])
    assert before.n_recovered == len(gone)
    assert "20 of 20 rows within 0.01" in repr(before)
    if dtype == "float32":  # from the gradients alone
        assert before.candidates["shards/0-0.bin"] == N
    new = approximate_unlearn(model, ForgetSet(gone, {}, store), purge=True)
    assert record(new).purge["clean"]
    after = reconstruct(store.path, X[gone])
    assert after.n_recovered == 0
    assert after.distances.min() > 0.1
    kept = np.setdiff1d(np.arange(N), gone)
    assert reconstruct(store.path, X[kept]).n_recovered == len(kept)


def test_the_gradients_alone_give_the_rows_away(tmp_path: Path):
    X = _rows()
    _, store = _linear(tmp_path / "grad", "float32", X)
    for cached in store.path.rglob("inputs.npy"):
        cached.unlink()
    assert reconstruct(store.path, X).n_recovered >= 0.95 * N


def test_a_row_that_another_sample_has_too_is_no_trace(tmp_path: Path):
    X = _rows()
    X[7] = X[3]
    model, store = _linear(tmp_path / "grad", "float32", X)
    np.save(tmp_path / "export.npy", X[[7]])
    np.save(tmp_path / "own.npy", X[[5]])
    forget_set = ForgetSet(np.array([3, 5]), {}, store)
    keep = {tmp_path / "export.npy": "of sample 7", tmp_path / "own.npy": "held back"}
    new = approximate_unlearn(model, forget_set)
    found = purge(new, forget_set, keep=keep)
    assert found.store_clean
    assert found.alike >= 3  # its gradient, its input, and the export
    assert [each.partition(" at ")[0] for each in found.found_in_files] == [
        str(tmp_path / "own.npy")
    ]
    assert f"{found.alike} times a sample that stays has the same bytes" in str(found)


def test_a_reader_with_the_old_files_mapped_goes_on_and_the_disk_has_none(run: Run):
    reader = GradientStore.open(run.store.path)
    rows = np.array(reader.gradients)
    new = approximate_unlearn(run.model, run.forget_set, purge=True)
    assert record(new).purge["clean"]
    np.testing.assert_array_equal(reader.gradients, rows)
    assert GradientStore.open(run.store.path).n_samples == 57


def test_a_second_writer_is_refused_and_the_purge_waits_for_it(run: Run):
    new = approximate_unlearn(run.model, run.forget_set)
    lock = WriterLock(run.store.path)
    before = {p: c for p, c in run.files().items() if ".audit" not in str(p)}
    with pytest.raises(StoreError, match="is being written by"):
        purge(new, run.forget_set)
    assert {p: c for p, c in run.files().items() if ".audit" not in str(p)} == before
    with pytest.raises(UnlearnError, match=r"was begun and isn't done; finish it"):
        purge(new, run.forget_set)
    lock.release()
    (found,) = finish_purges(run.store.path)
    assert found.clean
    assert found.resumed


def test_a_store_of_several_shards_and_runs(run: Run):
    """A second run on the same data: its shards and its order of batches name the samples too."""

    held = run.store._held()
    again = GradientStore(path=run.store.path, append=True)
    half = len(run.store.gradients) // 2
    sinks = []
    for part in (slice(0, half), slice(half, None)):
        sink = again.row_sink(run.store.gradients.shape[1], checkpoint=len(sinks))
        sink.add(run.store.sample_ids[part], np.array(run.store.gradients[part]) + 1)
        sinks.append(sink)
    again.commit_rows(sinks, held.projector, held.record, None)
    store = GradientStore.open(run.store.path)
    samples = run.forget_set.samples
    new = approximate_unlearn(run.model, ForgetSet(samples, {}, store), purge=True)
    assert record(new).purge["clean"]
    opened = GradientStore.open(run.store.path)
    assert not set(samples.tolist()) & set(opened.sample_ids.tolist())
    assert opened.verify().ok


def test_a_store_that_several_processes_wrote(run: Run):
    """Two ranks add a run: each has shards and marks of its own, and both hold samples that go."""
    held = run.store._held()
    samples = run.forget_set.samples
    ranks = [
        GradientStore(path=run.store.path, append=True, rank=rank, world_size=2) for rank in (0, 1)
    ]

    def commit(rank: int) -> None:
        own = np.flatnonzero((run.store.sample_ids % 4 == 1) == bool(rank))
        sink = ranks[rank].row_sink(run.store.gradients.shape[1])
        sink.add(run.store.sample_ids[own], np.array(run.store.gradients[own]) + 1)
        ranks[rank].commit_rows([sink], held.projector, held.record, None)

    ranks[0].prepare()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(commit, (0, 1)))
    store = GradientStore.open(run.store.path)
    written = np.array(store.gradients[np.isin(store.sample_ids, samples)])
    assert {1, 3} == set((samples % 4).tolist())
    assert len(written) == len(samples)
    new = approximate_unlearn(run.model, ForgetSet(samples, {}, store), purge=True)
    assert record(new).purge["clean"]
    opened = GradientStore.open(run.store.path)
    assert not set(samples.tolist()) & set(opened.sample_ids.tolist())
    assert opened.verify().ok
    for path in (path for path in run.folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert not any(row.tobytes() in content for row in written), path
