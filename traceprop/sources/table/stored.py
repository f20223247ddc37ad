"""How a table keeps a column: a tensor as it was loaded or made, and which of its rows are there.

Columns that came the same way share one tracked array of row numbers, so that choosing rows moves
no data: a column is gathered when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from traceprop.lineage.tensor import values
from traceprop.sources.table import ops

if TYPE_CHECKING:
    from traceprop.lineage import ProvenanceTensor


class Stored(NamedTuple):
    """One column of a table.

    Attributes
    ----------
    base : ProvenanceTensor, shape (m,)
        Numbers, dates, booleans, or codes of categories.
    rows : ProvenanceTensor, shape (n,), or None
        Row i of the table is row `rows[i]` of `base`, or missing where that is -1; None for all
        of `base` in order.
    categories : tuple of str, optional
        Of a text column: what its codes number.
    gaps : bool
        Whether a text column misses values somewhere in `base`, or may by its rows.
    """

    base: ProvenanceTensor
    rows: ProvenanceTensor | None = None
    categories: tuple[str, ...] | None = None
    gaps: bool = False

    def tensor(self) -> ProvenanceTensor:
        """Return the table's rows of this column."""
        if self.rows is None:
            return self.base
        return ops.rows_of(self.base, self.rows, self.categories is not None)

    @property
    def is_text(self) -> bool:
        """Whether the values are codes of categories."""
        return self.categories is not None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the values, or codes, that the table has."""
        dtype = self.base.node.dtype
        if dtype.kind in "biu" and not self.is_text and self.rows is not None:
            absent = values(self.rows) < 0
            return np.dtype(np.float64) if absent.any() else dtype
        return dtype


Columns = Mapping[str, Stored]


def select_rows(columns: Columns, chosen: ProvenanceTensor) -> dict[str, Stored]:
    """Choose rows of all columns by row numbers of the table, -1 for a row of missing values."""
    return _each_selection(
        columns, lambda rows, _: chosen if rows is None else ops.rows_of_rows(rows, chosen)
    )


def pick_rows(columns: Columns, key: Any) -> dict[str, Stored]:
    """Choose rows of all columns by a mask, index or slice, as one step.

    Raises
    ------
    IndexError
        Where NumPy refuses the key.
    """
    if len({id(column.rows) for column in columns.values()}) == 1:
        return _each_selection(
            columns, lambda rows, base: (ops.row_numbers(base) if rows is None else rows)[key]
        )
    any_column = next(iter(columns.values()))
    numbers = any_column.base if any_column.rows is None else any_column.rows
    return select_rows(columns, ops.row_numbers(numbers)[key])


def _each_selection(
    columns: Columns,
    choose: Callable[[ProvenanceTensor | None, ProvenanceTensor], ProvenanceTensor],
) -> dict[str, Stored]:
    """Apply a choice once to each array of row numbers that columns share."""
    done: dict[int, ProvenanceTensor] = {}
    for column in columns.values():
        if id(column.rows) not in done:
            done[id(column.rows)] = choose(column.rows, column.base)
    return {name: column._replace(rows=done[id(column.rows)]) for name, column in columns.items()}
