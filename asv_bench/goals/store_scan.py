"""Goals of scans and of the search by 1-bit codes, against `torch.mv` in float32."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from asv_bench.goals import Goal, at_least, at_most
from asv_bench.goals.store_rows import WIDTH, RealRows, write_rows
from asv_bench.timing import Comparison, paired
from numba_kernels.scan_codes import scan_codes
from traceprop.attribution.search.codes import Codes, code_queries
from traceprop.attribution.search.index import SearchIndex
from traceprop.attribution.search.question import ask
from traceprop.attribution.search.scan import best_of, scan
from traceprop.attribution.search.threads import share_out
from traceprop.attribution.search.whitening import Whitening
from traceprop.attribution.store.folder.formats import encode
from traceprop.attribution.store.rows.shards import Shard

THREADS = "two threads (wall clock)"

N, LARGE, K, QUERIES = 100_000, 1_000_000, 20, 50
# Rows that the second moment is taken from here: it moves recall and time alike for all rows.
_MOMENT_ROWS = 65_536


def goals() -> Iterator[Goal]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    rows = np.empty((N, WIDTH), np.float32)
    for start in range(0, N, 10_000):
        part = rows[start : start + 10_000]
        part[:] = np.random.default_rng(start).standard_normal(part.shape, np.float32)
    query = np.random.default_rng(1).standard_normal(WIDTH).astype(np.float32)
    matrix, vector = torch.from_numpy(rows), torch.from_numpy(query)

    def multiply() -> torch.Tensor:
        return torch.mv(matrix, vector)

    yield from _kernels(rows, query, multiply)
    with tempfile.TemporaryDirectory() as folder:
        yield from _two_stage(write_rows(Path(folder) / "rows.bin", LARGE), multiply)
    torch.set_num_threads(before)


def _kernels(rows: np.ndarray, query: np.ndarray, multiply: Callable[[], object]) -> Iterator[Goal]:
    question = ask(query, WIDTH, K)
    ids = np.arange(N)
    for dtype, limit in (("float32", 1.0), ("int8", 0.4)):
        encoded = [
            encode(rows[start : start + 10_000], ids, dtype) for start in range(0, N, 10_000)
        ]
        if dtype == "float32":
            shard = Shard(rows, None, ids, Path(), 0, 0, None)
        else:
            values, scales = (np.concatenate(parts) for parts in zip(*encoded, strict=True))
            shard = Shard(values, scales, ids, Path(), 0, 0, None)
        del encoded
        found = paired(lambda s=shard: scan([s], question, 2), multiply, 31, 1, time.perf_counter)
        yield _ratio(f"top {K} of {N:,} × {WIDTH} in memory, {dtype}: against mv", found, limit)
    words = np.random.default_rng(2).integers(0, 1 << 64, (N, WIDTH // 64), np.uint64)
    found = paired(_codes_scanner(words, query), multiply, 31, 1, time.perf_counter)
    yield _ratio(f"top {K} of {N:,} × {WIDTH} in memory, 1 bit: against mv", found, 0.07)


def _codes_scanner(words: np.ndarray, query: np.ndarray) -> Callable[[], object]:
    """Return a scan of all bits of all codes."""
    identity = Whitening(np.zeros((0, WIDTH), np.float32), np.zeros(0, np.float32))
    coded = code_queries(query[None], identity, 0)
    planes = np.concatenate([coded.head, coded.tail], axis=2)
    factors, offsets, step = np.ones(N, np.float32), np.zeros(1, np.float32), 2048

    def run() -> object:
        heaps = np.zeros((2, 1, K), np.uint64)

        def work(thread: int, piece: int) -> None:
            part = slice(piece * step, (piece + 1) * step)
            scan_codes(
                words[part], factors[part], planes, coded.centres, coded.steps, offsets,
                part.start, 0, heaps[thread],
            )  # fmt: skip

        share_out(work, -(-N // step), 2)
        return best_of(heaps, K, 0)

    return run


def _two_stage(real: RealRows, multiply: Callable[[], object]) -> Iterator[Goal]:
    shard, start = real.shard, time.perf_counter()
    some = np.arange(0, LARGE, LARGE // _MOMENT_ROWS)
    sample = [shard.decoded(rows) for rows in np.array_split(some, 16)]
    moment = np.zeros((WIDTH, WIDTH))
    for block in sample:
        moment += block.T @ block
    moment /= len(some)
    step = 4096
    blocks = (shard.decoded(slice(at, at + step)) for at in range(0, LARGE, step))
    index = SearchIndex.of_rows(blocks, LARGE, moment, threads=2)
    built = time.perf_counter() - start
    damping = 0.01 * torch.linalg.eigvalsh(torch.from_numpy(moment))[-1].item()
    moment[np.diag_indices(WIDTH)] += damping
    solved = np.linalg.solve(moment, real.queries[:QUERIES].T.astype(np.float64)).T
    solved /= np.abs(solved).max(axis=1, keepdims=True)

    exact = scan([shard], ask(solved, WIDTH, K), 2)
    found = index.search([shard], ask(solved, WIDTH, K), threads=2)
    shared = [np.isin(a, b).mean() for a, b in zip(exact.rows, found.rows, strict=True)]
    turns = itertools.cycle([ask(query, WIDTH, K) for query in solved])
    timed = paired(
        lambda: index.search([shard], next(turns), threads=2), multiply, 51, 1, time.perf_counter
    )
    note = (
        f"{timed.interval.replace('[', '× 10: [')}; {timed.ours * 1e3:.1f} ms a query against "
        f"10 × {timed.theirs * 1e3:.0f} ms; index made in {built:.0f} s"
    )
    what = f"top {K} of {LARGE:,} × {WIDTH}, int8 on disk, by codes: against mv"
    yield at_most(what, timed.ratio / (LARGE / N), 1 / 30, " ×", note)
    note = (
        f"{QUERIES} queries by the damped Fisher matrix; gradients of a network on changed digits "
        f"(accuracy {real.accuracy:.3f}); least {min(shared):.2f}"
    )
    yield at_least(f"the same: recall@{K}", float(np.mean(shared)), 0.95, "", note)
    size = index.nbytes / (1 << 30)
    yield at_most("the same: size of the index", size, 0.5, " GiB", _parts(index.codes))


def _parts(codes: Codes) -> str:
    bits = (codes.head.nbytes + codes.tail.nbytes) / (1 << 30)
    return f"of it {bits:.3f} GiB codes"


def _ratio(what: str, found: Comparison, limit: float) -> Goal:
    each = f"{found.ours * 1e3:.1f} ms against {found.theirs * 1e3:.1f}"
    return at_most(what, found.ratio, limit, " ×", f"{found.interval}; {each}")
