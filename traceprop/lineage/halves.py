"""Doing one large piece of work in two threads, each a half of the rows.

A kernel that lets go of the interpreter is waiting for memory most of the time; two of them on two
cores take about half as long. A half is written by one thread alone, so that the result is the
same as from one thread. The second thread is kept for the next time; a forked process, which
doesn't inherit it, starts its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Found = TypeVar("Found")

LARGE_FROM = 1 << 18
"""Rows from which on half of the work takes longer than handing it over."""

_second: list[ThreadPoolExecutor] = []  # empty until it is needed
os.register_at_fork(after_in_child=_second.clear)


def in_halves(work: Callable[[int, int], Found], n: int) -> list[Found]:
    """Call `work(start, stop)` over all `n` rows, in two threads where there are many.

    Parameters
    ----------
    work : callable
        Takes no rows at all too: it is called so once before the two threads begin.
    n : int

    Returns
    -------
    list
        What each call returned, in the order of the rows.
    """
    if n < LARGE_FROM or len(os.sched_getaffinity(0)) < 2:
        return [work(0, n)]
    work(0, 0)  # loads or compiles the kernel, which must not happen in two threads at once
    if not _second:
        _second.append(ThreadPoolExecutor(1, "traceprop-lineage"))
    later = _second[0].submit(work, n // 2, n)
    return [work(0, n // 2), later.result()]
