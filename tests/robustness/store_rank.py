"""A process that is one of several ranks of a run: it records its samples and commits.

Arguments: the store's folder, rank, world size, how many samples there are, and whether each
process knows all inputs (`all`) or those of its own samples (`own`), or dies before it is done
(`dies`).
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys

import numpy as np

from tests.attribution.store.runs import PROJECTOR, WIDTH, make_record
from traceprop.attribution.store.committing import ranks
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.attribution.store.run.record import BatchOrder


def main(path: str, rank: int, world_size: int, n: int, how: str) -> None:
    ranks.PATIENCE = 20 if how != "dies" else 2
    store = GradientStore(k=8, path=path, rank=rank, world_size=world_size, append=True)
    sink = store.row_sink(WIDTH)
    own = np.arange(rank, n, world_size)
    sink.add(own, np.repeat(own[:, None], WIDTH, 1).astype(np.float32))
    everyone = np.arange(2)  # the samples that a sampler gives to every rank to fill its last batch
    sink.add(everyone, np.ones((2, WIDTH), np.float32))
    if how == "dies" and rank:
        os.kill(os.getpid(), signal.SIGKILL)
    inputs = np.repeat(np.arange(1, n + 1)[:, None], 3, 1).astype(np.float32)
    if how == "own":
        hidden = np.setdiff1d(np.arange(n), np.union1d(own, everyone))
        inputs[hidden] = 0
    order = BatchOrder(own.astype(np.int32), np.array([len(own)]))
    record = dataclasses.replace(make_record(n), inputs=inputs, order=order)
    store.commit_rows([sink], PROJECTOR, record, None)
    assert store.n_samples >= n
    print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
