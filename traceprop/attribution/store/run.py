"""What one commit brings: rows of gradients, the training record, and the tensors trained on.

Promise: what is out of step with the store, or with itself, is refused before a byte is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.formats import check_finite
from traceprop.attribution.store.record import TrainingRecord
from traceprop.attribution.store.rows import rows_per_block
from traceprop.attribution.store.settings import Settings
from traceprop.errors import DataError

if TYPE_CHECKING:
    from traceprop.attribution.projection import Projector
    from traceprop.lineage import ProvenanceTensor


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


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """All that one commit writes.

    Parameters
    ----------
    rows : tuple of RowSource
        One, or one a checkpoint.
    projector : Projector
    record : TrainingRecord
    tensors : tuple of ProvenanceTensor
        The training tensors; empty where plain arrays were trained on.
    """

    rows: tuple[RowSource, ...]
    projector: Projector
    record: TrainingRecord
    tensors: tuple[ProvenanceTensor, ...]

    def check(self, settings: Settings) -> None:
        """Raise `DataError` where gradients, record and tensors are out of step."""
        projector, n = self.projector, len(self.record.inputs)
        for rows in self.rows:
            if (projector.k, projector.seed, projector.width) != (
                settings.k,
                settings.seed,
                rows.width,
            ):
                raise DataError(
                    f"Rows of {rows.width} numbers and a projection to {projector.width} with "
                    f"k={projector.k}, seed={projector.seed} don't belong into a store of "
                    f"k={settings.k}, seed={settings.seed}."
                )
            _check_ids(rows.sample_ids, n)
        checkpoints = [rows.checkpoint for rows in self.rows]
        if not checkpoints or len(set(checkpoints)) < len(checkpoints):
            raise DataError(f"Rows of the checkpoints {checkpoints}: give rows, each once.")
        for tensor in self.tensors:
            if tensor.shape[0] != n:
                raise DataError(
                    f"A training tensor of {tensor.shape[0]} rows is out of step with "
                    f"{n} training inputs."
                )


def _check_ids(sample_ids: NDArray[np.int64], n: int) -> None:
    ordered = np.sort(sample_ids)
    if not ordered.size:
        raise DataError("A run without a sample can't be stored.")
    if ordered[0] < 0:
        raise DataError(f"Sample {ordered[0]} is no sample: they are counted from 0.")
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if twice.size:
        raise DataError(f"Sample {twice[0]} has more than one row of gradients.")
    if ordered[-1] >= n:
        raise DataError(f"Sample {ordered[-1]} has a gradient, but there are {n} training inputs.")
