"""One commit: everything that a run left, on disk for good or not at all.

The order is what makes it atomic. New files are written under names that no manifest knows, and
synced; then the names of their folders; then the manifest, under a temporary name, synced, renamed
and its folder synced. Until the rename the old state counts, from then on the new one. Only then
is what no manifest names removed. Promise: killed or cut off at any moment, the store opens with
the last state whose commit returned, or with the one that was being committed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.files import TEMPORARY_SUFFIX, FileEntry, StoreFolder
from traceprop.attribution.store.manifest import MANIFEST_NAME, FolderState, Manifest
from traceprop.attribution.store.record import TrainingRecord, save_record
from traceprop.attribution.store.sample_rows import (
    MergedOrigin,
    locate_used,
    merge_origins,
    write_sample_rows,
)
from traceprop.attribution.store.settings import Settings
from traceprop.attribution.store.shards import SHARDS, check_rows, write_shard
from traceprop.attribution.store.stored_source import describe_source
from traceprop.errors import DataError

if TYPE_CHECKING:
    from traceprop.attribution.projection import Projector
    from traceprop.lineage import ProvenanceTensor

RECORD = "record"
LINEAGE = "lineage"
_RUN_NAME = re.compile(r"run-(\d+)")
_SHARD_NAME = re.compile(r"(\d+)-(\d+)\.(bin|ids)")
_RANK = 0


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """All that one commit writes.

    Parameters
    ----------
    gradients : ndarray, shape (n, width)
    sample_ids : ndarray of int64, shape (n,)
    projector : Projector
    record : TrainingRecord
    tensors : tuple of ProvenanceTensor
        The training tensors; empty where plain arrays were trained on.
    """

    gradients: NDArray[np.floating]
    sample_ids: NDArray[np.int64]
    projector: Projector
    record: TrainingRecord
    tensors: tuple[ProvenanceTensor, ...]

    def check(self, settings: Settings) -> None:
        """Raise `DataError` where gradients, record and tensors are out of step."""
        projector, width = self.projector, self.gradients.shape[-1]
        made = (projector.k, projector.seed, projector.width)
        if made != (settings.k, settings.seed, width):
            raise DataError(
                f"Rows of {width} numbers and a projection to {projector.width} with "
                f"k={projector.k}, seed={projector.seed} don't belong into a store of "
                f"k={settings.k}, seed={settings.seed}."
            )
        check_rows(self.gradients, self.sample_ids)
        n = len(self.record.inputs)
        if self.sample_ids.max() >= n:
            raise DataError(
                f"Sample {self.sample_ids.max()} has a gradient, but there are {n} training inputs."
            )
        for tensor in self.tensors:
            if tensor.shape[0] != n:
                raise DataError(
                    f"A training tensor of {tensor.shape[0]} rows is out of step with "
                    f"{n} training inputs."
                )


def commit_run(folder: StoreFolder, before: FolderState, settings: Settings, run: Run) -> Manifest:
    """Write a run as the store's new state, and remove what it replaced.

    Parameters
    ----------
    folder : StoreFolder
        Its writer's lock is held.
    before : FolderState
        What was there when the lock was taken.
    settings : Settings
    run : Run
        Checked.

    Raises
    ------
    OSError
        The system refused a write; the store is as it was.
    """
    try:
        manifest = _write(folder, before, settings, run)
    except BaseException:
        # A damaged manifest is left for whoever can mend it, and with it what it names.
        if not before.damaged:
            cut_strays(folder, before.manifest)
        raise
    cut_strays(folder, manifest)
    return manifest


def _write(folder: StoreFolder, before: FolderState, settings: Settings, run: Run) -> Manifest:
    number = 1 + max((*before.numbers, *_numbers(folder.root, _RUN_NAME)), default=0)
    below = f"run-{number}"
    shard = 1 + max(_numbers(folder.root / SHARDS, _SHARD_NAME, group=2), default=-1)
    origins = _origins(run.tensors)
    used = [locate_used(origin) for origin in origins]
    parent = before.manifest and before.sha256 and (before.manifest.number, before.sha256)
    manifest = Manifest(
        number=number,
        parent=parent or None,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        k=settings.k,
        dtype=settings.dtype,
        seed=settings.seed,
        width=run.gradients.shape[1],
        projector=run.projector.to_json(),
        steps=tuple(str(step) for step in run.tensors[0].ops()) if run.tensors else (),
        sources=tuple(
            describe_source(origin.source, located="line" in table)
            for origin, table in zip(origins, used, strict=True)
        ),
        run=below,
        shards=(write_shard(folder, _RANK, shard, run.gradients, run.sample_ids, settings.dtype),),
        files=(
            *(write_sample_rows(folder, below, origins, used) if origins else ()),
            *_save_lineage(folder, below, run.tensors),
            *save_record(folder, f"{below}/{RECORD}", run.record),
        ),
    )
    content = manifest.encode()
    folder.sync_folders()
    folder.publish(manifest.name, content)
    return manifest


def cut_strays(folder: StoreFolder, kept: Manifest | None) -> None:
    """Remove what an interrupted writer, or the state before this one, left behind.

    Only names that a store gives to its own files are touched. Nothing here needs a sync: what a
    power cut brings back is cut again by the next writer.
    """
    root = folder.root
    for path in sorted(root.iterdir()):
        is_manifest = MANIFEST_NAME.fullmatch(path.name.removesuffix(TEMPORARY_SUFFIX))
        if is_manifest and not (kept and path.name == kept.name):
            folder.remove(path)
    sizes = {root / entry.path: entry.size for entry in kept.entries()} if kept else {}
    for path in _children(root, _RUN_NAME):
        if not any(file.is_relative_to(path) for file in sizes):
            folder.remove(path)
    for path in _children(root / SHARDS, _SHARD_NAME):
        if path not in sizes:
            folder.remove(path)
        elif path.stat().st_size > sizes[path]:
            folder.truncate(path.relative_to(root).as_posix(), sizes[path])


def _origins(tensors: tuple[ProvenanceTensor, ...]) -> list[MergedOrigin]:
    if not tensors:
        return []
    from traceprop.lineage import origins

    return merge_origins(origin for tensor in tensors for origin in origins(tensor))


def _save_lineage(
    folder: StoreFolder, below: str, tensors: tuple[ProvenanceTensor, ...]
) -> Iterable[FileEntry]:
    if not tensors:
        return []
    from traceprop.lineage import save_lineage

    path = folder.make_folder(below) / LINEAGE
    save_lineage(path, *tensors)
    saved = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [
        folder.adopt(file.relative_to(folder.root).as_posix()) for file in saved if file.is_file()
    ]


def _children(path: Path, pattern: re.Pattern[str]) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(child for child in path.iterdir() if pattern.fullmatch(child.name))


def _numbers(path: Path, pattern: re.Pattern[str], group: int = 1) -> list[int]:
    matches = (pattern.fullmatch(child.name) for child in _children(path, pattern))
    return [int(match[group]) for match in matches if match]
