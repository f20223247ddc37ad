"""Random tables in SQLite: every row is found by its key, and every edit is told."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import traceprop as tp
from traceprop.lineage import values

KEYS = st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=12, unique=True)
CELLS = (
    st.one_of(st.none(), st.integers(-(2**53), 2**53)),
    st.one_of(st.none(), st.floats(allow_nan=False)),
    st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0"))),
)
ROWS = st.tuples(*CELLS)
QUERY = "SELECT a, id, b, c FROM t"


def same(one: object, other: object) -> bool:
    """Whether a value of the table is one of the database, where missing numbers are NaN."""
    if other is None:
        return one == "" or (isinstance(one, float) and np.isnan(one))
    return one == other


@given(KEYS, st.data())
def test_rows_are_found_by_their_key_whatever_was_edited(
    keys: list[int], data: st.DataObject
) -> None:
    before = {key: data.draw(ROWS) for key in keys}
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (id INTEGER, a, b REAL, c TEXT)")
        connection.executemany(
            "INSERT INTO t VALUES (?, ?, ?, ?)", [(key, *row) for key, row in before.items()]
        )
        table = tp.read_sql(QUERY, connection, key="id", columns=["a", "b", "c"])
        source = table.source
        columns = [values(table[name]).tolist() for name in table]
        for row, key in enumerate(before):
            assert source.place(row) == f"id={key}"
            for cell, expected in zip(columns, before[key], strict=True):
                assert same(cell[row], expected)

        after = dict(before)
        for key in data.draw(st.lists(st.sampled_from(keys), unique=True)):
            connection.execute("DELETE FROM t WHERE id = ?", [key])
            del after[key]
            if data.draw(st.booleans()):  # put back elsewhere, maybe with other values
                after[key] = data.draw(st.one_of(st.just(before[key]), ROWS))
                connection.execute("INSERT INTO t VALUES (?, ?, ?, ?)", [key, *after[key]])
        source.connect(connection)
        for verdict, key in zip(source.verify(range(len(keys))), before, strict=True):
            if key not in after:
                assert (verdict.state, verdict.now) == ("gone", None)
            else:
                assert verdict.unchanged == (after[key] == before[key])
                assert verdict.now == list(after).index(key)
