"""A table of named columns whose rows know which data row of a source they are.

Small on purpose: columns in, selections of rows and columns, and a float64 tensor out. Every column
is a 1-D ProvenanceTensor; text is kept as category codes. A table is its source's columns and one
tracked selection of rows that they share: choosing rows moves no data, asking for a column does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from traceprop.errors import DataError, RowError, SourceError
from traceprop.sources.columns import Column
from traceprop.sources.table_ops import as_text, row_numbers, rows_of, side_by_side

if TYPE_CHECKING:
    from traceprop.lineage import ProvenanceTensor, Source


class Table:
    """Named columns that share their rows. `read_csv` makes it.

    Attributes
    ----------
    source : Source
        Where the rows come from.
    categories : mapping of str to tuple of str
        For each text column its distinct texts in the source, sorted: what its codes number.

    Examples
    --------
    >>> table = tp.read_csv("german.data", delimiter=" ", header=False)  # doctest: +SKIP
    >>> grown_up = table[table["f12"] > 25]  # doctest: +SKIP
    >>> X = grown_up.to_tensor(["f1", "f3"])  # f1, f3=A40, f3=A41, …  # doctest: +SKIP

    Notes
    -----
    A table doesn't change, and its columns can't be written into; write into a `.copy()`.
    """

    __slots__ = ("_gaps", "_leaves", "_rows", "categories", "source")

    def __init__(
        self,
        source: Source,
        leaves: Mapping[str, ProvenanceTensor],
        categories: Mapping[str, tuple[str, ...]],
        gaps: frozenset[str],
        rows: ProvenanceTensor | None = None,
    ) -> None:
        self.source = source
        self.categories = MappingProxyType(dict(categories))
        self._leaves = dict(leaves)  # all rows of the source
        self._gaps = gaps  # text columns that miss values somewhere in the source
        self._rows = rows  # the rows chosen, None for all

    @classmethod
    def from_columns(cls, source: Source, columns: Mapping[str, Column]) -> Table:
        """Make a table of all rows of a source; its columns' arrays are taken over."""
        from traceprop.lineage import from_source

        categories, gaps = {}, set()
        for name, column in columns.items():
            if column.categories is not None:
                categories[name] = column.categories
                if column.values.size and column.values.min() < 0:
                    gaps.add(name)
            column.values.flags.writeable = False
        leaves = {
            name: from_source(column.values, source, columns=(name,))
            for name, column in columns.items()
        }
        return cls(source, leaves, categories, frozenset(gaps))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self._leaves)

    def __len__(self) -> int:
        return self.source.n_rows if self._rows is None else len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._leaves)

    def __contains__(self, column: object) -> bool:
        return column in self._leaves

    def __getitem__(self, key: Any) -> Any:
        """Return a column, some columns, or some rows.

        Parameters
        ----------
        key : str, list of str, or rows
            A column's name gives a 1-D ProvenanceTensor, text as text (missing: the empty string).
            A list of names gives a Table of those. A boolean mask or an array of row numbers, each
            tracked or plain, a slice or a row number give a Table of those rows.

        Raises
        ------
        SourceError
            Where there is no such column.
        RowError
            Where there is no such row, or a mask has another length than the table.
        """
        if isinstance(key, str):
            tensor = self._tensor(key)
            return as_text(tensor, self.categories[key]) if key in self.categories else tensor
        if isinstance(key, list) and key and isinstance(key[0], str):
            return self._with({name: self._leaf(name) for name in key}, self._rows)
        return self._with(self._leaves, self._choose(key))

    def codes(self, column: str) -> ProvenanceTensor:
        """Return a text column's codes: int32, positions in `categories[column]`, -1 for missing.

        Raises
        ------
        SourceError
            Where there is no such column, or it isn't text.
        """
        tensor = self._tensor(column)
        self._check_text(column)
        return tensor

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
        self._check_text(column)
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
        wanted = self.columns if columns is None else _names(columns)
        tensors, widths, names = [], [], []
        for name in wanted:
            tensor = self._tensor(name)
            if tensor.dtype.kind in "mM":
                raise DataError(
                    f"column {name!r} of {self.source} holds dates or times; leave it out, or make "
                    f"numbers of it first, such as table[{name!r}].astype('int64')"
                )
            tensors.append(tensor)
            names += self._labels(name)
            widths.append(len(self._labels(name)) if name in self.categories else 0)
        if not tensors:
            raise SourceError(f"columns= names no column; {self.source} has {', '.join(self)}")
        return side_by_side(tensors, widths, names)

    def missing(self, column: str) -> ProvenanceTensor:
        """Return a mask of the rows that miss a value in this column.

        Examples
        --------
        >>> complete = table[~table.missing("workclass")]  # doctest: +SKIP
        """
        tensor = self._tensor(column)
        if column in self.categories:
            return cast("ProvenanceTensor", tensor < 0)
        is_missing = np.isnat if tensor.dtype.kind in "mM" else np.isnan
        return cast("ProvenanceTensor", is_missing(tensor))

    def __repr__(self) -> str:
        kinds = (
            f"{name}: {len(self.categories[name])} categories"
            if name in self.categories
            else f"{name}: {leaf.dtype}"
            for name, leaf in self._leaves.items()
        )
        return f"Table of {self.source}, {len(self)} rows ({', '.join(kinds)})"

    def _leaf(self, column: str) -> ProvenanceTensor:
        if column not in self._leaves:
            raise SourceError(
                f"the table of {self.source} has no column {column!r}; it has {', '.join(self)}"
            )
        return self._leaves[column]

    def _tensor(self, column: str) -> ProvenanceTensor:
        """Return this table's rows of a column."""
        leaf = self._leaf(column)
        return leaf if self._rows is None else rows_of(leaf, self._rows)

    def _check_text(self, column: str) -> None:
        if column not in self.categories:
            dtype = self._leaf(column).dtype
            raise SourceError(
                f"column {column!r} of {self.source} is {dtype}, not text, so it has no "
                f"categories; use table[{column!r}]"
            )

    def _labels(self, column: str) -> list[str]:
        """Names of the columns that a column becomes in `to_tensor`."""
        if column not in self.categories:
            return [column]
        categories = [*self.categories[column], *(["(missing)"] if column in self._gaps else [])]
        return [f"{column}={category}" for category in categories]

    def _with(self, leaves: Mapping[str, ProvenanceTensor], rows: ProvenanceTensor | None) -> Table:
        """Return a table of some of this one's columns and rows."""
        categories = {name: self.categories[name] for name in leaves if name in self.categories}
        return Table(self.source, leaves, categories, self._gaps, rows)

    def _choose(self, key: Any) -> ProvenanceTensor:
        """Return the source's row numbers that a mask, index or slice chooses of this table's."""
        from traceprop.lineage import ProvenanceTensor

        chosen = key
        if not isinstance(key, slice | ProvenanceTensor):
            chosen = np.array([key] if isinstance(key, int) else key)
            if not chosen.size:
                chosen = chosen.astype(np.intp)
        if not isinstance(key, slice) and chosen.ndim != 1:
            raise RowError(f"rows are chosen by a 1-D mask or index, not by shape {chosen.shape}")
        rows = self._rows
        if rows is None:
            rows = row_numbers(next(iter(self._leaves.values())))
        try:
            return cast("ProvenanceTensor", rows[chosen])
        except IndexError as error:
            raise RowError(
                f"no such rows ({error}); this table has rows 0 to {len(self) - 1}"
            ) from None


def _names(columns: Iterable[str]) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else tuple(columns)
