"""Goals of the store on disk: opening, appending, its size, its provenance, erasure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import traceprop as tp
from asv_bench.goals import Goal, at_least, at_most, exactly
from asv_bench.timing import median_interval
from tests.attribution.store.runs import make_record
from traceprop.attribution.projection import Block, Projector
from traceprop.attribution.store.erasure.forget import ForgetSet
from traceprop.attribution.store.folder.files import CHUNK_BYTES, StoreFolder
from traceprop.attribution.store.folder.formats import row_bytes
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.attribution.store.rows.row_source import ArrayRows
from traceprop.attribution.store.rows.shard_files import write_rows

THREADS = "one thread, and one beside it for checksums"

K = 4096
MILLION = 1_000_000
GIB = 1 << 30
_APPENDED = 16_384  # rows: 256 MiB of float32
_PAIRS = 41
_ERASED_FROM = 100_000


def goals() -> Iterator[Goal]:
    """Yield the lines."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield _append(folder)
        yield from _sizes(folder)
        yield from _million(folder)
        yield _erasure(folder)


def _append(folder: Path) -> Goal:
    """Rows of one shard, against the same bytes in 4 MiB writes with the same fsyncs."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((_APPENDED, K), np.float32)
    ids = np.arange(_APPENDED)

    def plain() -> None:
        below = folder / "plain"
        below.mkdir()
        for name, values in (("rows", rows), ("ids", ids)):
            with (below / name).open("xb") as file:
                view = memoryview(values).cast("B")
                for start in range(0, len(view), CHUNK_BYTES):
                    file.write(view[start : start + CHUNK_BYTES])
                file.flush()
                os.fsync(file.fileno())
        for path in (below, folder):
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    def ours() -> None:
        store = StoreFolder(folder / "ours")
        write_rows(store, 0, 0, ArrayRows(rows, ids), 0, "float32")
        store.sync_folders()

    def seconds(write: Callable[[], None]) -> float:
        os.sync()
        start = time.perf_counter()
        write()
        taken = time.perf_counter() - start
        for name in ("plain", "ours"):
            shutil.rmtree(folder / name, ignore_errors=True)
        return taken

    for write in (plain, ours):
        seconds(write)
    # Which goes first alternates: a disk that gives way under the first helps or harms the second.
    taken = {plain: np.empty(_PAIRS), ours: np.empty(_PAIRS)}
    for pair in range(_PAIRS):
        for write in (plain, ours) if pair % 2 else (ours, plain):
            taken[write][pair] = seconds(write)
    median, low, high = median_interval(100 * taken[plain] / taken[ours])
    note = f"95 % [{low:.0f}, {high:.0f}] %, {_PAIRS} pairs of 256 MiB, with checks and checksums"
    return at_least("append, of a plain sequential write's speed", median, 80, " %", note)


def _sizes(folder: Path) -> Iterator[Goal]:
    """Rows are of one width, so the size of a million follows from that of fewer."""
    n, goals = 1_000, {"float32": 15.3, "float16": 7.7, "int8": 3.9}
    for dtype, goal in goals.items():
        store = StoreFolder(folder / f"size-{dtype}")
        rows = ArrayRows(np.ones((n, K), np.float32), np.arange(n))
        entry = write_rows(store, 0, 0, rows, 0, dtype)
        size = sum(file.size for file in entry.entries())
        assert size == n * row_bytes(dtype, K)
        what = f"disk for 1M samples at k = 4096, {dtype}"
        note = f"from {n} rows on disk, each of {size // n} bytes; with samples' numbers"
        # 15.3 GiB is rounded: 4 x 4096 bytes a row are 15.26, and 8 a sample's number.
        yield at_most(what, round(size / n * MILLION / GIB, 1), goal, " GiB", note)


_OPENING = """
import resource, sys, time
from traceprop.attribution import GradientStore
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
GradientStore.open(sys.argv[2]).sample_ids
before, start = peak(), time.perf_counter()
store = GradientStore.open(sys.argv[1])
store.sample_ids[-1], store.shards()[0].values[-1, 0]
print(1e3 * (time.perf_counter() - start), (peak() - before) / 1024)
"""


def _million(folder: Path) -> Iterator[Goal]:
    """A store of 1M samples, each of 16 numbers, whose rows came from two files by a filter."""
    store = _provenance_store(folder)
    small = GradientStore(k=16, path=folder / "small")
    _commit(small, 2, None)
    command = [sys.executable, "-c", _OPENING, str(store.path), str(small.path)]
    found = np.array(
        [
            [float(part) for part in subprocess.check_output(command, text=True).split()]
            for _ in range(7)
        ]
    )
    milliseconds, megabytes = np.median(found, axis=0)
    yield at_most("open 1M samples, first and last row touched", milliseconds, 50, " ms")
    yield at_most("memory that takes", megabytes, 4, " MiB")
    (source, *_) = store.sources
    rows = np.arange(0, source.n_rows, 7) * 2
    rows = rows[rows < source.n_rows]

    def median_ms(ask: Callable[[], object]) -> float:
        ask()
        times = []
        for _ in range(15):
            start = time.thread_time()
            ask()
            times.append(1e3 * (time.thread_time() - start))
        return float(np.median(times))

    named = median_ms(lambda: store.samples_from_source(source, rows))
    note = f"{len(rows)} rows named"
    yield at_most("samples_from_source, 1M samples", named, 10, " ms", note)
    traced = median_ms(lambda: store.get_provenance(999_999))
    yield at_most("get_provenance of one of 1M samples", traced, 10, " ms")


def _provenance_store(folder: Path) -> GradientStore:
    path = folder / "big.csv"
    path.write_text("a,b\n" + "".join(f"{i},{i % 2}\n" for i in range(2 * MILLION)))
    table = tp.load_csv(path)
    kept = table[table[:, 1] == 0]
    store = GradientStore(k=16, path=folder / "big")
    _commit(store, MILLION, (kept,))
    return GradientStore.open(store.path)


def _commit(store: GradientStore, n: int, tensors: tuple[object, ...] | None) -> None:
    projector = Projector((Block("weight", (16,)),), k=16)
    store.commit(np.ones((n, 16), np.float32), np.arange(n), projector, make_record(n), tensors)


def _erasure(folder: Path) -> Goal:
    """100 of 100,000 x 4096: as int8, which keeps the table short on room."""
    rng = np.random.default_rng(1)
    store = GradientStore(k=K, path=folder / "erased", dtype="int8")
    sink = store.row_sink(K)
    for start in range(0, _ERASED_FROM, 1000):
        sink.add(np.arange(start, start + 1000), rng.standard_normal((1000, K), np.float32))
    projector = Projector((Block("weight", (K,)),), k=K)
    store.commit_rows([sink], projector, make_record(_ERASED_FROM), None)
    gone = np.sort(rng.choice(_ERASED_FROM, 100, replace=False))
    needles = [bytes(store.shards()[0].values[i]) for i in gone]
    start = time.perf_counter()
    erasure = store.erase(ForgetSet(gone, {}, store))
    seconds = time.perf_counter() - start
    files = [path.read_bytes() for path in store.path.rglob("*") if path.is_file()]
    found = sum(needle in content for needle in needles for content in files)
    scan = erasure.scan
    assert scan is not None
    note = f"{seconds:.0f} s with the search of {len(scan.files)} files; looked for again by bytes"
    return exactly("erased rows found, 100 of 100,000 × 4096", found + len(scan.found), 0, note)
