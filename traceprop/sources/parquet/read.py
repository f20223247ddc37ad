"""Read a Parquet file's columns in batches, with a hash of every row.

Promise: a file that is damaged, empty, of nested columns or of other kinds than asked is refused by
its name and the column's, never partly read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.sources import columns as arrow_columns
from traceprop.sources.identity.typed_hashes import EXACT, hash_numbers, hash_table

_BATCH_ROWS = 1 << 15  # hashed and copied at a time
_TILE_ROWS = 1 << 12  # rows of the matrix that stay in the cache while their columns are written
_TABLE_RUN_ROWS = 1 << 22  # rows decoded at a time for a table: mostly all, which stay in one piece
_MATRIX_RUN_ROWS = (
    1 << 18
)  # the same for a matrix: as few as keep the cores busy, for memory's sake
_SHARE = 1 << 17  # rows of a table that one thread hashes at a time
_WORKERS = 2


@dataclass(frozen=True, slots=True)
class OpenParquet:
    """A Parquet file whose columns were found to be readable as asked.

    Attributes
    ----------
    file : pyarrow.parquet.ParquetFile
    name : str
        How messages call it.
    columns : tuple of str
        Those that are asked for, in the order asked.
    n_rows : int
    group_starts : int64 array
        The row at which each row group begins.
    """

    file: Any
    name: str
    columns: tuple[str, ...]
    n_rows: int
    group_starts: npt.NDArray[np.int64]


@dataclass(slots=True)
class Done:
    """How many rows were decoded so far."""

    rows: int = 0


def open_parquet(
    file: Any, name: str, selection: Sequence[str | int] | None, *, numeric: bool
) -> OpenParquet:
    """Read a file's footer and check what is asked against it.

    Parameters
    ----------
    file : pyarrow.NativeFile or binary file, seekable
    name : str
        How messages call it.
    selection : sequence of str or int, optional
        Columns wanted, by name or 0-based position; default all.
    numeric : bool
        Whether every wanted column must be numbers.

    Raises
    ------
    SourceError
        Where it is no Parquet file, is damaged or has no row; where a wanted column isn't there,
        isn't numbers though it must be, or is nested or binary.
    """
    import pyarrow.parquet as pq

    with refusals(name):
        opened = pq.ParquetFile(file, page_checksum_verification=True)
        schema = opened.schema_arrow
        groups = [opened.metadata.row_group(i) for i in range(opened.num_row_groups)]
        counts = np.array([group.num_rows for group in groups], np.int64)
    columns = _choose(schema.names, selection, name)
    n_rows = int(counts.sum())
    if not n_rows:
        raise SourceError(f"{name} has no rows; a source needs at least one row of data")
    for column in columns:
        _check_kind(schema.field(column).type, column, name, numeric=numeric)
    return OpenParquet(opened, name, columns, n_rows, np.cumsum(counts) - counts)


@contextmanager
def refusals(name: str) -> Iterator[None]:
    """Turn what pyarrow says of a file that it can't read into a `SourceError` that names it."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        said = str(error).partition("\n")[0].rstrip(".")
        raise SourceError(
            f"{name} can't be read as Parquet ({said}); it is damaged or cut off, or another kind "
            "of file: fetch or write it again"
        ) from error


def batches(opened: OpenParquet, size: int) -> Iterator[Any]:
    """Yield the wanted columns as pyarrow.RecordBatches of at most `size` rows, from row 0 on.

    pyarrow also ends one where a row group or a dictionary does.
    """
    found = 0
    with refusals(opened.name):
        for batch in opened.file.iter_batches(size, columns=list(opened.columns)):
            found += batch.num_rows
            yield batch.select(list(opened.columns))
    _check_count(opened, found, opened.n_rows)


def pieces(opened: OpenParquet, size: int) -> Iterator[Any]:
    """Yield the wanted columns as pyarrow.Tables of `size` rows, the last of what is left."""
    import pyarrow as pa

    waiting: list[Any] = []
    missing = size
    for batch in batches(opened, size):
        while batch.num_rows >= missing:
            yield pa.Table.from_batches([*waiting, batch.slice(0, missing)])
            batch, waiting, missing = batch.slice(missing), [], size
        if batch.num_rows:
            waiting.append(batch)
            missing -= batch.num_rows
    if waiting:
        yield pa.Table.from_batches(waiting)


def read_matrix(
    opened: OpenParquet, done: Done
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint64]]:
    """Return all rows as a float64 matrix (rows, columns), and their hashes."""
    matrix = np.empty((opened.n_rows, len(opened.columns)))
    hashes = np.empty(opened.n_rows, np.uint64)

    def fill(table: Any, start: int) -> None:
        for batch in table.to_batches():
            stop = start + batch.num_rows
            inexact = hash_numbers(batch, hashes[start:stop], matrix[start:stop])
            if inexact is not None:
                _as_numbers(batch.column(inexact), inexact, opened.name)
            start = stop

    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="traceprop-parquet") as pool:
        filling = []
        for table, begun in _runs(opened, done, _MATRIX_RUN_ROWS):
            for start in range(0, table.num_rows, _BATCH_ROWS):
                filling.append(pool.submit(fill, table.slice(start, _BATCH_ROWS), begun + start))
        for each in filling:
            each.result()
    return matrix, hashes


def read_table(opened: OpenParquet, done: Done) -> tuple[Any, npt.NDArray[np.uint64]]:
    """Return all rows as a pyarrow.Table, and their hashes."""
    import pyarrow as pa

    tables, hashing = [], []
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="traceprop-parquet") as pool:
        for table, _ in _runs(opened, done, _TABLE_RUN_ROWS):
            tables.append(table)
            shares = range(0, table.num_rows, _SHARE)
            hashing += [pool.submit(hash_table, table.slice(start, _SHARE)) for start in shares]
        return pa.concat_tables(tables), np.concatenate([each.result() for each in hashing])


def _runs(opened: OpenParquet, done: Done, size: int) -> Iterator[tuple[Any, int]]:
    """Decode runs of whole row groups, each of at least `size` rows, by all cores.

    Yields
    ------
    table : pyarrow.Table
        The wanted columns; the caller hashes them while the next run is decoded.
    start : int
        The row at which it begins.
    """
    columns, run = list(opened.columns), []
    stops = [*opened.group_starts[1:].tolist(), opened.n_rows]
    for group, stop in enumerate(stops):
        run.append(group)
        if stop - done.rows < size and group + 1 < len(stops):
            continue
        with refusals(opened.name):
            table = opened.file.read_row_groups(run, columns=columns).select(columns)
        _check_count(opened, done.rows + table.num_rows, stop)
        start, done.rows, run = done.rows, stop, []
        yield table, start


def _check_count(opened: OpenParquet, found: int, expected: int) -> None:
    if found != expected:
        raise SourceError(
            f"{opened.name} has {found} rows where its footer says {expected}; it is damaged: "
            "fetch or write it again"
        )


def copy_floats(table: Any, matrix: npt.NDArray[np.float64], name: str) -> None:
    """Copy columns of numbers, of a batch or a table, into a matrix; missing values as NaN.

    Raises
    ------
    SourceError
        Where an integer is too large for float64 to hold it exactly.
    """
    named = zip(table.schema.names, table.columns, strict=True)
    numbers = [_as_numbers(array, column, name) for column, array in named]
    for start in range(0, len(matrix), _TILE_ROWS):
        rows = matrix[start : start + _TILE_ROWS]
        for j, column in enumerate(numbers):
            rows[:, j] = column[start : start + _TILE_ROWS]


def as_column(chunked: Any, column: str, name: str) -> arrow_columns.Column:
    """Turn one column, a pyarrow.ChunkedArray, into NumPy; moments in UTC, decimals as float64."""
    import pyarrow as pa
    import pyarrow.types as kinds

    kind = chunked.type
    if kinds.is_dictionary(kind) and not _is_text(kind.value_type):
        chunked, kind = chunked.cast(kind.value_type), kind.value_type
    if kinds.is_dictionary(kind) or _is_text(kind):
        chunked = chunked.cast(pa.dictionary(pa.int32(), pa.string()))
        _check_text(chunked, column, name)
    elif kinds.is_timestamp(kind) and kind.tz is not None:
        chunked = chunked.cast(pa.timestamp(kind.unit))
    elif kinds.is_time(kind):
        whole = pa.int32() if kind.bit_width == 32 else pa.int64()
        chunked = chunked.cast(whole).cast(pa.int64()).cast(pa.duration(kind.unit))
    elif kinds.is_decimal(kind) or (kinds.is_integer(kind) and chunked.null_count):
        floats = [_as_numbers(chunk, column, name) for chunk in chunked.chunks]
        chunked = pa.chunked_array(floats, pa.float64())
    return arrow_columns.column(chunked)


def _check_text(chunked: Any, column: str, name: str) -> None:
    """Refuse text that isn't UTF-8, which a damaged file may hold and pyarrow doesn't look at."""
    import pyarrow as pa

    try:
        for chunk in chunked.chunks:
            chunk.dictionary.validate(full=True)
    except pa.ArrowInvalid as error:
        raise SourceError(
            f"{name}, column {column!r} holds text that isn't UTF-8; the file is damaged, or was "
            "written wrongly: write it again, or leave the column out with columns="
        ) from error


def kind_of(kind: Any) -> str | None:
    """Say what a table's column of an Arrow type holds; None where it holds nothing."""
    import pyarrow.types as kinds

    if kinds.is_dictionary(kind):
        kind = kind.value_type
    if kinds.is_null(kind):
        return None
    if _is_text(kind):
        return "text"
    if kinds.is_time(kind) or kinds.is_duration(kind):
        return "durations"
    return "dates" if kinds.is_temporal(kind) else "numbers"


def _as_numbers(array: Any, column: str, name: str) -> npt.NDArray[Any]:
    """Return numbers as NumPy's: integers where none is missing, else floats with NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as kinds

    if kinds.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if kinds.is_integer(array.type) and array.type.bit_width == 64:
        ends = pc.min_max(array).as_py()
        largest = max((end for end in ends.values() if end is not None), key=abs, default=0)
        if abs(largest) > EXACT:
            raise SourceError(
                f"{name}, column {column!r} holds {largest}, which a float64 can't hold exactly; "
                "leave it out with columns=, or write it as text"
            )
    whole = kinds.is_integer(array.type) and not array.null_count
    if not (whole or kinds.is_float64(array.type)):
        array = array.cast(pa.float64(), safe=False)
    numbers: npt.NDArray[Any] = np.asarray(array)
    return numbers


def _choose(
    names: Sequence[str], selection: Sequence[str | int] | None, name: str
) -> tuple[str, ...]:
    """Return the names of the wanted columns."""
    repeated = [column for i, column in enumerate(names) if column in names[:i]]
    if repeated:
        raise SourceError(
            f"{name} has two columns {repeated[0]!r}, so they can't be told apart; write it again "
            "with one of them renamed"
        )
    if selection is None:
        return tuple(names)
    chosen = []
    for wanted in selection:
        if isinstance(wanted, str) and wanted not in names:
            raise SourceError(f"{name} has no column {wanted!r}; it has {', '.join(names)}")
        if not isinstance(wanted, str) and not 0 <= wanted < len(names):
            raise SourceError(
                f"{name} has no column at position {wanted}; positions are 0 to {len(names) - 1}"
            )
        chosen.append(wanted if isinstance(wanted, str) else names[wanted])
    if not chosen or len(set(chosen)) < len(chosen):
        raise SourceError(
            f"columns={list(selection)!r} must name each wanted column of {name} once"
        )
    return tuple(chosen)


def _check_kind(kind: Any, column: str, name: str, *, numeric: bool) -> None:
    """Refuse a column that can't be read as asked."""
    import pyarrow.types as kinds

    shown = kind
    if kinds.is_dictionary(kind):
        kind = kind.value_type
    number = (
        *(kinds.is_integer(kind), kinds.is_floating(kind), kinds.is_boolean(kind)),
        *(kinds.is_decimal(kind), kinds.is_null(kind)),
    )
    if any(number):
        return
    if kinds.is_nested(kind):
        raise SourceError(
            f"{name}, column {column!r} is nested ({shown}); leave it out with columns=, or write "
            "the file with its parts as columns of their own (pyarrow.Table.flatten)"
        )
    if not (_is_text(kind) or kinds.is_temporal(kind)) or kinds.is_interval(kind):
        raise SourceError(
            f"{name}, column {column!r} holds {shown}; only numbers, text, dates and times can be "
            "read: leave it out with columns="
        )
    if numeric:
        raise SourceError(
            f"{name}, column {column!r} holds {shown}, not numbers; choose the numeric columns "
            "with columns=, or load it with read_parquet"
        )


def _is_text(kind: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))
