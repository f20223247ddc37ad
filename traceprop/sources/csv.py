"""Load CSV files: `load_csv` gives a numeric tensor, `read_csv` a table of named columns.

Row i of what is loaded is data row i of its file; the file, a source, knows the row's physical line
and byte offset, and the digest of the bytes that were parsed.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Unpack, cast

import numpy as np

from traceprop.errors import SourceError
from traceprop.sources import columns as arrow_columns
from traceprop.sources.csv_format import CsvFormat, CsvOptions
from traceprop.sources.csv_parse import ParsedCsv
from traceprop.sources.csv_source import CsvSource
from traceprop.sources.inputs import Named, resolve
from traceprop.sources.table import Table

if TYPE_CHECKING:
    from traceprop.lineage import ProvenanceTensor

Columns = str | Sequence[str | int]


def load_csv(
    path: Named,
    columns: Columns | None = None,
    *,
    filesystem: Any = None,
    **options: Unpack[CsvOptions],
) -> ProvenanceTensor:
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
        With `.columns`; missing values are NaN.

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
    from traceprop.lineage import from_source

    tensors = [
        from_source(arrow_columns.matrix(parsed.table), source, columns=source.columns)
        for source, parsed in _sources(path, columns, filesystem, options, numeric=True)
    ]
    return tensors[0] if len(tensors) == 1 else cast("ProvenanceTensor", np.concatenate(tensors))


def read_csv(
    path: Named,
    columns: Columns | None = None,
    *,
    filesystem: Any = None,
    **options: Unpack[CsvOptions],
) -> Table:
    """Read CSV files of any columns as a table whose rows know where they stand.

    Parameters
    ----------
    path, columns, filesystem, delimiter, header, missing, dtypes, encoding, skip_rows, comment
        As for `load_csv`.

    Returns
    -------
    Table
        Named columns: numbers, dates, and text as categories. Missing values are kept.

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
    tables = [
        _table(source, parsed.table)
        for source, parsed in _sources(path, columns, filesystem, options, numeric=False)
    ]
    return tables[0] if len(tables) == 1 else Table.concat(tables)


def _table(source: CsvSource, table: Any) -> Table:
    read = {name: arrow_columns.column(table.column(name)) for name in source.columns}
    return Table.from_columns(source, read)


def _sources(
    path: Named, columns: Columns | None, filesystem: Any, options: CsvOptions, *, numeric: bool
) -> Iterator[tuple[CsvSource, ParsedCsv]]:
    """Read the files that a user names, one after the other; all must have the same columns."""
    format, selection = CsvFormat.make(**options), _plain(columns)
    first: ParsedCsv | None = None
    for file in resolve(path, filesystem):
        source, parsed = CsvSource.open(file, format, selection, numeric=numeric)
        if first is None:
            first = parsed
        _check_columns(first.text.name, first.text.columns, file.name, parsed.text.columns)
        yield source, parsed


def _check_columns(
    first: str, expected: tuple[str, ...], name: str, columns: tuple[str, ...]
) -> None:
    """Refuse a file whose columns aren't those of the first, naming the first that differs."""
    if columns == expected:
        return
    for place, (ours, theirs) in enumerate(zip(expected, columns, strict=False), 1):
        if ours != theirs:
            differs = f"column {place} is {ours!r} in {first} but {theirs!r} in {name}"
            break
    else:
        place = min(len(expected), len(columns))
        longer, last = (first, expected) if len(expected) > place else (name, columns)
        differs = f"{longer} has {last[place]!r} as column {place + 1}, which the other lacks"
    raise SourceError(
        f"{first} and {name} don't have the same columns: {differs}; load such files apart"
    )


def _plain(columns: Columns | None) -> list[str | int] | None:
    """Return the `columns` argument as a list of str and int that JSON can hold."""
    if columns is None:
        return None
    if isinstance(columns, str):
        return [columns]
    return [column if isinstance(column, str) else operator.index(column) for column in columns]
