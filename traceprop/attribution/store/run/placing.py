"""Where a run goes in a store: alone, or appended to the runs that are there.

A run on the very data of an earlier part (inputs, labels and sources) is about the same samples:
more epochs, another checkpoint, or training resumed. Its rows add up with theirs. A run on other
data brings samples of its own, which are numbered on. Promise: a run that fits neither is refused
by what doesn't fit, before a byte is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.folder.manifest import Manifest, RunPart
from traceprop.attribution.store.run.record import TrainingRecord, load_record
from traceprop.attribution.store.run.run import Run
from traceprop.errors import StoreError
from traceprop.lineage.source import Source

_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run goes.

    Parameters
    ----------
    parts : tuple of RunPart
        What stays before it.
    data : str or None
        The folder of the training data, where an earlier part has them.
    first_sample : int
        The number of the run's sample 0.
    repeats : bool
        Whether a sample has rows in several shards then.
    """

    parts: tuple[RunPart, ...] = ()
    data: str | None = None
    first_sample: int = 0
    repeats: bool = False


def place_for(folder: StoreFolder, manifest: Manifest | None, run: Run) -> Place:
    """Find the place of a run behind what a manifest holds.

    Raises
    ------
    StoreError
        The run is of another model, loss or kind of data.
    """
    if manifest is None:
        return Place()
    if run.projector.to_json() != manifest.projector:
        raise StoreError(
            f"{folder.root} holds rows of a model with other parameters or shapes, so these can't "
            f"be appended: give another path=."
        )
    own = [part for part in manifest.parts if part.data == part.run]
    records = [(part, load_record(folder, part.run, part.data)) for part in own]
    for part, record in records:
        if _same_sources(part, run) and _same_data(record, run.record):
            if not run.projector.is_linear:
                raise StoreError(
                    f"{folder.root} holds factors of gradients, which can't be added to those of "
                    f"another run on the same data: give another path=, or projection='sjlt'."
                )
            return Place(manifest.parts, part.data, part.first_sample, repeats=True)
    _check_alike(folder, records[-1][1], run.record)
    part, record = max(records, key=lambda found: found[0].first_sample)
    return Place(
        manifest.parts, None, part.first_sample + len(record.inputs), repeats=manifest.repeats
    )


def _same_sources(part: RunPart, run: Run) -> bool:
    given = {source for tensor in run.tensors for source in tensor.sources()}
    stored = {Source.from_json(each["source"]) for each in part.sources}
    return {(s.uri, s.sha256) for s in given} == {(s.uri, s.sha256) for s in stored}


def _same_data(one: TrainingRecord, other: TrainingRecord) -> bool:
    return _equal(one.inputs, other.inputs) and _equal(one.targets, other.targets)


def _equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Compare arrays of which one lies on disk, a block at a time."""
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    row_bytes = max(1, one.dtype.itemsize * int(np.prod(one.shape[1:])))
    step = max(1, _BLOCK_BYTES // row_bytes)
    return all(
        np.array_equal(one[i : i + step], other[i : i + step], equal_nan=one.dtype.kind == "f")
        for i in range(0, len(one), step)
    )


def _check_alike(folder: StoreFolder, stored: TrainingRecord, given: TrainingRecord) -> None:
    """Refuse more data of another shape, or under another loss: no one problem would hold both."""
    for name in ("inputs", "targets"):
        there, new = getattr(stored, name), getattr(given, name)
        if (there.shape[1:], there.dtype) != (new.shape[1:], new.dtype):
            raise StoreError(
                f"{folder.root} holds training {name} of shape {there.shape[1:]} and {there.dtype} "
                f"a sample, these are {new.shape[1:]} and {new.dtype}: give another path=."
            )
    if stored.loss != given.loss:
        raise StoreError(
            f"{folder.root} was recorded under the loss {_named(stored)}, this run is under "
            f"{_named(given)}: give another path=."
        )


def _named(record: TrainingRecord) -> str:
    loss = record.loss
    return "unknown" if loss is None else f"{loss.kind} ({loss.reduction})"
