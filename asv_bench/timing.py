"""Fair timing on a noisy machine: two functions, interleaved in one process, compared pair by pair.

A ratio of medians of separate runs moves with the machine; the median of the ratios of neighbouring
runs hardly does. Thread CPU time is used unless a function works in several threads or waits for a
disk, where only the wall clock sees the work.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Comparison:
    """What a paired measurement found.

    Attributes
    ----------
    ratio : float
        Median over the pairs of (time of ours / time of theirs).
    low, high : float
        95 % interval of that median, by the order statistics of the pairs (no assumption about
        the noise's shape).
    ours, theirs : float
        Median seconds of one call.
    pairs : int
        How many pairs were timed.
    """

    ratio: float
    low: float
    high: float
    ours: float
    theirs: float
    pairs: int

    @property
    def interval(self) -> str:
        """The 95 % interval, for a table's note."""
        return f"95 % [{self.low:.3f}, {self.high:.3f}], {self.pairs} pairs"


def median_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Median of a sample with its distribution-free 95 % interval (binomial order statistics)."""
    ordered = np.sort(values)
    n = len(ordered)
    half = 0.98 * np.sqrt(n)  # 1.96 * sqrt(n / 4)
    low = max(int(np.floor(n / 2 - half)), 0)
    high = min(int(np.ceil(n / 2 + half)), n - 1)
    return float(np.median(ordered)), float(ordered[low]), float(ordered[high])


def paired(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    pairs: int = 301,
    calls: int = 1,
    clock: Callable[[], float] = time.thread_time,
    rest: float = 0.0,
) -> Comparison:
    """Time two functions in turns and compare them pair by pair.

    Parameters
    ----------
    ours, theirs : callable
        Called without arguments; what they return is dropped inside the timed region, as it
        would be in a user's loop.
    pairs : int
        Number of pairs; which of the two goes first alternates.
    calls : int
        Calls per timing, for functions shorter than the clock's resolution.
    clock : callable
        `time.thread_time`, or `time.perf_counter` where work happens in other threads.
    rest : float
        Seconds to wait before each timing. A BLAS's threads spin for tens of milliseconds after a
        call, each library's its own, and would be charged to the function that comes next.

    Returns
    -------
    Comparison
    """
    for function in (ours, theirs, ours, theirs):
        function()
    seconds = np.empty((pairs, 2))
    collecting = gc.isenabled()
    gc.disable()
    try:
        for pair in range(pairs):
            order = (0, 1) if pair % 2 else (1, 0)
            for which in order:
                function = theirs if which else ours
                time.sleep(rest)
                start = clock()
                for _ in range(calls):
                    function()
                seconds[pair, which] = (clock() - start) / calls
    finally:
        if collecting:
            gc.enable()
    ratio, low, high = median_interval(seconds[:, 0] / seconds[:, 1])
    mine, other = np.median(seconds, axis=0)
    return Comparison(ratio, low, high, float(mine), float(other), pairs)
