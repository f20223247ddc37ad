"""Goals of tables: joining, grouping and sorting with lineage beside pandas, which keeps none.

Ours includes gathering every column of the result, which a table otherwise puts off.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pyarrow as pa

import traceprop as tp
from asv_bench.goals import Goal, at_most
from asv_bench.timing import paired
from traceprop.lineage import values

THREADS = f"{os.cpu_count()} cores, threads as the libraries choose (wall time)"

ROWS = 1_000_000
_PAIRS = 7


def goals() -> Iterator[Goal]:
    left, right = loans(ROWS), people(ROWS)
    tables = tp.Table.from_arrow(left, "loans"), tp.Table.from_arrow(right, "people")
    frames = left.to_pandas(), right.to_pandas()
    for what, ours, theirs in programs(*tables, *frames):
        found = paired(ours, theirs, pairs=_PAIRS, clock=time.perf_counter)
        note = f"{found.interval}; {found.ours * 1e3:.0f} ms, pandas {found.theirs * 1e3:.0f} ms"
        yield at_most(f"{what}, {ROWS:,} rows, over pandas", found.ratio, 2, " ×", note)
    joined = tables[0].join(tables[1], "person")
    rows = {id(column.rows): column.rows for column in joined._columns.values()}
    kept = sum(values(each).nbytes for each in rows.values() if each is not None)
    yield at_most("memory that a join keeps per row for lineage", kept / len(joined), 8, " bytes")


def loans(n: int) -> pa.Table:
    """Return rows with a key of people, a text of 1,000, and numbers."""
    rng = np.random.default_rng(0)
    purposes = np.array([f"purpose {i}" for i in range(1000)])
    return pa.table(
        {
            "person": rng.integers(0, n, n),
            "purpose": pa.array(purposes[rng.integers(0, 1000, n)]).dictionary_encode(),
            "rate": rng.integers(0, n // 2, n) / 100,
            "amount": rng.normal(size=n),
        }
    )


def people(n: int) -> pa.Table:
    """Return a row for four of five keys, in random order."""
    rng = np.random.default_rng(1)
    return pa.table(
        {"person": rng.permutation(n)[: n * 4 // 5], "age": rng.normal(size=n * 4 // 5)}
    )


def programs(
    left: tp.Table, right: tp.Table, left_frame: pd.DataFrame, right_frame: pd.DataFrame
) -> Iterator[tuple[str, Callable[[], object], Callable[[], object]]]:
    """Yield (what, ours, pandas') for each step that a table does."""
    for how in ("inner", "left"):
        yield (
            f"{how} join on an integer",
            lambda how=how: gathered(left.join(right, "person", how)),
            lambda how=how: left_frame.merge(right_frame, on="person", how=how),
        )
    for what, by in (
        ("a text", ["purpose"]),
        ("an integer", ["person"]),
        ("a float", ["rate"]),
        ("two keys", ["purpose", "rate"]),
    ):
        yield (
            f"group-by of {what}",
            lambda by=by: left.group_by(
                by, n="count", mean=("amount", "mean"), top=("amount", "max")
            ),
            lambda by=by: left_frame.groupby(by, observed=True).agg(
                n=("amount", "size"), mean=("amount", "mean"), top=("amount", "max")
            ),
        )
    yield (
        "sort by two columns",
        lambda: gathered(left.sort(["rate", "amount"])),
        lambda: left_frame.sort_values(["rate", "amount"], kind="stable"),
    )


def gathered(table: tp.Table) -> list[tp.ProvenanceTensor]:
    """Return every column of a table, text as codes."""
    return [table.codes(name) if name in table.categories else table[name] for name in table]
