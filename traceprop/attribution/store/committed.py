"""A committed run, read: each part is opened when it is first asked for."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.projection import Projector
from traceprop.attribution.store.files import StoreFolder, reporting_os_errors
from traceprop.attribution.store.manifest import SCHEMA, FolderState, Manifest
from traceprop.attribution.store.provenance import Provenance
from traceprop.attribution.store.record import TrainingRecord, load_record
from traceprop.attribution.store.shards import open_rows, open_sample_ids
from traceprop.attribution.store.writer import RECORD
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
    def gradients(self) -> NDArray[np.float32]:
        """The projected gradients, shape `(rows, width)`, mapped."""
        with reporting_os_errors(self.folder.root, "Reading"):
            return open_rows(self.folder, self.manifest)

    @cached_property
    def sample_ids(self) -> NDArray[np.int64]:
        """The sample of each row, mapped."""
        with reporting_os_errors(self.folder.root, "Reading"):
            return open_sample_ids(self.folder, self.manifest)

    @cached_property
    def projector(self) -> Projector:
        """The map that the gradients went through."""
        return Projector.from_json(self.manifest.projector)

    @cached_property
    def record(self) -> TrainingRecord:
        """The training record."""
        return load_record(self.folder, f"{self.manifest.run}/{RECORD}")

    @cached_property
    def provenance(self) -> Provenance:
        """The source rows of the samples."""
        return Provenance(self.folder, self.manifest)

    def info(self) -> dict[str, Any]:
        """Return what the run left as JSON values."""
        manifest, record = self.manifest, self.record
        return {
            "samples": manifest.rows,
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
                for stored in manifest.sources
            ],
            "steps": list(manifest.steps),
            "model_sha256": record.model_digest,
            "loss": record.loss and record.loss.to_json(),
            "penalty": record.penalty,
        }


def newest_run(folder: StoreFolder, found: FolderState) -> CommittedRun | None:
    """Return the run that a folder holds, None where nothing was committed.

    Raises
    ------
    StoreError
        There are manifests, but none is whole. Where an older one is, a `StoreWarning` says so.
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
    return CommittedRun(folder, found.manifest)
