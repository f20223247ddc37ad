"""Goals of lineage: what recording costs, what a query costs, and what is kept in memory."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

import traceprop as tp
from asv_bench.goals import Goal, at_most, exactly
from asv_bench.peers import run_peer
from asv_bench.timing import Comparison, median_interval, paired
from traceprop.lineage import ProvenanceTensor
from traceprop.lineage.node import Node

THREADS = "1 thread (thread CPU time)"

LARGE = 1_000_000
PEERS = {
    "pint": ["pint"],
    "unyt": ["unyt"],
    "astropy": ["astropy"],
    "traceprop-0.7.0": ["traceprop==0.7.0"],
}
# Operation → added microseconds allowed at 10 elements.
ADDED = {"add": 0.6, "x - mean(0)": 1.5, "row filter": 2.5, "concatenate": 3.0}


def _operations(x, mask) -> dict[str, Callable[[], object]]:
    return {
        "add": lambda: x + x,
        "x - mean(0)": lambda: x - x.mean(axis=0),
        "row filter": lambda: x[mask],
        "concatenate": lambda: np.concatenate([x, x]),
        "chain x*2+1": lambda: x * 2 + 1,
    }


def goals() -> Iterator[Goal]:
    peers = {name: run_peer("arrays.py", name, needs) for name, needs in PEERS.items()}
    yield from _small(peers)
    yield from _large(peers)
    yield _pipeline()
    yield _pipeline_memory()
    yield from _queries()
    yield from _memory()


def _beside(peers: dict, operation: str, figure: str, unit: str) -> str:
    found = (f"{name} {each[operation][figure]:.2f}{unit}" for name, each in peers.items())
    return ", ".join(found)


def _small(peers: dict) -> Iterator[Goal]:
    plain, mask = np.arange(10.0), np.arange(10) % 2 == 0
    tracked = _operations(tp.array(plain), mask)
    for name, limit in ADDED.items():
        found = paired(tracked[name], _operations(plain, mask)[name], pairs=301, calls=500)
        added = (found.ours - found.theirs) * 1e6
        note = f"peers: {_beside(peers, name, 'added_us', ' µs')}"
        yield at_most(f"{name}, 10 elements: added time", added, limit, " µs", note)


def _large(peers: dict) -> Iterator[Goal]:
    plain, mask = np.arange(float(LARGE)), np.arange(LARGE) % 2 == 0
    tracked = _operations(tp.array(plain), mask)
    for name, function in tracked.items():
        found = paired(function, _operations(plain, mask)[name], pairs=301)
        note = found.interval
        if name in ADDED:
            note += f"; peers: {_beside(peers, name, 'ratio_1m', ' ×')}"
        yield _ratio(f"{name}, 1M elements: against NumPy", found, 1.01, note)


def _ratio(what: str, found: Comparison, limit: float, note: str) -> Goal:
    return Goal(what, f"{found.ratio:.4f} ×", f"≤ {limit:g} ×", found.ratio <= limit, note)


def _normalise_and_filter(x):
    normal = (x - x.mean(axis=0)) / x.std(axis=0)
    return normal[normal[:, 3] > 0]


def _pipeline() -> Goal:
    plain = np.random.default_rng(0).normal(size=(LARGE, 10))
    tracked = tp.array(plain)
    found = paired(
        lambda: _normalise_and_filter(tracked), lambda: _normalise_and_filter(plain), pairs=61
    )
    what = "normalise + row filter, 1M × 10: against NumPy"
    note = f"{found.interval}; Python {sys.version.split()[0]}, the one on this machine"
    return _ratio(what, found, 0.99, note)


def _peak(function: Callable[[], object]) -> int:
    function()
    gc.collect()
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def _pipeline_memory() -> Goal:
    plain = np.random.default_rng(0).normal(size=(LARGE, 10))
    tracked = tp.array(plain)
    ratio = _peak(lambda: _normalise_and_filter(tracked)) / _peak(
        lambda: _normalise_and_filter(plain)
    )
    # A node is 250 bytes beside arrays of 80 MB: the ratio is shown to the fourth digit.
    what = "the same pipeline: peak memory against NumPy"
    return Goal(what, f"{ratio:.4f} ×", "≤ 1.0001 ×", ratio <= 1.0001)


def _milliseconds(make: Callable[[], Callable[[], object]], repeats: int) -> tuple[float, str]:
    """Median time of a question that is asked for the first time, in milliseconds."""
    seconds = []
    for _ in range(repeats):
        ask = make()
        start = time.thread_time()
        ask()
        seconds.append(time.thread_time() - start)
    median, low, high = median_interval(np.array(seconds) * 1e3)
    return median, f"95 % [{low:.3g}, {high:.3g}] ms, {repeats} times"


def _deep(depth: int, rows: int = 1000):
    x = tp.array(np.arange(float(rows)))
    for _ in range(depth):
        x = x + 1
    return x


def _shuffles(steps: int, rows: int):
    """Filters, sorts and takes in turn; values are few, so that a filter keeps most rows."""
    rng = np.random.default_rng(0)
    x = tp.array(rng.normal(size=rows))
    for step in range(steps):
        if step % 3 == 0:
            x = x[x > np.quantile(tp.lineage.values(x), 0.01)]
        elif step % 3 == 1:
            x = x[np.argsort(x)]
        else:
            x = x.take(rng.permutation(len(x)))
    return x


def _queries() -> Iterator[Goal]:
    x = _deep(20)
    for name in ("sources", "ops"):
        ask = getattr(x, name)
        ask()
        found = paired(ask, ask, pairs=101, calls=1000)
        yield at_most(f"{name}() asked again", found.ours * 1e6, 1, " µs")

    median, note = _milliseconds(lambda: _deep(1000).ancestors, 51)
    yield at_most("ancestors() at depth 1000, first time", median, 0.2, " ms", note)

    for ask in (tp.lineage.origins, ProvenanceTensor.sources):
        ask(_shuffles(20, 10_000))  # compiles the kernels
        median, note = _milliseconds(lambda ask=ask: partial(ask, _shuffles(20, LARGE)), 9)
        what = f"20 filters, sorts, takes over 1M rows: {ask.__name__}(), first time"
        yield at_most(what, median, 25, " ms", f"{note}, {THREADS}")

    median, note = _milliseconds(lambda: _deep(1000)[7].trace, 51)
    yield at_most("trace of 1 row through depth 1000, first time", median, 2, " ms", note)
    median, note = _milliseconds(lambda: _deep(1000, rows=100_000)[:1000].trace, 51)
    yield at_most("trace of 1,000 rows through depth 1000, first time", median, 20, " ms", note)


def _live_nodes() -> int:
    gc.collect()
    return sum(isinstance(thing, Node) for thing in gc.get_objects())


def _memory() -> Iterator[Goal]:
    before = _live_nodes()
    x = tp.array(np.arange(10.0))
    for _ in range(20_000):
        x = x * 0.5 + 1
    del x
    yield exactly(
        "nodes kept after a 20,000-step loop's tensors are dropped", _live_nodes() - before, 0
    )

    source = tp.array(np.arange(10.0))
    values = tp.lineage.values(source + 1)
    gc.collect()
    tracemalloc.start()
    start = tracemalloc.get_traced_memory()[0]
    x = source
    for _ in range(10_000):
        x = x + 1
    per_step = (tracemalloc.get_traced_memory()[0] - start - values.nbytes) / 10_000
    tracemalloc.stop()
    yield at_most("memory of a step where no row moves", per_step, 250, " B")

    gc.collect()
    tracemalloc.start()
    start = tracemalloc.get_traced_memory()[0]
    x = _shuffles(20, LARGE)
    values = tp.lineage.values(x).nbytes
    before = tracemalloc.get_traced_memory()[0] - start - values
    x.sources()
    after = tracemalloc.get_traced_memory()[0] - start - values
    tracemalloc.stop()
    per_row = 20 * len(x)
    note = "the tensor's own values not counted"
    what = "memory an output row and step where rows move"
    yield at_most(f"{what}: indices as they came", before / per_row, 5, " B", note)
    yield at_most(f"{what}: row map composed and kept", after / per_row, 5, " B", note)
