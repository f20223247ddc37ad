"""A committed run, read: each part is opened when it is first asked for."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.projection import Projector
from traceprop.attribution.store.folder.files import StoreFolder, reporting_os_errors
from traceprop.attribution.store.folder.folder_state import FolderState
from traceprop.attribution.store.folder.manifest import SCHEMA, Manifest
from traceprop.attribution.store.provenance.answers import Provenance
from traceprop.attribution.store.rows.shards import Shard, open_shards
from traceprop.attribution.store.rows.stored_rows import StoredRows
from traceprop.attribution.store.run.checkpoint_weights import keeps_weights
from traceprop.attribution.store.run.record import TrainingRecord, join_orders, load_record
from traceprop.errors import StoreError, StoreWarning


class CommittedRun:
    """What a store answers from.

    Parameters
    ----------
    folder : StoreFolder
    manifest : Manifest
        The state of the folder that is read, whatever is committed later.
    """

    def __init__(self, folder: StoreFolder, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @cached_property
    def shards(self) -> tuple[Shard, ...]:
        """The rows as they are stored, mapped."""
        with self._reading():
            return open_shards(self.folder, self.manifest)

    @cached_property
    def rows(self) -> StoredRows:
        """The rows as float32, one a sample, decoded where they are asked for."""
        manifest = self.manifest
        return StoredRows(self.shards, manifest.width, manifest.repeats, self.projector)

    @cached_property
    def gradients(self) -> NDArray[np.float32]:
        """All rows as one array of float32."""
        return self.rows[:]

    @cached_property
    def projector(self) -> Projector:
        """The map that the gradients went through."""
        projector = Projector.from_json(self.manifest.projector)
        if projector.width != self.manifest.width:
            raise StoreError(
                f"{self.folder.root}/{self.manifest.name} contradicts itself: rows of "
                f"{self.manifest.width} numbers from a projection to {projector.width}. Copy the "
                f"store again from a good one."
            )
        return projector

    @cached_property
    def record(self) -> TrainingRecord:
        """The training record; of several parts, as of the last, over the data of all."""
        with self._reading():
            records = [load_record(self.folder, p.run, p.data) for p in self.manifest.parts]
        return records[0] if len(records) == 1 else self._joined(records)

    @cached_property
    def provenance(self) -> Provenance:
        """The source rows of the samples."""
        found = Provenance(self.folder, self.manifest, lambda: self.rows.sample_ids)
        with self._reading():
            _ = found.sources
        return found

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Say so where a file is gone because a writer replaced what this object has open."""
        try:
            with reporting_os_errors(self.folder.root, "Reading"):
                yield
        except StoreError as error:
            if (self.folder.root / self.manifest.name).exists():
                raise
            raise StoreError(
                f"{self.folder.root} was changed by a writer since it was opened: open it again."
            ) from error

    def _joined(self, records: list[TrainingRecord]) -> TrainingRecord:
        parts, last = self.manifest.parts, records[-1]
        own = [r for p, r in zip(parts, records, strict=True) if p.data == p.run]
        epochs = [record.epochs for record in records]
        known = [each for each in epochs if each is not None]
        alone = len(own) == 1
        return replace(
            last,
            inputs=own[0].inputs if alone else np.concatenate([r.inputs for r in own]),
            targets=own[0].targets if alone else np.concatenate([r.targets for r in own]),
            initial_weights=records[0].initial_weights,
            epochs=sum(known) if alone and len(known) == len(epochs) else last.epochs,
            fixed_data=all(record.fixed_data for record in records),
            order=join_orders([record.order for record in records]) if alone else None,
        )

    def info(self) -> dict[str, Any]:
        """Return what the run left as JSON values."""
        manifest, record = self.manifest, self.record
        return {
            "samples": len(self.rows),
            "rows": manifest.rows,
            "width": manifest.width,
            "k": manifest.k,
            "dtype": manifest.dtype,
            "seed": manifest.seed,
            "projection": manifest.projector["kind"],
            "created": manifest.created,
            "schema": SCHEMA,
            "manifest": manifest.name,
            "bytes": sum(entry.size for entry in manifest.entries()),
            "sources": [
                {name: stored["source"][name] for name in ("uri", "kind", "sha256", "n_rows")}
                for part in manifest.parts
                for stored in part.sources
            ],
            "steps": list(self.provenance.steps),
            "parts": [
                {
                    "run": part.run,
                    "data": part.data,
                    "created": part.created,
                    "first_sample": part.first_sample,
                    "rows": part.rows,
                    "shards": len(part.shards),
                    "checkpoints": sorted({s.checkpoint for s in part.shards} - {None}),
                    "keeps_weights": keeps_weights(part),
                }
                for part in manifest.parts
            ],
            "derived": [derived.name for derived in manifest.derived],
            "erasures": manifest.erasures,
            "holds": list(manifest.holds),
            "model_sha256": record.model_digest,
            "loss": record.loss and record.loss.to_json(),
            "penalty": record.penalty,
        }


def newest_run(folder: StoreFolder, found: FolderState) -> CommittedRun | None:
    """Return the run that a folder holds, None where nothing was committed.

    Raises
    ------
    StoreError
        There are manifests, but none is whole. Where an older one is, or a derived file is lost, a
        `StoreWarning` says so.
    """
    if found.manifest is None:
        if found.damaged:
            raise StoreError(
                f"{folder.root} holds no whole run: {'; '.join(found.damaged)}. Copy the store "
                f"again from a good one, or record the run again with overwrite=True."
            )
        return None
    if found.damaged:
        warnings.warn(
            f"{folder.root} is open as of {found.manifest.name}: {'; '.join(found.damaged)}.",
            StoreWarning,
            stacklevel=3,
        )
    if found.lost:
        warnings.warn(
            f"{folder.root} is open without {', '.join(found.lost)}, missing or cut short: it is "
            f"computed from the rows again when asked for.",
            StoreWarning,
            stacklevel=3,
        )
    return CommittedRun(folder, found.manifest)
