"""A table's columns and what is read from it: tensors, text, codes, numbers side by side, sources.

Every column is a 1-D ProvenanceTensor that is gathered when asked for; text is kept as category
codes. Nothing here makes another table: that is `traceprop.sources.table.table`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from traceprop.errors import DataError, SourceError
from traceprop.lineage.answers.query import Dependencies, SourceMap
from traceprop.lineage.graph.node import SOURCE, Node, inputs_first
from traceprop.lineage.recording.counts import count_left
from traceprop.lineage.rowset import EMPTY, RowSet
from traceprop.sources.table import ops
from traceprop.sources.table.stored import Columns, Stored

if TYPE_CHECKING:
    from traceprop.lineage import ProvenanceTensor, Source

_NAMED: Final = 3  # sources that a message names


class ColumnStore:
    """Named columns of one length, to be read."""

    __slots__ = ("__weakref__", "_columns", "_n_rows")

    _columns: Columns
    _n_rows: int

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self._columns)

    @property
    def categories(self) -> Mapping[str, tuple[str, ...]]:
        """For each text column its distinct texts in the sources, sorted: what its codes number."""
        return MappingProxyType(
            {
                name: column.categories
                for name, column in self._columns.items()
                if column.categories is not None
            }
        )

    @property
    def source(self) -> Source:
        """Where the rows come from.

        Raises
        ------
        SourceError
            Where they come from several sources; `sources()` tells which rows of which.
        """
        found = self._leaves()
        if len(found) != 1:
            raise SourceError(
                f"the table's rows come from {len(found)} sources ({self._name()}); "
                "table.sources() tells which rows of which"
            )
        return found[0]

    def sources(self) -> SourceMap:
        """Rows of each source that flow into any column directly."""
        found = _together(column.tensor().sources() for column in self._columns.values())
        return found.asked_of(*self._nodes())

    def dependencies(self) -> Dependencies:
        """Rows of each source that any column rests on: direct, statistic and control apart."""
        found = [column.tensor().dependencies() for column in self._columns.values()]
        return Dependencies(
            _together(each.direct for each in found),
            _together(each.statistic for each in found),
            _together(each.control for each in found),
        ).asked_of(*self._nodes())

    def __len__(self) -> int:
        self._count_left("len")
        return self._n_rows

    def _count_left(self, door: str) -> None:
        """Note that the caller's caller got the number of rows as a plain number."""
        for node in self._nodes():
            count_left(node, door, depth=3)

    def _nodes(self) -> list[Node]:
        """Return what tells how many rows the columns have."""
        columns = self._columns.values()
        return list({(c.base if c.rows is None else c.rows).node: None for c in columns})

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __contains__(self, column: object) -> bool:
        return column in self._columns

    def codes(self, column: str) -> ProvenanceTensor:
        """Return a text column's codes: int32, positions in `categories[column]`, -1 for missing.

        Raises
        ------
        SourceError
            Where there is no such column, or it isn't text.
        """
        return self._text(column).tensor()

    def one_hot(self, column: str) -> ProvenanceTensor:
        """Encode a text column as one column of 0 and 1 per category.

        Returns
        -------
        ProvenanceTensor, float64, shape (rows, categories)
            Columns are named ``purpose=A43``. Where the source misses values in this column, one
            more says so: ``purpose=(missing)``.

        Raises
        ------
        SourceError
            Where there is no such column, or it isn't text.
        """
        self._text(column)
        return self.to_tensor([column])

    def to_tensor(self, columns: Iterable[str] | None = None) -> ProvenanceTensor:
        """Put columns side by side as numbers: numeric ones straight, text one-hot.

        Parameters
        ----------
        columns : iterable of str, optional
            The columns wanted, in order; default all.

        Returns
        -------
        ProvenanceTensor, float64, shape (rows, width)
            With `.columns`, text columns as `one_hot` names them. Missing numbers are NaN.

        Raises
        ------
        SourceError
            Where there is no such column.
        DataError
            Where a column holds dates or times.
        """
        wanted = self.columns if columns is None else as_names(columns)
        tensors, widths, names = [], [], []
        for name in wanted:
            column = self._column(name)
            if column.dtype.kind in "mM":
                raise DataError(
                    f"column {name!r} of {self._name()} holds dates or times; leave it out, or "
                    f"make numbers of it first, such as table[{name!r}].astype('int64')"
                )
            tensors.append(column.tensor())
            labels = _labels(name, column)
            names += labels
            widths.append(len(labels) if column.is_text else 0)
        if not tensors:
            raise SourceError(f"columns= names no column; {self._name()} has {', '.join(self)}")
        return ops.side_by_side(tensors, widths, names)

    def missing(self, column: str) -> ProvenanceTensor:
        """Return a mask of the rows that miss a value in this column.

        Examples
        --------
        >>> complete = table[~table.missing("workclass")]  # doctest: +SKIP
        """
        return missing_in(self._column(column))

    def __repr__(self) -> str:
        from traceprop.sources.table.printing import text

        return text(self)

    def _repr_html_(self) -> str:
        from traceprop.sources.table.printing import html

        return html(self)

    def _column(self, column: str) -> Stored:
        if column not in self._columns:
            raise SourceError(
                f"the table of {self._name()} has no column {column!r}; it has {', '.join(self)}"
            )
        return self._columns[column]

    def _text(self, name: str) -> Stored:
        """Return a text column."""
        column = self._column(name)
        if not column.is_text:
            raise SourceError(
                f"column {name!r} of {self._name()} is {column.dtype}, not text, so it has no "
                f"categories; use table[{name!r}]"
            )
        return column

    def _read(self, name: str) -> ProvenanceTensor:
        """Return a column's values, text as text."""
        column = self._column(name)
        tensor = column.tensor()
        return tensor if column.categories is None else ops.as_text(tensor, column.categories)

    def _leaves(self) -> list[Source]:
        """Return the sources beneath the columns, each once."""
        nodes = inputs_first(*(column.base.node for column in self._columns.values()))
        return list({node.args[0]: None for node in nodes if node.op is SOURCE})

    def _name(self) -> str:
        """Return what the table is called in a message."""
        names = list(map(str, self._leaves()))
        if len(names) > _NAMED:
            names = [*names[:_NAMED], f"{len(names) - _NAMED} more"]
        return " and ".join(names) or "no source"


def missing_in(column: Stored) -> ProvenanceTensor:
    """Return a mask of the rows of a table that miss a value in a column."""
    tensor = column.tensor()
    if column.is_text:
        return cast("ProvenanceTensor", tensor < 0)
    is_missing: Any = np.isnat if tensor.dtype.kind in "mM" else np.isnan
    return cast("ProvenanceTensor", is_missing(tensor))


def as_names(columns: Iterable[str]) -> tuple[str, ...]:
    """Return names of columns; a single text names one."""
    return (columns,) if isinstance(columns, str) else tuple(columns)


def _labels(name: str, column: Stored) -> list[str]:
    """Names of the columns that a column becomes in `to_tensor`."""
    if column.categories is None:
        return [name]
    categories = [*column.categories, *(["(missing)"] if column.gaps else [])]
    return [f"{name}={category}" for category in categories]


def _together(maps: Iterable[SourceMap]) -> SourceMap:
    """Join rows of the same source."""
    merged: dict[Source, RowSet] = {}
    for each in maps:
        for source, rows in each.items():
            merged[source] = merged.get(source, EMPTY) | rows
    return SourceMap(merged)
