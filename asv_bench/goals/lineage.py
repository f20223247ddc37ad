"""Goals of lineage: what recording costs, what a query costs, and what is kept in memory."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

import traceprop as tp
from asv_bench.goals import Goal, at_most, exactly
from asv_bench.interpreters import (
    VARIABLE,
    both,
    measure,
    measure_others,
    normalise_and_filter,
)
from asv_bench.peers import run_peer
from asv_bench.timing import Comparison, median_interval, paired
from traceprop.lineage import ProvenanceTensor, halves
from traceprop.lineage.graph.node import Node

THREADS = "1 thread (thread CPU time) but where a line says otherwise"

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
    }


def goals() -> Iterator[Goal]:
    peers = {name: run_peer("arrays.py", name, needs) for name, needs in PEERS.items()}
    yield from _small(peers)
    yield from _large(peers)
    yield from _chain_and_pipeline()
    yield _pipeline_memory()
    yield _elements()
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
    mask = np.arange(LARGE) % 2 == 0
    x, plain = both(np.arange(float(LARGE)))
    tracked = _operations(x, mask)
    for name, function in tracked.items():
        found = paired(function, _operations(plain, mask)[name], pairs=301)
        note = f"{found.interval}; peers: {_beside(peers, name, 'ratio_1m', ' ×')}"
        yield _ratio(f"{name}, 1M elements: against NumPy", found, 1.01, note)


def _ratio(what: str, found: Comparison, limit: float, note: str) -> Goal:
    return Goal(what, f"{found.ratio:.4f} ×", f"≤ {limit:g} ×", found.ratio <= limit, note)


def _chain_and_pipeline() -> Iterator[Goal]:
    here, *others = measure(), *measure_others()
    off = [each for each in others if not each.reuses]
    for each in (here, *(each for each in others if each.reuses)):
        for what, limit in (("chain", 1.01), ("pipeline", 0.99)):
            found = getattr(each, what)
            note = f"{found.interval}; Python {each.python}"
            for slower in off if each is here else ():
                figure = getattr(slower, what).ratio
                note += f"; {figure:.3f} × on {slower.python}, where no operand is reused"
            if each is here and not others:
                note += f", the one that runs this; {VARIABLE} names others"
            name = {"chain": "chain x*2+1, 1M elements", "pipeline": _PIPELINE}[what]
            yield _ratio(f"{name}: against NumPy", found, limit, note)


_PIPELINE = "normalise + row filter, 1M × 10"


def _elements() -> Goal:
    """What recording for cells costs beside recording for rows."""
    x, _ = both(np.random.default_rng(0).normal(size=(LARGE, 10)))

    def at(level):
        with tp.granularity(level):
            normalise_and_filter(x)

    found = paired(lambda: at("element"), lambda: at("row"), pairs=61)
    what = "the same pipeline recorded for cells: against rows"
    return _ratio(what, found, 1.01, found.interval)


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
    ratio = _peak(lambda: normalise_and_filter(tracked)) / _peak(
        lambda: normalise_and_filter(plain)
    )
    # A node is 250 bytes beside arrays of 80 MB: the ratio is shown to the fourth digit.
    what = "the same pipeline: peak memory against NumPy"
    return Goal(what, f"{ratio:.4f} ×", "≤ 1.0001 ×", ratio <= 1.0001)


def _milliseconds(
    make: Callable[[], Callable[[], object]],
    repeats: int,
    clock: Callable[[], float] = time.thread_time,
) -> tuple[float, str]:
    """Median time of a question that is asked for the first time, in milliseconds."""
    seconds = []
    for _ in range(repeats):
        ask = make()
        start = clock()
        ask()
        seconds.append(clock() - start)
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
            # len(x) would ask for row maps at once: work of the query that is timed afterwards.
            x = x.take(rng.permutation(tp.lineage.values(x).shape[0]))
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
        yield _composed(ask)

    median, note = _milliseconds(lambda: _deep(1000)[7].trace, 51)
    yield at_most("trace of 1 row through depth 1000, first time", median, 2, " ms", note)
    median, note = _milliseconds(lambda: _deep(1000, rows=100_000)[:1000].trace, 51)
    yield at_most("trace of 1,000 rows through depth 1000, first time", median, 20, " ms", note)


def _composed(ask: Callable[[object], object]) -> Goal:
    """Twenty row maps of a million rows composed: by the wall clock, for it takes two threads."""

    def first_time():
        return partial(ask, _shuffles(20, LARGE))

    ask(_shuffles(20, LARGE))
    median, note = _milliseconds(first_time, 9, time.perf_counter)
    before, halves.LARGE_FROM = halves.LARGE_FROM, 1 << 62
    try:
        alone, _ = _milliseconds(first_time, 9)
    finally:
        halves.LARGE_FROM = before
    what = f"20 filters, sorts, takes over 1M rows: {ask.__name__}(), first time"
    return at_most(
        what, median, 25, " ms", f"{note}, 2 threads, wall time; 1 thread {alone:.3g} ms"
    )


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
    tp.lineage.origins(x)
    after = tracemalloc.get_traced_memory()[0] - start - values
    tracemalloc.stop()
    per_row = 20 * len(x)
    note = "the tensor's own values not counted"
    what = "memory an output row and step where rows move"
    yield at_most(f"{what}: indices as they came", before / per_row, 5, " B", note)
    yield at_most(f"{what}: row map composed and kept", after / per_row, 5, " B", note)
