"""`ProvenanceTensor`: an array that knows which source rows each of its rows came from."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import DataError
from traceprop.lineage.answers.columns import columns
from traceprop.lineage.answers.idioms import Step, steps
from traceprop.lineage.answers.origins import Origin, origins_of
from traceprop.lineage.answers.query import Dependencies, SourceMap, dependencies, sources
from traceprop.lineage.graph.counted import is_counted
from traceprop.lineage.graph.escaped import Escape, escapes_of
from traceprop.lineage.graph.lineage_graph import LineageGraph, trace_rows
from traceprop.lineage.recording.arithmetic import Arithmetic
from traceprop.lineage.recording.counts import count_left
from traceprop.lineage.recording.methods import Methods
from traceprop.lineage.recording.protocols import Protocols
from traceprop.lineage.recording.subscript import Subscript
from traceprop.lineage.recording.tracked import KIND, Tracked, expose, leaf
from traceprop.lineage.rowset import RowSet, row_dtype
from traceprop.lineage.source import MemorySource, Source

if TYPE_CHECKING:
    import pandas
    import polars
    import torch

    from traceprop.interop.torch import SampleTensor
    from traceprop.lineage.cells import Cells


class ProvenanceTensor(Protocols, Subscript, Arithmetic, Methods):
    """An array with its lineage, to be used as a NumPy array is.

    It comes from `traceprop.load_csv`, `traceprop.array` or `traceprop.lineage.from_source`, and
    from NumPy functions, operators and methods on those.

    Examples
    --------
    >>> X = traceprop.array([[1.0, 2.0], [3.0, 4.0], [5.0, 0.0]], name="table")
    >>> kept = X[X[:, 1] > 1]
    >>> kept.sources()
    {table: rows 0-1}
    >>> kept.ops()
    [row_filter]
    """

    __slots__ = ()

    __hash__ = Protocols.__hash__  # type: ignore[assignment]

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the columns (or of the cells of one row), None where they aren't known.

        A column is read and written by its name too: `X["income"]`, `X[["age", "debt"]]`.
        """
        return columns(self._made_by())

    def sources(self) -> SourceMap:
        """Rows of each source that flow into this tensor directly.

        Returns
        -------
        mapping of Source to RowSet
            Prints as `{credit_scores.csv: rows 3-5, 9}`; a file name finds its source.
        """
        node = self._made_by()
        found = sources(node)
        return found if is_counted(node) else found.asked_of(node)  # counted: nothing to note

    def dependencies(self) -> Dependencies:
        """Rows that this tensor rests on: direct, statistic and control apart."""
        node = self._made_by()
        return dependencies(node).asked_of(node)

    def cells(self, index: Any = None) -> Cells:
        """Cells of each source that this tensor, or some cells of it, rest on.

        Parameters
        ----------
        index : tuple of int, optional
            The position of a cell, as `(3, 1)`; any other index asks for the cells that it would
            show. Default: all cells.

        Returns
        -------
        mapping of Source to CellSet
            Cells of any kind; its `direct`, `statistic` and `control` tell them apart.

        Raises
        ------
        LineageError
            There is no such cell.

        Notes
        -----
        Worked out anew at each call, with a byte for each cell of the arrays on the way.

        Examples
        --------
        >>> X = traceprop.array([[1.0, 2.0], [3.0, 4.0]], name="table", columns=("age", "debt"))
        >>> (X * 2).cells((1, 0))
        {table: row 1, column age}
        """
        from traceprop.lineage.cells import cells_of

        count_left(self._made_by(), "cells", None)
        return cells_of(self._made_by(), index)

    def ops(self, raw: bool = False) -> list[Step]:
        """Return the steps from the sources to this tensor, as `[normalize, row_filter]`.

        Parameters
        ----------
        raw : bool
            Name every recorded operation instead.
        """
        return steps(self._made_by(), raw)

    def ancestors(self) -> LineageGraph:
        """Return the graph of all recorded operations beneath this tensor, its own included."""
        node = self._made_by()
        return LineageGraph((node,))

    def trace(self, offset: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Say where these rows came from; with arguments, the sum along a diagonal.

        Returns
        -------
        Trace
            Prints as `credit_scores.csv row 4821 (line 4823) · normalize → row_filter`.
        """
        if offset is not None or args or kwargs:
            return self.trace_of_matrix(0 if offset is None else offset, *args, **kwargs)
        node = self._made_by()
        return trace_rows(node, RowSet.span(0, node.n_rows))

    def escapes(self) -> list[Escape]:
        """Where values of this tensor, or of anything made of the same sources, left the lineage.

        Returns
        -------
        list of Escape
            Each place once: door, file and line, in the order of their first use.
        """
        return escapes_of(self._made_by())

    def numpy(self) -> NDArray[Any]:
        """Take the plain values, knowingly: a read-only view, and no escape is recorded."""
        return values(self)

    def torch(self, *, dtype: torch.dtype | None = None) -> SampleTensor:
        """Return all rows as one torch tensor that carries their ids to the model.

        Parameters
        ----------
        dtype : torch.dtype, optional
            By default torch's default dtype for floating values, else the tensor's own.

        Returns
        -------
        SampleTensor

        Raises
        ------
        DataError
            A value is NaN or infinite (its source row is named), or isn't a number.
        """
        from traceprop.interop.torch import tensor

        count_left(self._made_by(), "torch", None)
        return tensor(self, dtype=dtype)

    def to_pandas(self) -> pandas.DataFrame:
        """Return the values as a pandas data frame, a copy; `traceprop.from_pandas` finds the rows.

        Returns
        -------
        pandas.DataFrame, shape (rows, columns)
            Columns are called as the tensor's are, else ``column 0``, ``column 1``, …. The index
            numbers the source's rows where there is one source and each row has its own of it, and
            the tensor's rows otherwise.

        Raises
        ------
        DataError
            The tensor hasn't one or two axes, or no columns.
        MissingExtraError
            pandas isn't installed.

        Examples
        --------
        >>> frame = X.to_pandas()  # doctest: +SKIP
        >>> back = tp.from_pandas(frame[frame["debt"] > 0]).to_tensor()  # doctest: +SKIP
        """
        from traceprop.interop.frames import tensor_to_pandas

        count_left(self._made_by(), "to_pandas", None)
        return tensor_to_pandas(self)

    def to_polars(self, rows: bool = True) -> polars.DataFrame:
        """Return the values as a polars data frame; `traceprop.from_polars` finds the rows.

        Parameters
        ----------
        rows : bool
            Put in a column of row numbers, by which the rows are found again as long as this tensor
            lives.

        Raises
        ------
        DataError
            The tensor hasn't one or two axes, or no columns.
        MissingExtraError
            polars isn't installed.
        """
        from traceprop.interop.frames import tensor_to_polars

        count_left(self._made_by(), "to_polars", None)
        return tensor_to_polars(self, rows)

    def __repr__(self) -> str:
        from traceprop.lineage.answers.printing import text

        return text(self)

    def __str__(self) -> str:
        return str(self._array)

    def _repr_html_(self) -> str:
        from traceprop.lineage.answers.printing import html

        return html(self)


KIND[0] = ProvenanceTensor


def from_source(
    values: NDArray[Any],
    source: Source,
    columns: Iterable[str] | None = None,
    rows: Iterable[int] | None = None,
) -> ProvenanceTensor:
    """Make a tensor whose row i is data row i of `source`.

    Parameters
    ----------
    values : ndarray
        Taken over, not copied: nobody else may write into it.
    source : Source
    columns : iterable of str, optional
        Names of the array's columns. Default: the source's.
    rows : array of int, optional
        The source row of each row, where they aren't 0, 1, 2, ….

    Raises
    ------
    RowError
        When a row is not one of the source's.
    DataError
        When there aren't as many rows, or names, as the array has rows and columns.
    """
    array = np.asarray(values)
    numbers = None
    if rows is not None:
        numbers = np.asarray(list(rows) if not isinstance(rows, np.ndarray) else rows)
        source.check_rows(numbers)
        numbers = numbers.astype(row_dtype(source.n_rows))
    if array.ndim and len(array) != (source.n_rows if numbers is None else len(numbers)):
        raise DataError(
            f"{source} has {source.n_rows} rows and the array {len(array)}: say which with rows=."
        )
    names = None if columns is None else _column_names(array, columns)
    column = names[0] if names is not None and len(names) == 1 and array.ndim == 1 else names
    if column == source.columns:
        column = None
    tensor: ProvenanceTensor = leaf(ProvenanceTensor, array, source, numbers, column)
    return tensor


def _column_names(array: NDArray[Any], columns: Iterable[str]) -> tuple[str, ...]:
    """Return the names of an array's columns; one of one axis is a column."""
    names = tuple(columns)
    width = array.shape[-1] if array.ndim > 1 else array.ndim
    if len(names) != width:
        raise DataError(
            f"columns= gives {len(names)} names, and the array has {width} columns: give a name "
            f"for each."
        )
    return names


def array(
    data: Any,
    *,
    source: str | Source | None = None,
    name: str | None = None,
    columns: Iterable[str] = (),
    dtype: Any = None,
) -> ProvenanceTensor:
    """Make a tensor of data in memory, whose rows have no file.

    Parameters
    ----------
    data : array_like or torch.Tensor
        Copied. A tensor keeps its lineage; a torch tensor becomes a tensor with torch's functions,
        methods and operators, and a batch that `X.torch()` or a `DataLoader` gave keeps its rows.
    source : str or Source, optional
        What its source is called; or the source of which row i of the data is row i.
    name : str, optional
        The same as a text given as `source`.
    columns : iterable of str, optional
    dtype : dtype, optional

    Raises
    ------
    DataError
        Where the data hasn't as many rows as the source, or as many columns as names; where the
        source's name is empty or isn't text, or there are two.

    Notes
    -----
    A source in memory is known by its name and by the SHA-256 of its dtype, shape and values.

    Examples
    --------
    >>> traceprop.array([1.0, 2.0, 3.0], name="weights").sources()
    {weights: rows 0-2}
    """
    _check_name(source, name)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(data, torch.Tensor):
        from traceprop.interop.torch.tracked.tensor import tracked

        return cast(ProvenanceTensor, tracked(data, source, name, columns, dtype))
    if isinstance(data, ProvenanceTensor):
        return cast(ProvenanceTensor, data.copy() if dtype is None else data.astype(dtype))
    values = np.array(data, dtype=dtype)
    if isinstance(source, Source):
        return from_source(values, source, columns or None)
    names = _column_names(values, columns) if (columns := tuple(columns)) else ()
    return from_source(values, MemorySource.of(values, source or name, names))


def _check_name(source: Any, name: Any) -> None:
    """Refuse what names no source."""
    if source is not None and name is not None and source != name:
        raise DataError(f"source={source!r} and name={name!r} name the source twice; give one")
    called = name if source is None else source
    if called is not None and not isinstance(called, Source):
        if not isinstance(called, str):
            kind = type(called).__name__
            raise DataError(f"source= must be the source's name, or a Source, not a {kind}")
        if not called.strip():
            raise DataError("source='' is no name; give the data one, or leave it out")


def values(tensor: Any, *, writable: bool = False) -> NDArray[Any]:
    """Take the plain values, knowingly: no escape is recorded.

    For those who carry the lineage on by themselves, as a data set does with `origins`.

    Parameters
    ----------
    tensor : ProvenanceTensor or array_like
    writable : bool
        Give the tensor's own memory, as it is. What is written into it has no lineage.

    Returns
    -------
    ndarray
        A read-only view of the tensor's memory; of anything else, the array that it is.
    """
    if not isinstance(tensor, Tracked):
        return np.asarray(tensor)
    if writable:
        expose(tensor)
        return np.asarray(tensor._plain())
    view = np.asarray(tensor._plain()).view()
    view.flags.writeable = False
    return view


def origins(tensor: Any) -> list[Origin]:
    """For each row of a tensor, the source rows that flow into it directly.

    Parameters
    ----------
    tensor : ProvenanceTensor
        Anything else has no origins.

    Returns
    -------
    list of Origin
        One per source: `(source, indptr, rows)`, rows sorted and distinct within each row.
    """
    if not isinstance(tensor, Tracked):
        return []
    count_left(tensor._made_by(), "origins")
    return origins_of(tensor._made_by())
