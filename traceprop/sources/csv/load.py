"""Load CSV files: `load_csv` gives a numeric tensor, `read_csv` a table of named columns.

Row i of what is loaded is data row i of its file; the file, a source, knows the row's physical line
and byte offset, and the digest of the bytes that were parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

import numpy as np

from traceprop.errors import SourceError
from traceprop.sources import columns as arrow_columns
from traceprop.sources.csv.arrow import column_types
from traceprop.sources.csv.batches import read_batches
from traceprop.sources.csv.format import CsvFormat, CsvOptions
from traceprop.sources.csv.source import CsvSource
from traceprop.sources.csv.stream import top_of_file
from traceprop.sources.csv.text import CsvText
from traceprop.sources.inputs.arguments import batch_size, column_selection
from traceprop.sources.inputs.resolve import Named, resolve
from traceprop.sources.table import Table

if TYPE_CHECKING:
    from traceprop.lineage import ProvenanceTensor

Columns = str | Sequence[str | int]


@overload
def load_csv(
    path: Named,
    columns: Columns | None = None,
    *,
    batch_rows: None = None,
    filesystem: Any = None,
    **options: Unpack[CsvOptions],
) -> ProvenanceTensor: ...
@overload
def load_csv(
    path: Named,
    columns: Columns | None = None,
    *,
    batch_rows: int,
    filesystem: Any = None,
    **options: Unpack[CsvOptions],
) -> Iterator[ProvenanceTensor]: ...
def load_csv(
    path: Named,
    columns: Columns | None = None,
    *,
    batch_rows: int | None = None,
    filesystem: Any = None,
    **options: Unpack[CsvOptions],
) -> ProvenanceTensor | Iterator[ProvenanceTensor]:
    """Load the numbers of CSV files as one tensor whose rows know where they stand.

    Parameters
    ----------
    path : path, or sequence of paths
        A file, several, a glob (``data/*.csv``, ``data/**/*.csv``), or URLs that fsspec opens. The
        name of each is kept as a source's uri, its absolute path to open it again. Files
        compressed by gzip or Zstandard are expanded. Several files must have the same columns;
        their rows come one file after the other.
    columns : sequence of str or int, optional
        The columns wanted, by name or 0-based position, in the order wanted; default all. Without
        a header, a list of str names all columns, in the file's order.
    batch_rows : int, optional
        Don't load the files whole but give an iterator of tensors of so many rows, each row with
        its number in its file. Each file is read twice, first for its digest; a batch never holds
        rows of two files. Of what was read only 8 bytes a row are kept, their hashes.
    filesystem : fsspec.AbstractFileSystem, optional
        Opens the files, instead of the one that fsspec makes for a URL; never saved.
    delimiter : str
        One ASCII character, by default ``","``. With a space after it (``", "``), spaces where a
        value begins don't belong to it. A space alone means any number of them.
    header : bool
        Whether the first row names the columns (default); without, they are ``f0``, ``f1``, … or
        as `columns` names them.
    missing : str or sequence of str, optional
        Cells that mean a missing value, besides the empty one; default the usual ones (``NA``,
        ``NaN``, ``null`` …).
    dtypes : mapping of column to type, optional
        Types that are declared rather than inferred, by the column's name or position: ``str``,
        ``bool``, types of int, ``float32``, ``float64``, ``datetime64[s]``. A value of another
        type is refused. `load_csv` takes truth values and numbers only.
    encoding : str
        The files' encoding, by default UTF-8: one that extends ASCII, UTF-16 or UTF-32.
    skip_rows : int
        Lines at the top that are passed over, whatever they hold.
    comment : str, optional
        One character; lines that begin with it are passed over.

    Returns
    -------
    ProvenanceTensor, float64, shape (rows, columns)
        With `.columns`; missing values are NaN. With `batch_rows` an iterator of such tensors.

    Raises
    ------
    SourceError
        Where a file can't be read, or a chosen column holds text; it names file, line and column.

    Notes
    -----
    Skipped and commented lines are no rows, but count as lines. The digest is of a file's bytes as
    stored; lines and byte offsets are those of its text, once expanded, in its own encoding.

    Examples
    --------
    >>> import traceprop as tp
    >>> table = tp.load_csv("credit_scores.csv")  # doctest: +SKIP
    >>> X, y = table[:, :-1], table[:, -1]  # doctest: +SKIP
    >>> year = tp.load_csv("2025/*.csv.gz", dtypes={"paid": bool})  # doctest: +SKIP
    """
    job = _Job(path, columns, filesystem, options, numeric=True)
    if batch_rows is not None:
        return job.batches(batch_rows, _tensor)
    tensors = job.whole(_tensor)
    return tensors[0] if len(tensors) == 1 else cast("ProvenanceTensor", np.concatenate(tensors))


@overload
def read_csv(
    path: Named,
    columns: Columns | None = None,
    *,
    batch_rows: None = None,
    filesystem: Any = None,
    **options: Unpack[CsvOptions],
) -> Table: ...
@overload
def read_csv(
    path: Named,
    columns: Columns | None = None,
    *,
    batch_rows: int,
    filesystem: Any = None,
    **options: Unpack[CsvOptions],
) -> Iterator[Table]: ...
def read_csv(
    path: Named,
    columns: Columns | None = None,
    *,
    batch_rows: int | None = None,
    filesystem: Any = None,
    **options: Unpack[CsvOptions],
) -> Table | Iterator[Table]:
    """Read CSV files of any columns as a table whose rows know where they stand.

    Parameters
    ----------
    path, columns, batch_rows, filesystem
        As for `load_csv`. In batches, a column's type is that of the first batch with a value in
        it, unless `dtypes` declares it, and each batch has the categories of its own text.
    delimiter, header, missing, dtypes, encoding, skip_rows, comment
        As for `load_csv`.

    Returns
    -------
    Table
        Named columns: numbers, dates, and text as categories. Missing values are kept. With
        `batch_rows` an iterator of such tables.

    Raises
    ------
    SourceError
        Where a file can't be read; it names file, line and column.

    Examples
    --------
    >>> import traceprop as tp
    >>> table = tp.read_csv("adult.data", header=False, delimiter=", ",
    ...                     missing="?")  # doctest: +SKIP
    >>> X = table.to_tensor(["f0", "f1"])  # doctest: +SKIP
    """
    job = _Job(path, columns, filesystem, options, numeric=False)
    if batch_rows is not None:
        return job.batches(batch_rows, _table)
    tables = job.whole(_table)
    return tables[0] if len(tables) == 1 else Table.concat(tables)


T = TypeVar("T")
Made = Callable[[CsvSource, Any, Any], T]


def _tensor(source: CsvSource, matrix: Any, rows: Any) -> ProvenanceTensor:
    """Make a tensor of the numbers read: rows `rows` of the source, None for all."""
    from traceprop.lineage import from_source

    return from_source(matrix, source, columns=source.columns, rows=rows)


def _table(source: CsvSource, table: Any, rows: Any) -> Table:
    """Make a table of what pyarrow read: rows `rows` of the source, None for all."""
    read = {name: arrow_columns.column(table.column(name)) for name in source.columns}
    return Table.from_columns(source, read, rows)


class _Job:
    """The files that a user names and how they are to be read; all must have the same columns."""

    def __init__(
        self,
        path: Named,
        columns: Columns | None,
        filesystem: Any,
        options: CsvOptions,
        *,
        numeric: bool,
    ) -> None:
        self._format, self._selection = CsvFormat.make(**options), column_selection(columns)
        self._files = resolve(path, filesystem)
        self._numeric = numeric

    def whole(self, make: Made[T]) -> list[T]:
        """Load the files one after the other, each whole."""
        made: list[T] = []
        first: CsvText | None = None
        for file in self._files:
            source, parsed = CsvSource.open(
                file, self._format, self._selection, numeric=self._numeric
            )
            first = first or parsed.text
            _check_columns(first, parsed.text)
            made.append(make(source, parsed.values, None))
        return made

    def batches(self, batch_rows: int, make: Made[T]) -> Iterator[T]:
        """Check the options and the files' columns at once, and load when iterated over."""
        most = batch_size(batch_rows)
        tops = [top_of_file(file, self._format, self._selection) for file in self._files]
        for top in tops:
            _check_columns(tops[0], top)
            column_types(top, numeric=self._numeric)
        return self._batches(most, make)

    def _batches(self, most: int, make: Made[T]) -> Iterator[T]:
        for file in self._files:
            source, indexed = CsvSource.index(
                file, self._format, self._selection, numeric=self._numeric
            )
            for first, values in read_batches(file, indexed, most, numeric=self._numeric):
                rows = np.arange(first, first + len(values))
                yield make(source, values, rows)


def _check_columns(first: CsvText, text: CsvText) -> None:
    """Refuse a file whose columns aren't those of the first, naming the first that differs."""
    if text.columns == first.columns:
        return
    pairs = enumerate(zip_longest(first.columns, text.columns), 1)
    place, (ours, theirs) = next(pair for pair in pairs if pair[1][0] != pair[1][1])
    said = [
        f"{'nothing' if column is None else repr(column)} in {name}"
        for column, name in ((ours, first.name), (theirs, text.name))
    ]
    raise SourceError(
        f"{first.name} and {text.name} don't have the same columns: column {place} is {said[0]} "
        f"but {said[1]}; load them apart"
    )
