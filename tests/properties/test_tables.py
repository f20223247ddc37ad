"""Random tables: join, group-by, sort and concat are those of plain rows, values and lineage."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import traceprop as tp
from tests.naive import tables as naive
from tests.sources.tables import assert_same, columns, table
from traceprop.lineage import values
from traceprop.testing import assert_sound

KEYS = st.lists(st.sampled_from("txid"), min_size=1, max_size=3, unique=True)
AGGREGATES = {
    "n": "count",
    "c": ("x", "count"),
    "s": ("x", "sum"),
    "m": ("x", "mean"),
    "lo": ("x", "min"),
    "hi": ("d", "max"),
    "v": ("x", "var"),
    "sd": ("i", "std"),
    "u": ("t", "nunique"),
    "f": ("t", "first"),
    "l": ("x", "last"),
    "si": ("i", "sum"),
}


@given(columns("txid"), columns("txid"), KEYS, st.sampled_from(["inner", "left"]))
def test_join(left: Any, right: Any, on: list[str], how: str) -> None:
    joined = table("left", left).join(table("right", right), on, how)
    expected = naive.join(naive.table("left", left), naive.table("right", right), on, how)
    if not right["t"] and expected:  # a twin without rows doesn't know its columns
        missing = {f"{name}_right": naive.NOTHING for name in "txid" if name not in on}
        expected = [{**row, **missing} for row in expected]
    assert_same(joined, expected)


@given(columns("txid"), KEYS)
def test_group_by(cells: Any, by: list[str]) -> None:
    grouped = table("t", cells).group_by(by, **AGGREGATES)
    assert_same(grouped, naive.group_by(naive.table("t", cells), by, AGGREGATES))


@given(columns("txid"), KEYS, st.lists(st.booleans(), min_size=3, max_size=3))
def test_sort(cells: Any, by: list[str], descending: list[bool]) -> None:
    falls = descending[: len(by)]
    assert_same(table("t", cells).sort(by, falls), naive.sort(naive.table("t", cells), by, falls))


@given(st.lists(columns("txid"), min_size=1, max_size=4))
def test_concat(parts: list[Any]) -> None:
    whole = tp.Table.concat([table(f"part {i}", part) for i, part in enumerate(parts)])
    expected = [row for i, part in enumerate(parts) for row in naive.table(f"part {i}", part)]
    assert_same(whole, expected)


@given(columns("txid"), columns("txi"), st.data())
def test_programs(first: Any, second: Any, data: st.DataObject) -> None:
    """Several steps one after another: rows chosen among rows chosen before."""
    tracked, rows = table("first", first), naive.table("first", first)
    for _ in range(data.draw(st.integers(1, 4))):
        step = data.draw(st.sampled_from(["join", "sort", "concat", "filter", "take"]))
        if step == "join":
            on = data.draw(st.sampled_from(["t", "i"]))
            name = f"right {data.draw(st.integers(0, 1))}"
            tracked = tracked.select(list("txid")).join(table(name, second), [on], "inner")
            rows = [{key: row[key] for key in "txid"} for row in rows]
            rows = naive.join(rows, naive.table(name, second), [on], "inner")
        elif step == "sort":
            tracked, rows = tracked.sort(["x", "i"]), naive.sort(rows, "xi", [False, False])
        elif step == "concat":
            tracked, rows = tp.Table.concat([tracked, tracked]), [*rows, *rows]
        elif step == "filter":
            tracked = tracked.filter(tracked["i"] > 0)
            rows = [row for row in rows if row["i"][0] > 0]
        elif len(rows):
            chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=6))
            tracked, rows = tracked.take(chosen), [rows[i] for i in chosen]
        if len(rows) > 40:
            break
    if rows:
        assert_same(tracked, rows)
    assert len(tracked) == len(rows)


def results(made: tp.Table, tracked: bool) -> list[Any]:
    """Every column, as plain values for a run on plain arrays."""
    read = [made[name] for name in made]
    return read if tracked else [values(each) for each in read]


def program(steps: list[int], *arrays: Any) -> list[Any]:
    """Run a program of table operations on the columns of two tables."""
    tracked = isinstance(arrays[0], tp.ProvenanceTensor)
    left = tp.Table.from_tensors({"k": arrays[0], "x": arrays[1], "t": arrays[2]})
    right = tp.Table.from_tensors({"k": arrays[3], "y": arrays[4]})
    for step in steps:
        if step == 0:
            left = left.select(["k", "x", "t"]).join(right, "k", "left")
        elif step == 1:
            left = left.select(["k", "x", "t"]).join(right, "k")
        elif step == 2:
            left = left.sort(["x", "t"], [True, False])
        elif step == 3:
            left = left.select(["k", "x", "t"]).group_by("k", x=("x", "sum"), t=("t", "first"))
        elif step == 4:
            left = left.group_by(
                ["t", "k"], x=("x", "mean"), n="count", u=("x", "nunique"), lo=("x", "min"),
                hi=("t", "max"), last=("x", "last"), v=("x", "var"),
            )  # fmt: skip
        elif step == 5:
            left = left[left["x"] > 0]
        elif step == 6:
            left = left.fill("x", np.nanmean(left["x"]))
        elif step == 7:
            left = left.with_column("x", left["x"] * 2)
        else:
            half = left.head(2)
            left = tp.Table.concat([half, left])
    return results(left, tracked)


floats = st.sampled_from([np.nan, 0.0, 1.0, 2.0, -1.5])
words = st.sampled_from(["", "a", "b"])


SOURCES = st.tuples(
    arrays(np.float64, 4, elements=floats),
    arrays(np.float64, 4, elements=floats),
    arrays("U1", 4, elements=words),
    arrays(np.float64, 3, elements=floats),
    arrays(np.int64, 3, elements=st.integers(0, 2)),
)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 8), min_size=1, max_size=3), SOURCES)
def test_rows_that_change_with_a_nudged_row_name_it(steps: list[int], sources: Any) -> None:
    assert_sound(lambda *each: program(steps, *each), *sources)
