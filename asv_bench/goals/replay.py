"""Goals of replay: what running a recorded pipeline again costs beside the plain program.

The plain program loads the file with the same reader, so that the line is about replay alone.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import traceprop as tp
from asv_bench.goals import Goal, at_most, replay_sklearn, replay_torch
from asv_bench.timing import paired
from traceprop.lineage import values

THREADS = f"{os.cpu_count()} cores, threads as the libraries choose (wall time)"

ROWS, COLUMNS = 1_000_000, 10
_PAIRS = 7
_ROWS_APPLIED = 2000


def goals() -> Iterator[Goal]:
    with tempfile.TemporaryDirectory() as folder:
        path = write_table(Path(folder))
        recorded = pipeline(tp.load_csv(path))
        rows = {recorded.ancestors().leaves[0]: np.arange(0, ROWS, 1000)}

        def plain() -> Any:
            return pipeline(values(tp.load_csv(path)))

        for what, replayed in (
            ("replay of 20 steps, 1M x 10, from a CSV", lambda: tp.replay(recorded)),
            ("the same without 1,000 rows", lambda: tp.replay(recorded, without=rows)),
        ):
            found = paired(replayed, plain, pairs=_PAIRS, clock=time.perf_counter)
            note = (
                f"{found.interval}; {found.ours:.2f} s, load and plain NumPy {found.theirs:.2f} s"
            )
            yield at_most(f"{what}, over load and NumPy", found.ratio, 1.3, " ×", note)
        yield from applied(recorded, path)
    yield from replay_sklearn.goals()
    yield from replay_torch.goals()


def applied(recorded: Any, path: Path) -> Iterator[Goal]:
    """One new row through the 20 steps, by the tensor and by a saved pipeline."""
    row = values(tp.load_csv(path))[17].copy()
    tp.save_pipeline(path.with_name("prepare.arrow"), recorded)
    saved = tp.load_pipeline(path.with_name("prepare.arrow"))
    for what, of in (("the tensor", recorded), ("a saved pipeline", saved)):
        times = []
        for _ in range(_ROWS_APPLIED):
            start = time.perf_counter()
            tp.apply(of, row)
            times.append(time.perf_counter() - start)
        low, middle, high = (1e3 * float(np.percentile(times, q)) for q in (5, 50, 95))
        note = f"{low:.3f} to {high:.3f} ms, 5 and 95 % of {_ROWS_APPLIED}"
        yield at_most(f"apply on one row, 20 steps, of {what}", middle, 1.0, " ms", note)


def write_table(folder: Path) -> Path:
    """Write a million rows of ten numbers; every twentieth line has a number far off."""
    import pyarrow as pa
    from pyarrow import csv

    rng = np.random.default_rng(0)
    columns = {f"c{j}": rng.lognormal(sigma=1 + j / 10, size=ROWS) for j in range(COLUMNS)}
    path = folder / "table.csv"
    csv.write_csv(pa.table(columns), path)
    return path


def pipeline(X: Any) -> Any:
    """Twenty steps: statistics, filters, logarithms, a sort, columns made of others."""
    X = np.log1p(X)  # 1
    X = X - X.mean(axis=0)  # 2, 3
    X = X / X.std(axis=0)  # 4, 5
    X = X[np.abs(X[:, 0]) < 3]  # 6 to 9
    X = np.clip(X, -4, 4)  # 10
    X = X * 2 + 1  # 11, 12
    ratio = X[:, 1] / (np.abs(X[:, 2]) + 1)  # 13 to 15
    X = np.column_stack([X, ratio])  # 16
    X = X[np.argsort(X[:, 3], kind="stable")]  # 17, 18
    low = X.min(axis=0)  # 19
    return (X - low) / (X.max(axis=0) - low)  # 20 to 23
