"""A process that changes a store for ever; the tests kill it.

Each round records a run of two ranks, compacts it, appends to it and erases a sample, so that a
kill hits any of these. Prints `ready` when it is about to begin, and what the store holds, as
`tests.robustness.store_rounds.content` gives it, when a change has returned.
"""

from __future__ import annotations

import sys

import numba_kernels.crc32c
import numba_kernels.needles
import numba_kernels.projection  # noqa: F401  compiled before `ready`, so that kills hit the writing
from tests.robustness.store_rounds import run_rounds


def main(path: str) -> None:
    print("ready", flush=True)
    for state in run_rounds(path):
        print(state, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
