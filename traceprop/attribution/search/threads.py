"""One piece of work shared out among threads, for kernels that run without Python's lock.

Promise: the threads live no longer than the call, so that a process may be forked between two
calls (a data loader's workers are), which numba's own threads don't survive.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from traceprop.errors import AttributionError


def thread_count(threads: int | None) -> int:
    """Return how many threads to use: as many as asked for, or as the process has cores."""
    if threads is None:
        return len(os.sched_getaffinity(0))
    if threads < 1:
        raise AttributionError(f"threads is {threads!r}; give 1 or more, or None for all cores")
    return threads


def share_out(work: Callable[[int, int], None], pieces: int, threads: int) -> None:
    """Call `work(thread, piece)` once for every piece, each thread taking the next that is left.

    Parameters
    ----------
    work : callable
        What it raises ends the call.
    pieces : int
        Their numbers run from 0. Many small ones keep a thread whose core is busy elsewhere from
        being waited for.
    threads : int
        At most; no more than there are pieces.
    """
    threads = min(threads, pieces)
    if threads <= 1:
        for piece in range(pieces):
            work(0, piece)
        return
    following = itertools.count()

    def run(thread: int) -> None:
        while (piece := next(following)) < pieces:
            work(thread, piece)

    with ThreadPoolExecutor(threads, thread_name_prefix="traceprop-search") as pool:
        list(pool.map(run, range(threads)))
