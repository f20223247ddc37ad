"""Arguments that every loader takes, checked: which columns are wanted, how many rows at a time."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from traceprop.errors import SourceError


def batch_size(batch_rows: int) -> int:
    """Return how many rows a batch is to have.

    Raises
    ------
    SourceError
        Where that is no whole number of 1 or more.
    """
    try:
        size = operator.index(batch_rows)
    except TypeError:
        size = 0
    if size < 1:
        raise SourceError(
            f"batch_rows={batch_rows!r} is no number of rows; give a whole number, 1 or more"
        )
    return size


def column_selection(columns: str | Sequence[str | int] | None) -> list[str | int] | None:
    """Return the columns that are wanted, None for all, as plain str and int that JSON can hold.

    Raises
    ------
    SourceError
        Where one is neither a name nor a position.
    """
    if columns is None:
        return None
    if isinstance(columns, str):
        return [columns]
    try:
        return [name if isinstance(name, str) else operator.index(name) for name in columns]
    except TypeError:
        raise SourceError(
            f"columns={columns!r} must be a list of columns' names or of their positions, which "
            "begin at 0"
        ) from None
