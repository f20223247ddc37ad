"""A table of named columns whose rows know which rows of which sources they are.

Small on purpose: rows and columns chosen, sorted, joined, grouped and put one below the other, and
a float64 tensor out. Choosing rows moves no data, asking for a column does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import RowError, SourceError
from traceprop.sources.columns import Column
from traceprop.sources.table.base import as_names
from traceprop.sources.table.concat import concat_columns
from traceprop.sources.table.derive import as_column, filled
from traceprop.sources.table.exchange import Exchange
from traceprop.sources.table.group_by import Aggregate, group_columns
from traceprop.sources.table.join import HOW, join_columns
from traceprop.sources.table.sort import sorted_rows
from traceprop.sources.table.stored import Columns, Stored, pick_rows, select_rows

if TYPE_CHECKING:
    from traceprop.lineage import Source


class Table(Exchange):
    """Named columns that share their rows. `read_csv` makes it.

    Attributes
    ----------
    columns : tuple of str
    source : Source
        Where the rows come from; `sources()` where they come from several.
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

    __slots__ = ()

    def __init__(self, columns: Columns, n_rows: int) -> None:
        self._columns = dict(columns)
        self._n_rows = n_rows

    @classmethod
    def from_columns(
        cls,
        source: Source,
        columns: Mapping[str, Column],
        rows: NDArray[np.integer[Any]] | None = None,
    ) -> Self:
        """Make a table of a source's rows, all or `rows`; the columns' arrays are taken over."""
        from traceprop.lineage import from_source

        stored = {}
        for name, column in columns.items():
            column.values.flags.writeable = False
            gaps = column.categories is not None and column.values.min(initial=0) < 0
            base = from_source(column.values, source, columns=(name,), rows=rows)
            stored[name] = Stored(base, None, column.categories, bool(gaps))
        return cls(stored, source.n_rows if rows is None else len(rows))

    @classmethod
    def from_tensors(cls, columns: Mapping[str, Any], *, check: bool = True) -> Self:
        """Make a table of 1-D tensors of one length, aligned row by row.

        Parameters
        ----------
        columns : mapping of str to (ProvenanceTensor or array_like), shape (n,)
        check : bool
            As for `with_column`.

        Raises
        ------
        DataError
            Where they aren't of one length, or are of other rows of one source.
        """
        if not columns:
            raise SourceError("from_tensors is given no columns")
        n_rows = len(next(iter(columns.values())))
        stored: dict[str, Stored] = {}
        for name, data in columns.items():
            stored[name] = as_column(name, data, stored, n_rows, check)
        return cls(stored, n_rows)

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
            return self._read(key)
        if isinstance(key, list) and key and isinstance(key[0], str):
            return self.select(key)
        return self._pick(key)

    def select(self, columns: Iterable[str]) -> Self:
        """Return a table of these columns, in this order."""
        chosen = {name: self._column(name) for name in as_names(columns)}
        if not chosen:
            raise SourceError("select names no column")
        return type(self)(chosen, len(self))

    def drop(self, columns: Iterable[str]) -> Self:
        """Return a table without these columns."""
        dropped = {name: self._column(name) for name in as_names(columns)}
        return self.select(name for name in self if name not in dropped)

    def rename(self, names: Mapping[str, str]) -> Self:
        """Return the table with columns renamed: old name → new name.

        Raises
        ------
        SourceError
            Where there is no such column, or two would have one name.
        """
        for name in names:
            self._column(name)
        renamed = {names.get(name, name): column for name, column in self._columns.items()}
        if len(renamed) < len(self._columns):
            raise SourceError(
                f"rename would give two columns of {self._name()} one name; drop one of them first"
            )
        return type(self)(renamed, len(self))

    def with_column(self, name: str, data: Any, *, check: bool = True) -> Self:
        """Return the table with one more column, or with one of its columns replaced.

        Parameters
        ----------
        name : str
        data : ProvenanceTensor or array_like, shape (n,)
            A tensor keeps its lineage; plain data is a source of its own, called `name`.
        check : bool
            Refuse a tensor whose row i is of another row of a source than the table's row i, as
            one computed before a sort is. Leave it out for columns that are meant to be shifted.

        Raises
        ------
        DataError
            Where it hasn't one value for each row, or is of other rows than the table.

        Examples
        --------
        >>> table.with_column("share", table["paid"] / table["amount"])  # doctest: +SKIP
        """
        column = as_column(name, data, self._columns, len(self), check)
        return type(self)({**self._columns, name: column}, len(self))

    def fill(self, column: str, value: Any) -> Self:
        """Return the table with a value where a column misses one.

        Parameters
        ----------
        column : str
        value : number, date or str
            A tracked one, as ``np.nanmedian(table["age"])``, is a statistic of the rows it fills.

        Raises
        ------
        SourceError
            Where there is no such column, or the value is of another kind.
        """
        changed = filled(column, self._column(column), value)
        return type(self)({**self._columns, column: changed}, len(self))

    def filter(self, mask: Any) -> Self:
        """Return the rows where a boolean mask, tracked or plain, is True.

        Raises
        ------
        RowError
            Where the mask isn't boolean, or has another length than the table.

        Examples
        --------
        >>> table.filter(table["age"] > 25)  # doctest: +SKIP
        """
        if not _is_mask(mask):
            raise RowError("filter is given a boolean mask; row numbers go to take")
        return self._pick(mask)

    def take(self, rows: Any) -> Self:
        """Return the rows with these numbers, in this order, repeated where they are."""
        if _is_mask(rows):
            raise RowError("take is given row numbers; a mask goes to filter")
        return self._pick(rows)

    def head(self, n: int = 5) -> Self:
        """Return the first rows."""
        return self._pick(slice(max(n, 0)))

    def sort(self, by: str | Sequence[str], descending: bool | Sequence[bool] = False) -> Self:
        """Sort rows by one or several columns, the first one first.

        Parameters
        ----------
        by : str or sequence of str
            Text sorts by its characters.
        descending : bool or sequence of bool
            For all columns, or one for each.

        Notes
        -----
        Rows that are equal keep their order; missing values come last either way. Every row's
        place is decided by the keys of all: they are its `control` dependencies.
        """
        names = as_names(by)
        falls = [descending] * len(names) if isinstance(descending, bool) else list(descending)
        if not names or len(falls) != len(names):
            raise SourceError(f"sort is given {len(names)} columns and {len(falls)} directions")
        rows = sorted_rows([self._column(name) for name in names], falls)
        return self._of(select_rows(self._columns, rows))

    def join(
        self,
        other: Table,
        on: str | Sequence[str] | Mapping[str, str],
        how: str = "inner",
        suffixes: tuple[str, str] = ("", "_right"),
    ) -> Self:
        """Join rows of two tables whose keys are equal.

        Parameters
        ----------
        other : Table
            The right table.
        on : str, sequence of str, or mapping of str to str
            Key columns of both, or left name → right name. The result has the left ones.
        how : {"inner", "left"}
            Leave out left rows without a match, or keep them with missing values.
        suffixes : tuple of str
            What is put behind other names that both tables have, on the left and on the right.

        Returns
        -------
        Table
            In the order of the left rows, and for each in that of the right; keys that occur
            several times give every pair. A missing key matches nothing. Its rows depend on the
            rows of both tables that are in them, and, as `control`, on the keys of all.

        Raises
        ------
        SourceError
            Where a key is lacking or of different kinds, or two columns would have one name.

        Examples
        --------
        >>> loans.join(people, on="person", how="left")  # doctest: +SKIP
        """
        names = dict(on) if isinstance(on, Mapping) else {name: name for name in as_names(on)}
        if not names:
            raise SourceError("join is given no key; name one with on=")
        if how not in HOW:
            raise SourceError(f"how={how!r} is no way to join; take one of {', '.join(HOW)}")
        for left, right in names.items():
            self._column(left)
            other._column(right)
        return self._of(join_columns(self._columns, other._columns, names, how, suffixes))

    def group_by(self, by: str | Sequence[str], **aggregates: Aggregate) -> Self:
        """Take aggregates of columns over the rows of equal keys.

        Parameters
        ----------
        by : str or sequence of str
            Key columns: text, numbers or dates.
        **aggregates : (str, str) or "count"
            New column = (column, aggregate), with one of count, sum, mean, min, max, std, var,
            first, last, nunique; ``"count"`` alone counts the rows of a group.

        Returns
        -------
        Table
            A row for each group, in the order of the keys; rows that miss a key are a group, the
            last. Missing values don't enter; std and var are the sample's, divided by n - 1. Each
            row depends on the rows of its group, and, as `control`, on the keys of all.

        Raises
        ------
        SourceError
            Where a column or aggregate isn't known, or two columns would have one name.
        DataError
            Where the aggregate can't be taken of such a column.

        Examples
        --------
        >>> table.group_by("purpose", n="count", mean=("amount", "mean"))  # doctest: +SKIP
        """
        names = as_names(by)
        if not names:
            raise SourceError("group_by is given no key column")
        for name in (*names, *(each[0] for each in aggregates.values() if each != "count")):
            self._column(name)
        return self._of(group_columns(self._columns, names, aggregates))

    @classmethod
    def concat(cls, tables: Sequence[Table]) -> Self:
        """Put tables of the same columns one below the other.

        Parameters
        ----------
        tables : sequence of Table
            The columns come in the order of the first. Categories of text are merged; numbers and
            dates of several dtypes get one that holds all.

        Raises
        ------
        SourceError
            Where there is no table, a column lacks in one of them, or is of another kind.

        Examples
        --------
        >>> both = tp.Table.concat([tp.read_csv("a.csv"), tp.read_csv("b.csv")])  # doctest: +SKIP
        """
        if not tables:
            raise SourceError("concat is given no tables; give one at least")
        columns = concat_columns(
            [table._columns for table in tables], [table._name() for table in tables]
        )
        return cls(columns, sum(map(len, tables)))

    def _pick(self, key: Any) -> Self:
        """Return some rows."""
        from traceprop.lineage import ProvenanceTensor

        chosen = key
        if not isinstance(key, slice | ProvenanceTensor):
            chosen = np.array([key] if isinstance(key, int) else key)
            if not chosen.size:
                chosen = chosen.astype(np.intp)
        if not isinstance(key, slice) and chosen.ndim != 1:
            raise RowError(f"rows are chosen by a 1-D mask or index, not by shape {chosen.shape}")
        try:
            columns = pick_rows(self._columns, chosen)
        except IndexError as error:
            raise RowError(
                f"no such rows ({error}); this table has rows 0 to {len(self) - 1}"
            ) from None
        return self._of(columns)

    def _of(self, columns: Columns) -> Self:
        """Return a table of columns of one length."""
        first = next(iter(columns.values()))
        return type(self)(columns, len(first.base if first.rows is None else first.rows))


def _is_mask(key: Any) -> bool:
    dtype = key.dtype if hasattr(key, "dtype") else np.array(key).dtype
    return bool(dtype == np.bool_)
