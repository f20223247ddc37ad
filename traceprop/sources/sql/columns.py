"""A query's columns as NumPy: one float64 matrix, or a column each.

Promise: what can't be told exactly as a float64 is refused, decimals apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.sources import columns as arrow_columns
from traceprop.sources.sql import values as sql_values


def matrix_of(columns: Mapping[str, Any], name: str) -> npt.NDArray[np.float64]:
    """Copy columns of numbers into one float64 matrix.

    Parameters
    ----------
    columns : mapping of str to pyarrow.ChunkedArray
    name : str
        How messages call the query.

    Raises
    ------
    SourceError
        Where a column isn't numeric; it names the column and its first value.
    """
    import pyarrow as pa

    for column, values in columns.items():
        kind = sql_values.kind_of(values)
        if kind not in ("number", "boolean", sql_values.NOTHING):
            first = next(value.as_py() for value in values if value.is_valid)
            raise SourceError(
                f"column {column!r} of {name} holds {kind}, such as {sql_values.shortened(first)}, "
                "not numbers; leave it out with columns=, or read the query with read_sql"
            )
    floats = [
        pa.chunked_array(
            [sql_values.as_float(chunk, column) for chunk in values.chunks], pa.float64()
        )
        for column, values in columns.items()
    ]
    return arrow_columns.matrix(pa.Table.from_arrays(floats, names=list(columns)))


def table_column(values: Any, name: str) -> arrow_columns.Column:
    """Turn one column, a pyarrow.ChunkedArray, into NumPy: moments in UTC, times of day as spans.

    Raises
    ------
    SourceError
        Where NULLs make floats of integers that are too large for that.
    """
    import pyarrow as pa

    kind = sql_values.kind_of(values)
    if kind == sql_values.NOTHING:
        values = pa.chunked_array([pa.nulls(len(values))])
    elif kind == "text":
        values = values.dictionary_encode()
    elif kind == "timestamp UTC":
        values = values.cast(pa.timestamp("us"))
    elif kind == "time":
        values = values.cast(pa.int64()).cast(pa.duration("us"))
    elif kind == "number" and values.null_count:
        values = pa.chunked_array([sql_values.as_float(chunk, name) for chunk in values.chunks])
    return arrow_columns.column(values)
