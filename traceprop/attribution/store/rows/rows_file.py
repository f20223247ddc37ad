"""Rows of a run while it is recorded: in a file of the store's folder, not in memory.

Promises: memory stays bounded by the blocks that are handled, whatever the number of samples; a
full disk is an error that names the file, never a killed process; nothing of it is part of the
store until it is committed, and what a crash leaves is cut by the next writer.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.folder.files import reporting_os_errors
from traceprop.attribution.store.folder.formats import check_finite
from traceprop.attribution.store.rows.stored_rows import rows_per_block
from traceprop.files import open_private

Ids = NDArray[np.int64]

_FIRST_BYTES = 1 << 20
_LARGEST_STEP = 256 << 20
_RELEASE_BYTES = 64 << 20


class RowSink:
    """One row a sample, added to as batches come.

    Parameters
    ----------
    path : Path
        The file, which is made anew; its folder must be there.
    width : int
        Numbers in a row.
    checkpoint : int, optional
        Which checkpoint the rows are of.
    """

    def __init__(self, path: Path, width: int, checkpoint: int | None = None) -> None:
        self.width, self.checkpoint = width, checkpoint
        self._path = path
        self._file = open(path, "w+b", buffering=0, opener=open_private)  # noqa: SIM115
        self._map: mmap.mmap | None = None
        self._rows = np.empty((0, width), np.float32)
        self._ids = np.empty(0, np.int64)
        self._row_of = np.empty(0, np.int64)  # by sample; -1 where not seen
        self._n = 0
        self._touched = 0

    @property
    def sample_ids(self) -> Ids:
        """The samples that have a row, sorted."""
        return np.sort(self._ids[: self._n])

    def seen(self, ids: Ids) -> NDArray[np.bool_]:
        """Tell of each sample whether it has a row."""
        known = np.zeros(len(ids), bool)
        inside = ids < len(self._row_of)
        known[inside] = self._row_of[ids[inside]] >= 0
        return known

    def add(self, ids: Ids, gradients: NDArray[np.float32], *, replace: bool = False) -> None:
        """Add a batch's gradients to the rows of its samples.

        Parameters
        ----------
        ids : ndarray of int64, shape (n,)
            A sample may be there more than once.
        gradients : ndarray of float32, shape (n, width)
        replace : bool
            Whether what the samples had before is dropped first.

        Raises
        ------
        StoreError
            The disk is full; what was added before is still there.
        """
        from numba_kernels.projection import add_rows

        rows = self._rows_for(ids)
        if replace:
            self._rows[rows] = 0
        add_rows(rows, gradients, self._rows)
        self._touched += gradients.nbytes
        if self._touched >= _RELEASE_BYTES:
            self._release()

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the rows in the order of `sample_ids`; `DataError` where one isn't finite."""
        ordered = self.sample_ids
        step = rows_per_block(self.width)
        for start in range(0, len(ordered), step):
            ids = ordered[start : start + step]
            block = self._rows[self._row_of[ids]]
            check_finite(block, ids)
            self._release()
            yield block

    def close(self) -> None:
        """Remove the file; a second call does nothing."""
        if self._file.closed:
            return
        self._unmap()
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __del__(self) -> None:
        # getattr: the file may have been refused. Only the process that made it removes it.
        if getattr(self, "_file", None) is not None:
            self._file.close()

    def _rows_for(self, ids: Ids) -> Ids:
        self._row_of = grown(self._row_of, int(ids.max()) + 1, -1)
        new = np.unique(ids[self._row_of[ids] < 0])
        if len(new):
            stop = self._n + len(new)
            self._reserve(stop)
            self._ids = grown(self._ids, stop, 0)
            self._row_of[new] = np.arange(self._n, stop)
            self._ids[self._n : stop] = new
            self._n = stop
        return self._row_of[ids]

    def _reserve(self, rows: int) -> None:
        """Make room for rows on the disk, and map it."""
        if rows <= len(self._rows):
            return
        row_bytes = 4 * self.width
        old = len(self._rows) * row_bytes
        size = max(rows * row_bytes, old + min(max(old, _FIRST_BYTES), _LARGEST_STEP))
        size -= size % row_bytes
        # Blocks that aren't there would kill the process when the map is written to.
        with reporting_os_errors(self._path, "Writing"):
            os.posix_fallocate(self._file.fileno(), old, size - old)
        self._unmap()
        self._map = mmap.mmap(self._file.fileno(), size)
        self._rows = np.frombuffer(self._map, np.float32).reshape(-1, self.width)

    def _release(self) -> None:
        """Give the memory back that the map took: the pages are the file's."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)
        self._touched = 0

    def _unmap(self) -> None:
        self._rows = np.empty((0, self.width), np.float32)
        if self._map is not None:
            self._map.close()
            self._map = None


def grown(array: NDArray[np.int64], n: int, fill: int) -> NDArray[np.int64]:
    """Return the array with at least n entries; doubled, so that growing costs little overall."""
    if n <= len(array):
        return array
    larger = np.full(max(n, 2 * len(array)), fill, array.dtype)
    larger[: len(array)] = array
    return larger
