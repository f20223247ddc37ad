"""Sample ↔ source rows on disk, answered in both directions from memory-mapped Arrow files.

Promises: what was committed is answered from the store alone, also when the source file is gone
(lines and byte offsets of the rows were taken at the commit); both directions are vectorised and
read only what they need.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.files import FileEntry, StoreFolder
from traceprop.errors import StoreError
from traceprop.lineage.rowset import distinct, row_dtype

if TYPE_CHECKING:
    from traceprop.lineage import Origin
    from traceprop.lineage.source import Source

Rows = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, slots=True, eq=False)
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

    def of_sample(self, sample: int) -> Rows:
        """Return the sorted rows of one sample; empty where it has none in this source."""
        return self.rows[self.indptr[sample] : self.indptr[sample + 1]]

    def samples_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sorted samples that came from any of some rows (sorted, ≥ 0)."""
        if not rows.size or not self.used.size:
            return np.empty(0, np.int64)
        wanted = np.zeros(int(max(rows[-1], self.used[-1])) + 1, bool)
        wanted[rows] = True
        hits = np.flatnonzero(wanted[self.rows])
        samples = np.searchsorted(self.indptr, hits, side="right") - 1
        return samples[np.diff(samples, prepend=-1) > 0]

    def unused(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of some sorted rows that no sample came from."""
        at = np.searchsorted(self.used, rows)
        known = at < self.used.size
        known[known] = self.used[at[known]] == rows[known]
        return rows[~known]

    def located(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Return lines and byte offsets of used rows; None where the source has no lines."""
        if self.lines is None or self.byte_offsets is None:
            return None
        at = np.searchsorted(self.used, rows)
        return self.lines[at], self.byte_offsets[at]


def merge_origins(origins: Iterable[Origin]) -> list[tuple[Source, NDArray[np.int64], Rows]]:
    """Put the origins of several tensors of the same samples together, one entry a source.

    Returns
    -------
    list of (source, indptr, rows)
        For every sample the sorted union of its rows, as in `SampleRows`.
    """
    merged: dict[Source, tuple[NDArray[np.int64], Rows]] = {}
    for origin in origins:
        new = (np.asarray(origin.indptr, np.int64), np.asarray(origin.rows))
        old = merged.get(origin.source)
        same = old is not None and all(map(np.array_equal, old, new))
        merged[origin.source] = new if old is None or same else _union(old, new)
    return [(source, indptr, rows) for source, (indptr, rows) in merged.items()]


def write_sample_rows(
    folder: StoreFolder,
    below: str,
    merged: Sequence[tuple[Source, NDArray[np.int64], Rows]],
) -> list[FileEntry]:
    """Write the rows of all sources, and where in their files they are.

    One Arrow file has a column of lists per source, a row per sample; one file per source has its
    used rows with line and byte offset.
    """
    import pyarrow as pa

    names, columns, entries = [], [], []
    for i, (source, indptr, rows) in enumerate(merged):
        dtype = row_dtype(source.n_rows)
        rows = rows.astype(dtype, copy=False)
        names.append(source.uri)
        columns.append(pa.LargeListArray.from_arrays(pa.array(indptr), pa.array(rows)))
        used = distinct(rows, source.n_rows).astype(dtype, copy=False)
        table = {"row": used}
        located = source.locate(used)
        if located is not None:
            table["line"], table["byte_offset"] = (np.asarray(x, np.int64) for x in located)
        arrays = [pa.array(values) for values in table.values()]
        content = _arrow_file(arrays, list(table))
        entries.append(folder.write(_source_file(below, i), [content]))
    content = _arrow_file(columns, names)
    return [folder.write(_sample_file(below), [content]), *entries]


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

    with pa.memory_map(str(folder.locate(relative))) as source:
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


def _union(
    one: tuple[NDArray[np.int64], Rows], other: tuple[NDArray[np.int64], Rows]
) -> tuple[NDArray[np.int64], Rows]:
    n = len(one[0]) - 1
    samples = np.concatenate([_samples(one[0]), _samples(other[0])])
    rows = np.concatenate([one[1], other[1]])
    order = np.lexsort((rows, samples))
    samples, rows = samples[order], rows[order]
    first = np.ones(len(rows), bool)
    first[1:] = (samples[1:] != samples[:-1]) | (rows[1:] != rows[:-1])
    counts = np.bincount(samples[first], minlength=n)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), rows[first]


def _samples(indptr: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sample that each entry of `rows` belongs to."""
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
