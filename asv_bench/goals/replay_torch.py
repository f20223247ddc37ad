"""Goals of tracked torch tensors: what recording a torch call costs.

By thread CPU time with torch on one thread; small calls on 10 numbers, large ones on a million of
torch's default type (float32).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

import traceprop as tp
from asv_bench.goals import Goal, at_most
from asv_bench.timing import paired

THREADS = "torch on 1 thread (thread CPU time)"

LARGE = 1_000_000
_ADDED = 1.5  # µs for each recorded operation


def _operations(x, mask) -> dict[str, tuple[int, Callable[[], object]]]:
    """Return what is timed, with the number of operations in it."""
    chosen, numbers = x > 2, torch.arange(0, len(mask), 2)
    return {
        "add": (1, lambda: x + x),
        "x - mean(0)": (2, lambda: x - x.mean(0)),
        "exp": (1, lambda: x.exp()),
        "softmax by torch.softmax": (1, lambda: torch.softmax(x, 0)),
        "row filter": (1, lambda: x[mask]),
        "cat": (1, lambda: torch.cat([x, x])),
        "where": (1, lambda: torch.where(chosen, x, 0.0)),
        "index_select": (1, lambda: x.index_select(0, numbers)),
        "add_": (1, lambda: x.add_(0)),
        "x[0] = v": (1, lambda: x.__setitem__(0, 1.0)),
    }


def goals() -> Iterator[Goal]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from _measured()
    finally:
        torch.set_num_threads(threads)


def _measured() -> Iterator[Goal]:
    for n, pairs, calls in ((10, 201, 200), (LARGE, 201, 1)):
        plain, mask = torch.arange(float(n)), torch.arange(n) % 2 == 0
        ours, theirs = _operations(tp.array(plain), mask), _operations(plain.clone(), mask)
        for name, (count, function) in ours.items():
            found = paired(function, theirs[name][1], pairs=pairs, calls=calls)
            if n == LARGE:
                what = f"torch {name}, 1M elements: against torch"
                yield at_most(what, found.ratio, 1.01, " ×", f"{found.interval}; 1 thread")
                continue
            added = (found.ours - found.theirs) * 1e6 / count
            note = f"{count} recorded; plain torch {found.theirs * 1e6:.2f} µs; 1 thread"
            yield at_most(f"torch {name}, 10 elements: added time an operation", added, _ADDED,
                          " µs", note)  # fmt: skip
