"""Goals of a purge: no byte is left, kill -9 survives, and no attack gets the rows back.

python -m asv_bench.table unlearning_purge
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression

from asv_bench.erasing import PRELOADED, erase
from asv_bench.goals import Goal, at_least, exactly
from traceprop.attribution import ForgetSet, GradientStore, from_sklearn
from traceprop.attribution.projection import Block, Projector
from traceprop.attribution.store.run.record import TrainingRecord
from traceprop.unlearning import approximate_unlearn, purge, reconstruct

THREADS = f"{os.cpu_count()} cores, threads as the libraries choose (wall time)"
_ROWS, _WIDTH, _GONE = 100_000, 4096, 100
_SMALL, _SMALL_WIDTH = 4_000, 256
_TRIES = 200
_TOLERANCE = 1e-2


def goals() -> Iterator[Goal]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield _large_erasure(folder / "large")
        yield from _killed(folder)
        for work in _attacks(folder):
            yield from work


def _store(path: Path, n: int, width: int, dtype: str = "float32") -> GradientStore:
    """Random rows, inputs of 30 numbers and labels."""
    draw = np.random.default_rng(0)
    projector = Projector((Block("weight", (width,)),), k=width)
    inputs = draw.standard_normal((n, 30)).astype(np.float32)
    record = TrainingRecord(
        inputs=inputs,
        targets=draw.integers(0, 2, n),
        loss=None,
        penalty=None,
        penalty_origin=None,
        optimizer={},
        initial_weights={},
        final_weights={"weight": np.zeros(width, np.float32)},
        model_digest="0" * 64,
        architecture=None,
        epochs=1,
        batch_size=None,
        input_columns=None,
        seed=0,
    )
    store = GradientStore(k=width, path=path, dtype=dtype)
    sink = store.row_sink(width)
    for start in range(0, n, 4096):
        ids = np.arange(start, min(start + 4096, n))
        sink.add(ids, draw.standard_normal((len(ids), width), np.float32))
    store.commit_rows([sink], projector, record, None)
    return GradientStore.open(path)


def _gone(n: int, count: int, seed: int = 1) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).choice(n, count, replace=False))


def _large_erasure(path: Path) -> Goal:
    store = _store(path, _ROWS, _WIDTH)
    start = time.perf_counter()
    erasure = store.erase(ForgetSet(_gone(_ROWS, _GONE), {}, store))
    seconds = time.perf_counter() - start
    assert erasure.scan is not None
    size = sum(size for _, size in erasure.scan.files)
    shutil.rmtree(path)
    note = (
        f"{erasure.scan.searched} byte strings (gradients, inputs) in {len(erasure.scan.files)} "
        f"files, {size / 2**30:.2f} GiB; {erasure.scan.unsearchable} labels are too short to be "
        f"searched for; {seconds:.0f} s"
    )
    what = f"{_GONE} rows of {_ROWS:,} × {_WIDTH} erased: places with their bytes"
    return exactly(what, len(erasure.scan.found), 0, note)


def _killed(folder: Path) -> Iterator[Goal]:
    whole = _store(folder / "whole", _SMALL, _SMALL_WIDTH)
    samples = _gone(_SMALL, _GONE)
    needles = [bytes(whole.shards()[0].values[sample]) for sample in samples]
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(PRELOADED)
    seconds = max(_try(folder, samples, processes, None) for _ in range(2))
    dice = random.Random(0)
    lost, stood = 0, {"before": 0, "after": 0}
    for _ in range(_TRIES):
        _try(folder, samples, processes, dice.uniform(0, 1.1 * seconds))
        store = GradientStore.open(folder / "copy")
        left = np.isin(samples, store.sample_ids).sum()
        content = b"".join(p.read_bytes() for p in store.path.rglob("*") if p.is_file())
        found = sum(needle in content for needle in needles)
        rest = store.n_samples + len(samples) - left == _SMALL and store.verify().ok
        # All there and nothing begun, or all gone and no byte of any left.
        whole_or_none = (left, found) in ((0, 0), (len(samples), len(samples)))
        lost += not (rest and whole_or_none)
        stood["after" if left == 0 else "before"] += 1
    note = (
        f"{_SMALL:,} × {_SMALL_WIDTH}, {_GONE} rows; a process killed within {1e3 * seconds:.0f} "
        f"ms, reopened: {stood['before']} had not begun, {stood['after']} ended without a byte"
    )
    yield exactly(f"kill -9 tries of {_TRIES} that an erasure didn't survive", lost, 0, note)


def _try(folder: Path, samples: np.ndarray, processes, after: float | None) -> float:
    """Erase a fresh copy in a process of its own; kill it some time after it began."""
    path = folder / "copy"
    for old in (path, folder / "copy.audit"):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(folder / "whole", path)
    ours, theirs = processes.Pipe()
    process = processes.Process(target=erase, args=(path, samples, theirs))
    process.start()
    theirs.close()
    assert ours.recv() == "ready"
    start = time.perf_counter()
    if after is None:
        assert ours.recv() == "done"
    else:
        time.sleep(after)
        process.kill()  # does nothing where it has ended already
    seconds = time.perf_counter() - start
    process.join()
    ours.close()
    return seconds


def _attacks(folder: Path) -> Iterator[Iterator[Goal]]:
    for name, load in (("breast cancer", load_breast_cancer), ("digits", load_digits)):
        for dtype in ("float32", "float16", "int8"):
            yield _attack(name, load, dtype, folder / f"{name} {dtype}")


def _attack(name: str, load, dtype: str, path: Path) -> Iterator[Goal]:
    """The same attack on all files, and on the gradients alone, before and after."""
    X, y = load(return_X_y=True)
    X = X / np.maximum(np.abs(X).max(axis=0), 1e-12)
    _, first = np.unique(X, axis=0, return_index=True)  # a row that occurs twice proves nothing
    X, y = X[np.sort(first)], y[np.sort(first)]
    model = LogisticRegression(C=1.0, max_iter=2000).fit(X, y)
    store = from_sklearn(model, X, y, GradientStore(path=path, dtype=dtype))
    gone = _gone(len(X), 100)
    forget_set = ForgetSet(gone, {}, store)
    before = reconstruct(path, X[gone], tolerance=_TOLERANCE)
    alone = path.with_name(f"{path.name} alone")
    shutil.copytree(path, alone)
    for cached in alone.rglob("inputs.npy"):
        cached.unlink()
    gradients = reconstruct(alone, X[gone], tolerance=_TOLERANCE)
    new = approximate_unlearn(model, forget_set)
    purge(new, forget_set)
    after = reconstruct(path, X[gone], tolerance=_TOLERANCE)
    what = f"attack on {name}, {dtype}: rows recovered"
    note = (
        f"100 rows, nearest candidate within {_TOLERANCE:g} relative distance; from the gradients "
        f"alone {gradients.n_recovered} %"
    )
    yield at_least(f"{what} before the purge", before.n_recovered, 95, " %", note)
    nearest = f"nearest candidate {after.distances.min():.2g} away; same attack, same tolerance"
    yield exactly(f"{what} after", after.n_recovered, 0, nearest)
