"""What one commit brings: rows of gradients, the training record, and the tensors trained on.

Promise: what is out of step with the store, or with itself, is refused before a byte is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.folder.settings import Settings
from traceprop.attribution.store.rows.row_source import RowSource
from traceprop.attribution.store.run.checkpoint_weights import Checkpoint
from traceprop.attribution.store.run.record import TrainingRecord
from traceprop.errors import DataError

if TYPE_CHECKING:
    from traceprop.attribution.projection import Projector
    from traceprop.lineage import ProvenanceTensor


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
    checkpoints : tuple of Checkpoint
        The model on its way, where that is kept.
    """

    rows: tuple[RowSource, ...]
    projector: Projector
    record: TrainingRecord
    tensors: tuple[ProvenanceTensor, ...]
    checkpoints: tuple[Checkpoint, ...] = ()

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
