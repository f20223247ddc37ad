"""Tensors out to pandas and polars, as the tables that they are, and polars tables in."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from traceprop.errors import DataError

if TYPE_CHECKING:
    import pandas
    import polars

    from traceprop.lineage import ProvenanceTensor
    from traceprop.sources.table import Table


def tensor_to_pandas(tensor: ProvenanceTensor) -> pandas.DataFrame:
    """Return a tensor's values as a data frame; see `ProvenanceTensor.to_pandas`."""
    return _table(tensor).to_pandas()


def tensor_to_polars(tensor: ProvenanceTensor, rows: bool = True) -> polars.DataFrame:
    """Return a tensor's values as a polars data frame; see `ProvenanceTensor.to_polars`."""
    table = _table(tensor)
    # Rows that come back are found as long as the table lives: let it, as long as the tensor does.
    weakref.finalize(tensor, _let_go, table).atexit = False
    return table.to_polars(rows)


def _let_go(table: Table) -> None:
    """Hold a table until this is called."""


def from_polars(frame: polars.DataFrame | polars.LazyFrame, source: str | None = None) -> Table:
    """Make a table of a polars data frame.

    Parameters
    ----------
    frame : polars.DataFrame or LazyFrame
        Made by `to_polars`, it is known again by its column of row numbers. Any other one is a
        source of its own, row i its i-th row.
    source : str, optional
        What to call a source of its own.

    Raises
    ------
    DataError
        Where a column can't be one of a table, or its row numbers are of a table that is gone.
    """
    from traceprop.interop.polars import from_polars as read

    return read(frame, source)


def _table(tensor: ProvenanceTensor) -> Table:
    from traceprop.sources.table import Table

    if tensor.ndim not in (1, 2):
        raise DataError(
            f"a tensor of {tensor.ndim} axes is no table; reshape it to rows and columns first"
        )
    if tensor.ndim == 1:
        names = tensor.columns or ("value",)
        return Table.from_tensors({names[0]: tensor})
    width = tensor.shape[1]
    if not width:
        raise DataError("the tensor has no columns; a data frame needs one at least")
    names = tensor.columns or tuple(f"column {j}" for j in range(width))
    if len(set(names)) < width:
        names = tuple(f"{name} {j}" for j, name in enumerate(names))
    columns: dict[str, Any] = {name: tensor[:, j] for j, name in enumerate(names)}
    return Table.from_tensors(columns)
