"""Rows that are to be written: what a shard is made from, block by block.

Promise: rows out of step with their samples, or not finite, are refused before a byte is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.folder.formats import check_finite
from traceprop.attribution.store.rows.stored_rows import rows_per_block
from traceprop.errors import DataError


class RowSource(Protocol):
    """Rows to commit, given in blocks."""

    @property
    def sample_ids(self) -> NDArray[np.int64]:
        """The sample of each row, each once, shape `(n,)`."""

    @property
    def width(self) -> int:
        """Numbers in a row."""

    @property
    def checkpoint(self) -> int | None:
        """Which checkpoint the rows are of; None where of the run as a whole."""

    def blocks(self) -> Iterator[NDArray[np.floating[Any]]]:
        """Yield the rows in the order of `sample_ids`, all finite: else `DataError`."""


class ArrayRows:
    """Rows that are in memory.

    Parameters
    ----------
    gradients : ndarray, shape (n, width)
    sample_ids : array_like of int64, shape (n,)
    checkpoint : int, optional

    Raises
    ------
    DataError
        There are none, ids and rows are out of step, or a row isn't finite.
    """

    def __init__(
        self,
        gradients: NDArray[np.floating[Any]],
        sample_ids: NDArray[np.int64],
        checkpoint: int | None = None,
    ) -> None:
        self.gradients, self.checkpoint = np.asarray(gradients), checkpoint
        self.sample_ids = np.asarray(sample_ids, np.int64)
        if self.gradients.ndim != 2 or not self.gradients.size:
            raise DataError(
                f"Gradients of shape {self.gradients.shape} can't be stored: no sample in them."
            )
        if self.sample_ids.shape != self.gradients.shape[:1]:
            raise DataError(
                f"{self.sample_ids.shape[0]} sample ids for {self.gradients.shape[0]} gradients: "
                f"give one a row."
            )
        start = 0
        for block in self.blocks():
            check_finite(block, self.sample_ids[start:])
            start += len(block)

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return int(self.gradients.shape[1])

    def blocks(self) -> Iterator[NDArray[np.floating[Any]]]:
        """Yield the rows in order."""
        step = rows_per_block(self.width)
        return (self.gradients[i : i + step] for i in range(0, len(self.gradients), step))
