"""The rows of a store apart by run and checkpoint, with the weights that each began with.

Promise: the rows of all checkpoints of a sample add up to its row of `store.rows`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from traceprop.attribution.projection import Projector
from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.folder.manifest import Manifest
from traceprop.attribution.store.rows.shards import Shard, open_shards
from traceprop.attribution.store.rows.stored_rows import StoredRows
from traceprop.attribution.store.run.checkpoint_weights import Checkpoint, load_checkpoints


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointRows:
    """Rows of one checkpoint of one run.

    Parameters
    ----------
    run : str
        The run's folder in the store.
    number : int or None
        The pass over the data; None where rows are of the run as a whole.
    rows : StoredRows
        Its rows; `rows.sample_ids` says whose.
    checkpoint : Checkpoint or None
        The weights as the pass began; None where the store doesn't keep them.
    """

    run: str
    number: int | None
    rows: StoredRows
    checkpoint: Checkpoint | None


def checkpoint_rows(
    folder: StoreFolder, manifest: Manifest, projector: Projector, *, weights: bool
) -> tuple[CheckpointRows, ...]:
    """Return the rows by run and checkpoint, in the order of training.

    Parameters
    ----------
    folder : StoreFolder
    manifest : Manifest
    projector : Projector
    weights : bool
        Whether to read the checkpoints' weights too.

    Raises
    ------
    StoreError
        A file is gone or damaged.
    """
    found = []
    for part in manifest.parts:
        kept = load_checkpoints(folder, part) if weights else {}
        by_number: dict[int | None, list[Shard]] = {}
        for shard in open_shards(folder, replace(manifest, parts=(part,))):
            by_number.setdefault(shard.checkpoint, []).append(shard)
        for number in sorted(by_number, key=lambda number: number or 0):
            rows = StoredRows(
                _from_zero(by_number[number]), manifest.width, manifest.repeats, projector
            )
            checkpoint = None if number is None else kept.get(number)
            found.append(CheckpointRows(part.run, number, rows, checkpoint))
    return tuple(found)


def _from_zero(shards: list[Shard]) -> tuple[Shard, ...]:
    """Return shards that count their rows from the first of them."""
    counted, start = [], 0
    for shard in shards:
        counted.append(replace(shard, start=start))
        start += len(shard)
    return tuple(counted)
