"""pandas in and out: the index says which source row each row is.

A data frame that a table was turned into keeps a link to the table in its `attrs`, which pandas
hands on through filters, sorts and most else; the index finds the rows. Where either was lost, the
columns that come back are made of the whole table (`traceprop.interop.returned`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np
import numpy.typing as npt

from traceprop.errors import DataError
from traceprop.interop.arrow import as_columns
from traceprop.interop.returned import note_sent, own_source, returned
from traceprop.lazy import needing_extras
from traceprop.lineage.answers.origins import row_maps_to_sources
from traceprop.lineage.tensor import values

if TYPE_CHECKING:
    import pandas

    from traceprop.sources.table import Table
    from traceprop.sources.table.base import ColumnStore
    from traceprop.sources.table.stored import Stored

_ATTRIBUTE: Final = "traceprop"


class _Link(str):
    """A table in a data frame's `attrs`; to all who copy, compare or write these, its name.

    pandas copies `attrs` deeply at every step and writes them to Parquet as JSON.
    """

    __slots__ = ("labels", "table")

    table: ColumnStore
    labels: tuple[str, pandas.Index[Any]]

    def __deepcopy__(self, memo: Any) -> _Link:
        return self

    def __reduce__(self) -> Any:
        return str, (str(self),)


def to_pandas(table: ColumnStore) -> pandas.DataFrame:
    """Return a table's values as a data frame whose index says which source row a row is."""
    with needing_extras():
        import pandas as pd

    note_sent()
    name, numbers = _identity(table)
    index = pd.Index(numbers, name=name)
    frame = pd.DataFrame(
        {each: _series(column) for each, column in table._columns.items()}, index=index
    )
    link = _Link(name)
    link.table, link.labels = table, (name, index)
    frame.attrs[_ATTRIBUTE] = link
    return frame


def _series(column: Stored) -> Any:
    import pandas as pd

    plain = values(column.tensor())
    if column.categories is not None:
        return pd.Categorical.from_codes(plain, pd.Index(column.categories, dtype="str"))
    return plain.copy()


def _identity(table: ColumnStore) -> tuple[str, npt.NDArray[Any]]:
    """Return the index's name and labels: the source's row numbers where each row has its own."""
    leaves = table._leaves()
    if len(leaves) == 1:
        for column in table._columns.values():
            row_map = row_maps_to_sources(column.tensor().node).get(leaves[0])
            if row_map is None or not row_map.functional:
                break
            rows = row_map.index()
            if len(rows) and rows.min() >= 0 and len(np.unique(rows)) == len(rows):
                return f"{leaves[0]} row", rows
            break
    return "table row", np.arange(len(table))


def from_pandas(frame: pandas.DataFrame, source: str | None = None) -> Table:
    """Make a table of a data frame, of rows of the table that it was made of where it was."""
    with needing_extras():
        import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"from_pandas takes a DataFrame, not {type(frame).__name__}")
    link = frame.attrs.get(_ATTRIBUTE)
    if isinstance(link, _Link) and source is None:
        rows = _found(frame.index, link)
        lost = rows is None and any(name is not None for name in frame.index.names)
        plain = frame.reset_index() if lost else frame
        return returned(link.table, rows, _columns(plain), "pandas")
    labels = None if _only_counts(frame.index) else _Labels(frame.index)
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    return own_source(_columns(frame), len(frame), source, "pandas", labels)


def _only_counts(index: pandas.Index[Any]) -> bool:
    """Whether an index says no more than the number of each row."""
    import pandas as pd

    return index.name is None and isinstance(index, pd.RangeIndex) and (
        index.start == 0 and index.step == 1
    )  # fmt: skip


class _Labels(Sequence[str]):
    """What a data frame's index calls each row: ``person=ann``, ``index=7``; written when asked."""

    def __init__(self, index: pandas.Index[Any]) -> None:
        self._index = index.copy()
        self._names = ["index" if name is None else name for name in index.names]

    def __len__(self) -> int:
        return len(self._index)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[str]: ...
    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        label = self._index[row]
        parts = label if len(self._names) > 1 else (label,)
        return ", ".join(f"{name}={part}" for name, part in zip(self._names, parts, strict=True))


def is_linked(data: pandas.DataFrame | pandas.Series[Any]) -> bool:
    """Whether a data frame, or a column of one, was made of a table in this process."""
    return isinstance(data.attrs.get(_ATTRIBUTE), _Link)


def _found(index: pandas.Index[Any], link: _Link) -> npt.NDArray[Any] | None:
    """Return the linked table's row of each label, None where one of them can't be one."""
    name, labels = link.labels
    if index.name != name or index.dtype.kind not in "iu":
        return None
    rows = labels.get_indexer(index)
    return None if len(rows) and rows.min() < 0 else rows


def _columns(frame: pandas.DataFrame) -> Any:
    import pyarrow as pa

    unnamed = [name for name in frame.columns if not isinstance(name, str)]
    if unnamed:
        raise DataError(
            f"column {unnamed[0]!r} isn't called by a text; rename it, as with "
            "frame.rename(columns=str)"
        )
    columns = {}
    for name in frame.columns:
        if list(frame.columns).count(name) > 1:
            raise DataError(f"two columns are called {name!r}; rename one")
        try:
            array = pa.array(frame[name], from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as wrong:
            raise DataError(
                f"column {name!r} holds values of several kinds ({wrong}); make them alike first"
            ) from None
        columns[name] = pa.chunked_array([array]) if isinstance(array, pa.Array) else array
    if not columns:
        raise DataError("the data frame has no columns; a table needs one at least")
    return as_columns(pa.table(columns))
