"""A process that writes runs into a store for ever; the tests kill it.

Prints `ready` when it is about to write, and each run's number when its commit has returned.
"""

from __future__ import annotations

import itertools
import sys

import numba_kernels.crc32c  # noqa: F401  compiled before `ready`, so that kills hit the writing
from tests.attribution.store.runs import commit, mark_of
from traceprop.attribution.store.gradient_store import GradientStore


def main(path: str) -> None:
    last = mark_of(GradientStore(path=path))
    print("ready", flush=True)
    for mark in itertools.count((last or 0) + 1):
        commit(GradientStore(k=8, path=path, overwrite=True), mark)
        print(mark, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
