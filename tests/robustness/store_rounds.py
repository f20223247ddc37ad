"""What the process does that is killed, and what it may leave: the states of a store, in order."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import numpy as np

from tests.attribution.store.runs import PROJECTOR, WIDTH, make_record
from traceprop.attribution.store.erasure.forget import ForgetSet
from traceprop.attribution.store.gradient_store import GradientStore

N = 5


def content(store: GradientStore) -> str:
    """The samples that a store has, each with its row's first number; every row is constant."""
    if not store.n_samples:
        return "nothing"
    rows = np.asarray(store.gradients)
    assert (rows == rows[:, :1]).all()
    assert len(store.record.inputs) >= store.sample_ids.max() + 1
    pairs = zip(store.sample_ids.tolist(), rows[:, 0].tolist(), strict=True)
    return " ".join(f"{sample}:{value:g}" for sample, value in sorted(pairs))


def expected() -> Iterator[str]:
    """The states of a store under `run_rounds`, after each change."""
    for mark in itertools.count(1):
        first = [i + 10 * mark for i in range(N)]
        both = [2 * value for value in first]
        yield _named(range(N), first)
        yield _named(range(N), both)
        yield _named([0, 1, 3, 4], [both[i] for i in (0, 1, 3, 4)])


def _named(samples: object, values: list[float]) -> str:
    return " ".join(f"{s}:{v:g}" for s, v in zip(samples, values, strict=True))


def _commit(path: str, mark: int, rank: int, world_size: int, **mode: bool) -> None:
    """Record a run, or one rank's share of its samples."""
    store = GradientStore(k=8, path=path, rank=rank, world_size=world_size, **mode)
    sink = store.row_sink(WIDTH)
    own = np.arange(rank, N, world_size)
    sink.add(own, np.repeat(own[:, None] + 10.0 * mark, WIDTH, axis=1).astype(np.float32))
    store.commit_rows([sink], PROJECTOR, make_record(N, mark), None)


def run_rounds(path: str) -> Iterator[str]:
    """Go on from wherever the store is, and yield what it holds after each change."""
    held = content(GradientStore(path=path))
    states = expected()
    done = 0 if held == "nothing" else 1 + next(i for i, s in enumerate(states) if s == held)
    for number in itertools.count(done):
        mark, step = number // 3 + 1, number % 3
        if step == 0:
            second = threading.Thread(target=_commit, args=(path, mark, 1, 2))
            second.start()
            _commit(path, mark, 0, 2, overwrite=True)
            second.join()
        elif step == 1:
            GradientStore.open(path).compact()
            _commit(path, mark, 0, 1, append=True)
        else:
            store = GradientStore.open(path)
            store.erase(ForgetSet(np.array([2]), {}, store))
        yield content(GradientStore.open(path))
