"""Data frames that a table was turned into: what an estimator makes of them keeps its rows."""

from __future__ import annotations

import sys
from typing import Any, Final

COLUMNS: Final = "columns"
"""Begins the place of a data frame in a call's template; its columns, each an input, follow."""

Place = int | str


def told_apart(args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any], dict[Place, Any]]:
    """Return a call's arguments with tensors for the columns of data frames that a table went to.

    Returns
    -------
    args, kwargs
        With ``(COLUMNS, tensor, ...)`` for each such data frame, or column of one.
    frames : dict
        Those data frames, by position or name.

    Raises
    ------
    DataError
        Where such a data frame holds what no table can.
    """
    frames: dict[Place, Any] = {}
    told_args = [_told(value, i, frames) for i, value in enumerate(args)]
    told_kwargs = {name: _told(value, name, frames) for name, value in kwargs.items()}
    return tuple(told_args), told_kwargs, frames


def _told(value: Any, place: Place, frames: dict[Place, Any]) -> Any:
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(value, (pandas.DataFrame, pandas.Series)):
        return value
    from traceprop.interop.pandas import from_pandas, is_linked

    if not is_linked(value):
        return value
    frames[place] = value
    table = from_pandas(value.to_frame() if isinstance(value, pandas.Series) else value)
    return (COLUMNS, *(column.tensor() for column in table._columns.values()))


def put_back(
    args: Any, kwargs: dict[str, Any], frames: dict[Place, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments with the data frames in their places."""
    back = [frames.get(i, value) for i, value in enumerate(args)]
    return back, {name: frames.get(name, value) for name, value in kwargs.items()}
