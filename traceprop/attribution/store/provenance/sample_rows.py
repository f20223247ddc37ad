"""Sample ↔ source rows on disk, answered in both directions from memory-mapped Arrow files.

Promises: what was committed is answered from the store alone, also when the source file is gone
(lines and byte offsets of the rows were taken at the commit); both directions are vectorised and
read only what they need.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.folder.files import FileEntry, StoreFolder
from traceprop.attribution.store.folder.ordinary import check_ordinary
from traceprop.errors import SourceError, StoreError, StoreWarning
from traceprop.lineage.rowset import Rows, distinct, row_dtype

if TYPE_CHECKING:
    from traceprop.lineage import Origin
    from traceprop.lineage.source import Source


@dataclass(frozen=True, eq=False)
class SampleRows:
    """The rows of one source that each sample came from.

    Parameters
    ----------
    indptr : ndarray of int64, shape (n + 1,)
        Sample i's rows are `rows[indptr[i]:indptr[i + 1]]`.
    rows : ndarray of int32 or int64, shape (m,)
        Rows of the source, sorted within a sample.
    used : ndarray, shape (u,)
        The distinct rows, sorted.
    lines, byte_offsets : ndarray of int64, shape (u,), or None
        Where in the file each used row starts (line from 1), for sources that have lines.
    """

    indptr: NDArray[np.int64]
    rows: Rows
    used: Rows
    lines: NDArray[np.int64] | None
    byte_offsets: NDArray[np.int64] | None

    @cached_property
    def one_each(self) -> bool:
        """Whether every sample came from exactly one row, as where rows are only filtered."""
        n = len(self.indptr) - 1
        return len(self.rows) == n and bool((np.diff(self.indptr) == 1).all())

    def of_sample(self, sample: int) -> Rows:
        """Return the sorted rows of one sample; empty where it has none in this source."""
        return self.rows[self.indptr[sample] : self.indptr[sample + 1]]

    def match(self, rows: Rows) -> tuple[NDArray[np.int64], Rows]:
        """Find the samples that came from any of some rows.

        Parameters
        ----------
        rows : ndarray of int, shape (r,)
            Rows of the source, sorted.

        Returns
        -------
        samples : ndarray of int64
            Sorted, each once.
        unused : ndarray
            Those of `rows` that no sample came from.
        """
        if not rows.size or not self.used.size:
            return np.empty(0, np.int64), rows
        wanted = np.zeros(int(max(rows[-1], self.used[-1])) + 1, bool)
        wanted[rows] = True
        hits = np.flatnonzero(wanted[self.rows])
        wanted[self.rows[hits]] = False
        return self._samples_at(hits), rows[wanted[rows]]

    def _samples_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the samples that places in `rows` belong to, each once."""
        if self.one_each:
            return places
        samples = np.searchsorted(self.indptr, places, side="right") - 1
        return samples[np.diff(samples, prepend=-1) > 0]

    def located(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Return lines and byte offsets of rows; None where lines or a row are not stored."""
        if self.lines is None or self.byte_offsets is None:
            return None
        at = np.searchsorted(self.used, rows)
        if not np.array_equal(self.used.take(at, mode="clip"), rows):
            return None
        return self.lines[at], self.byte_offsets[at]


@dataclass(frozen=True, slots=True, eq=False)
class MergedOrigin:
    """The rows of one source that each sample came from, over all training tensors.

    Parameters
    ----------
    source : Source
    indptr, rows : ndarray
        As in `SampleRows`.
    """

    source: Source
    indptr: NDArray[np.int64]
    rows: Rows


def merge_origins(origins: Iterable[Origin]) -> list[MergedOrigin]:
    """Put the origins of several tensors of the same samples together, one entry a source."""
    merged: dict[Source, MergedOrigin] = {}
    for origin in origins:
        new = MergedOrigin(origin.source, np.asarray(origin.indptr, np.int64), origin.rows)
        old = merged.get(origin.source)
        merged[origin.source] = new if old is None else _union(old, new)
    return list(merged.values())


def locate_used(origin: MergedOrigin) -> dict[str, Rows]:
    """Return the distinct rows of a source, and where in its file they are.

    Returns
    -------
    dict of str to ndarray, shape (u,)
        `row`, and for a source that has lines `line` (from 1) and `byte_offset`. A file that is
        gone or changed since it was loaded is warned about and has no lines.
    """
    source = origin.source
    dtype = row_dtype(source.n_rows)
    table: dict[str, Rows] = {"row": distinct(origin.rows, source.n_rows).astype(dtype, copy=False)}
    try:
        located = source.locate(table["row"])
    except SourceError as error:
        warnings.warn(f"Lines are not stored: {error}", StoreWarning, stacklevel=2)
        return table
    if located is not None:
        table["line"], table["byte_offset"] = located
    return table


def write_sample_rows(
    folder: StoreFolder,
    below: str,
    merged: Sequence[MergedOrigin],
    used: Sequence[dict[str, Rows]],
) -> list[FileEntry]:
    """Write the rows of all sources, and what `locate_used` gave for each.

    One Arrow file has a column of lists per source, a row per sample; one file per source has its
    used rows with line and byte offset.
    """
    import pyarrow as pa

    columns = [
        pa.LargeListArray.from_arrays(
            pa.array(origin.indptr),
            pa.array(origin.rows.astype(row_dtype(origin.source.n_rows), copy=False)),
        )
        for origin in merged
    ]
    content = _arrow_file(columns, [origin.source.uri for origin in merged])
    entries = [folder.write(_sample_file(below), [content])]
    for i, table in enumerate(used):
        content = _arrow_file([pa.array(values) for values in table.values()], list(table))
        entries.append(folder.write(_source_file(below, i), [content]))
    return entries


def open_sample_rows(folder: StoreFolder, below: str, n_sources: int) -> list[SampleRows]:
    """Map what `write_sample_rows` wrote, one entry a source; `StoreError` where it's damaged."""
    import pyarrow as pa

    try:
        lists = _mapped_columns(folder, _sample_file(below)) if n_sources else []
        if len(lists) != n_sources:
            raise ValueError(f"{len(lists)} columns for {n_sources} sources")
        return [
            _open_source(column, _mapped_columns(folder, _source_file(below, i)))
            for i, column in enumerate(lists)
        ]
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreError(
            f"The provenance in {folder.root}/{below} can't be read: {error}. "
            f"`traceprop store verify` tells which files are damaged."
        ) from error


def _open_source(column: Any, table: list[Any]) -> SampleRows:
    used, *where = (_plain(values) for values in table)
    lines, byte_offsets = where if where else (None, None)
    return SampleRows(_plain(column.offsets), _plain(column.values), used, lines, byte_offsets)


def _mapped_columns(folder: StoreFolder, relative: str) -> list[Any]:
    """Return the columns of an Arrow file of one batch, without copying them."""
    import pyarrow as pa

    path = folder.locate(relative)
    check_ordinary(path)
    with pa.memory_map(str(path)) as source:
        batch = pa.ipc.open_file(source).get_batch(0)
    return list(batch.columns)


def _arrow_file(arrays: list[Any], names: list[str]) -> memoryview:
    import pyarrow as pa

    batch = pa.record_batch(arrays, names=names)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue())


def _plain(values: Any) -> NDArray[Any]:
    plain: NDArray[Any] = values.to_numpy(zero_copy_only=True)
    return plain


def _sample_file(below: str) -> str:
    return f"{below}/sample_rows.arrow"


def _source_file(below: str, number: int) -> str:
    return f"{below}/source_rows-{number}.arrow"


def _union(one: MergedOrigin, other: MergedOrigin) -> MergedOrigin:
    if np.array_equal(one.indptr, other.indptr) and np.array_equal(one.rows, other.rows):
        return one
    samples = np.concatenate([_samples(one.indptr), _samples(other.indptr)])
    rows = np.concatenate([one.rows, other.rows])
    order = np.lexsort((rows, samples))
    samples, rows = samples[order], rows[order]
    first = np.ones(len(rows), bool)
    first[1:] = (samples[1:] != samples[:-1]) | (rows[1:] != rows[:-1])
    indptr = np.zeros(len(one.indptr), np.int64)
    np.cumsum(np.bincount(samples[first], minlength=len(indptr) - 1), out=indptr[1:])
    return MergedOrigin(one.source, indptr, rows[first])


def _samples(indptr: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sample that each entry of `rows` belongs to."""
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
