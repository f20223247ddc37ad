"""Tables for tests: made of plain values, and read back as plain values with their source rows."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

import traceprop as tp
from tests.naive import tables as naive
from traceprop.lineage import values

TYPES = {"t": pa.string(), "x": pa.float64(), "i": pa.int64(), "d": pa.date32(), "k": pa.string()}


def table(source: str, columns: dict[str, list[Any]]) -> tp.Table:
    arrays = {name: pa.array(column, TYPES.get(name[0])) for name, column in columns.items()}
    return tp.Table.from_arrow(pa.table(arrays), source)


def plain(value: Any) -> Any:
    """A value as Python has it, None for a missing one."""
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else value.astype("M8[D]").item()
    if isinstance(value, str):
        return value or None
    number = value.item()
    return None if number != number else number


def read(table: tp.Table) -> naive.Rows:
    """Every cell of a table with its direct source rows."""
    tensors = {name: table[name] for name in table}
    cells = {name: [plain(each) for each in values(tensor)] for name, tensor in tensors.items()}
    return [
        {name: (cells[name][i], rows_of(tensor[i : i + 1])) for name, tensor in tensors.items()}
        for i in range(len(table))
    ]


def rows_of(tensor: tp.ProvenanceTensor) -> frozenset[tuple[str, int]]:
    return frozenset(
        (str(source), row) for source, rows in tensor.sources().items() for row in rows
    )


def assert_same(table: tp.Table, expected: naive.Rows) -> None:
    found = read(table)
    assert len(found) == len(expected)
    for row, other in zip(found, expected, strict=True):
        assert list(row) == list(other)
        for name, (value, rows) in row.items():
            wanted = other[name][0]
            if isinstance(value, float) and isinstance(wanted, float):
                assert abs(value - wanted) <= 1e-12 * max(1.0, abs(wanted)), name
            else:
                assert value == wanted, name
            assert rows == other[name][1], name


def columns(names: str, min_size: int = 0, max_size: int = 8) -> st.SearchStrategy[dict[str, Any]]:
    """Columns of one length: text t, floats x, integers i, dates d, with repeats and gaps."""
    cells = {
        "t": st.sampled_from([None, "a", "b", "c"]),
        "x": st.sampled_from([None, 0.0, -0.0, 1.0, 2.5, -3.0]),
        "i": st.integers(-2, 3),
        "d": st.sampled_from([None, datetime.date(2020, 1, 1), datetime.date(1969, 5, 2)]),
    }
    row = st.tuples(*(cells[name] for name in names))
    return st.lists(row, min_size=min_size, max_size=max_size).map(
        lambda rows: {name: [row[j] for row in rows] for j, name in enumerate(names)}
    )
