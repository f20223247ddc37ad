"""A part's own files written anew without some samples: training data, row maps, record.

Promise: nothing of the samples is in the new files but the place that they had, which is filled
with zeros (in the order of batches with -1), so that the other samples keep their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.changing.rewriting import refuse_damaged
from traceprop.attribution.store.folder.files import CHUNK_BYTES, Bytes, FileEntry, StoreFolder
from traceprop.attribution.store.folder.layout import LINEAGE, RECORD
from traceprop.attribution.store.folder.manifest import RunPart
from traceprop.attribution.store.folder.ordinary import open_ordinary
from traceprop.attribution.store.provenance.answers import DataPart
from traceprop.attribution.store.provenance.sample_rows import (
    MergedOrigin,
    SampleRows,
    write_sample_rows,
)
from traceprop.attribution.store.run.checkpoint_weights import is_of_checkpoints
from traceprop.attribution.store.run.record import (
    DATA_FILES,
    ORDER_FILE,
    BatchOrder,
    load_order,
    mapped,
    npy_parts,
    order_parts,
)
from traceprop.lineage.rowset import Rows, distinct
from traceprop.lineage.source import Source

_BLOCK_BYTES = 16 << 20


def names_samples(part: RunPart) -> bool:
    """Tell whether files below a part's folder hold samples: data, numbers, models on their way."""
    order = f"{part.run}/{RECORD}/{ORDER_FILE}"
    return part.data == part.run or any(
        entry.path == order or is_of_checkpoints(part, entry.path) for entry in part.files
    )


def drop_from_part(
    folder: StoreFolder, part: RunPart, run: str, data: str, gone: NDArray[np.int64]
) -> RunPart:
    """Write a part's own files again.

    Parameters
    ----------
    folder : StoreFolder
    part : RunPart
    run : str
        The new folder.
    data : str
        The folder of the part's training data from now on.
    gone : ndarray of int64
        The samples, by their number in the store.
    """
    refuse_damaged(folder, part.files)
    own = gone - part.first_sample
    data_files = {f"{part.run}/{RECORD}/{name}" for name in DATA_FILES}
    files: list[FileEntry] = []
    for entry in part.files:
        name = entry.path.removeprefix(f"{part.run}/")
        if is_of_checkpoints(part, entry.path):
            continue
        if entry.path in data_files:
            files.append(folder.write(f"{run}/{name}", _blanked(folder, entry, own)))
        elif name == f"{RECORD}/{ORDER_FILE}":
            files.append(folder.write(f"{run}/{name}", order_parts(_masked(folder, part, own))))
        elif name.startswith(f"{RECORD}/"):
            files.append(folder.write(f"{run}/{name}", _bytes(folder, entry)))
    if part.sources:
        files += _row_maps(folder, part, run, own)
    digest = DataPart(folder, part).lineage_digest() if _has_lineage(part) else None
    return replace(
        part,
        run=run,
        data=data,
        files=tuple(files),
        lineage_sha256=digest or part.lineage_sha256,
    )


def _has_lineage(part: RunPart) -> bool:
    return any(entry.path.startswith(f"{part.run}/{LINEAGE}") for entry in part.files)


def _bytes(folder: StoreFolder, entry: FileEntry) -> Iterator[Bytes]:
    left = entry.size
    with open_ordinary(folder.locate(entry.path)) as file:
        while left and (chunk := file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk


def _masked(folder: StoreFolder, part: RunPart, gone: NDArray[np.int64]) -> BatchOrder:
    """Return which samples each batch had, with a place for each of some that says no more."""
    order = load_order(folder, part.run)
    return replace(order, samples=np.where(np.isin(order.samples, gone), -1, order.samples))


def _blanked(folder: StoreFolder, entry: FileEntry, gone: NDArray[np.int64]) -> Iterator[Bytes]:
    """Yield an `.npy` file with zeros in the rows of some samples."""
    array: NDArray[Any] = mapped(folder.locate(entry.path))
    row_bytes = max(1, array.dtype.itemsize * int(np.prod(array.shape[1:])))
    step = max(1, _BLOCK_BYTES // row_bytes)

    def blocks() -> Iterator[NDArray[Any]]:
        for start in range(0, len(array), step):
            block = np.array(array[start : start + step])
            here = gone[(gone >= start) & (gone < start + len(block))] - start
            block[here] = 0
            yield block

    return npy_parts(array, blocks())


def _row_maps(
    folder: StoreFolder, part: RunPart, run: str, gone: NDArray[np.int64]
) -> list[FileEntry]:
    merged, used = [], []
    for stored, rows in zip(part.sources, DataPart(folder, part).rows, strict=True):
        origin = _without(Source.from_json(stored["source"]), rows, gone)
        merged.append(origin)
        used.append(_used(rows, origin))
    return write_sample_rows(folder, run, merged, used)


def _without(source: Source, rows: SampleRows, gone: NDArray[np.int64]) -> MergedOrigin:
    counts = np.diff(rows.indptr)
    kept = np.ones(len(counts), bool)
    kept[gone[(gone >= 0) & (gone < len(counts))]] = False
    indptr = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(np.where(kept, counts, 0), out=indptr[1:])
    return MergedOrigin(source, indptr, rows.rows[np.repeat(kept, counts)])


def _used(rows: SampleRows, origin: MergedOrigin) -> dict[str, Rows]:
    """Return the rows that are still used, with their places in the file."""
    left = np.isin(rows.used, distinct(origin.rows, origin.source.n_rows))
    table: dict[str, Rows] = {"row": rows.used[left]}
    if rows.lines is not None and rows.byte_offsets is not None:
        table |= {"line": rows.lines[left], "byte_offset": rows.byte_offsets[left]}
    return table
