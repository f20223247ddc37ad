"""One commit: everything that a run left, on disk for good or not at all.

The order is what makes it atomic. New files are written under names that no manifest knows, and
synced; then the names of their folders; then the manifest, under a temporary name, synced, renamed
and its folder synced. Until the rename the old state counts, from then on the new one. Only then
is what no manifest names removed. Promise: killed or cut off at any moment, the store opens with
the last state whose commit returned, or with the one that was being committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from traceprop.attribution.store.folder.files import FileEntry, StoreFolder
from traceprop.attribution.store.folder.folder_state import FolderState
from traceprop.attribution.store.folder.formats import ID
from traceprop.attribution.store.folder.layout import (
    LINEAGE,
    RECORD,
    cut_strays,
    free_numbers,
    run_folder,
)
from traceprop.attribution.store.folder.manifest import Manifest, RunPart, ShardEntry
from traceprop.attribution.store.folder.settings import Settings
from traceprop.attribution.store.provenance.sample_rows import (
    MergedOrigin,
    locate_used,
    merge_origins,
    write_sample_rows,
)
from traceprop.attribution.store.provenance.stored_source import describe_source
from traceprop.attribution.store.rows.shard_files import moved_ids, write_rows
from traceprop.attribution.store.run.checkpoint_weights import save_checkpoints
from traceprop.attribution.store.run.placing import Place
from traceprop.attribution.store.run.record import save_record
from traceprop.attribution.store.run.run import Run

if TYPE_CHECKING:
    from traceprop.lineage import ProvenanceTensor


def now() -> str:
    """Return the time as manifests have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def publish(folder: StoreFolder, before: FolderState, manifest: Manifest) -> Manifest:
    """Make a manifest the one that counts; `cut_strays` then removes what it doesn't name.

    Parameters
    ----------
    folder : StoreFolder
        Its writer's lock is held; all new files are written.
    before : FolderState
        What was there when the lock was taken.
    manifest : Manifest
        Its parent and time are set here.
    """
    parent = before.manifest and before.sha256 and (before.manifest.number, before.sha256)
    manifest = replace(manifest, parent=parent or None, created=now())
    content = manifest.encode()
    folder.sync_folders()
    folder.publish(manifest.name, content)
    return manifest


@contextmanager
def restoring(folder: StoreFolder, before: FolderState) -> Iterator[None]:
    """Remove what the body wrote where it fails.

    What comes after a manifest was published must not be in the body: it can't be taken back.
    """
    try:
        yield
    except BaseException:
        # A damaged manifest is left for whoever can mend it, and with it what it names.
        if not before.damaged:
            cut_strays(folder, before.manifest)
        raise


def commit_run(
    folder: StoreFolder,
    before: FolderState,
    settings: Settings,
    run: Run,
    place: Place,
    others: Sequence[ShardEntry] = (),
) -> Manifest:
    """Write a run as a part of the store's new state.

    Parameters
    ----------
    folder : StoreFolder
        Its writer's lock is held.
    before : FolderState
        What was there when the lock was taken.
    settings : Settings
    run : Run
        Checked.
    place : Place
        Where among the store's parts and samples it goes.
    others : sequence of ShardEntry
        What the other ranks of the run wrote already.

    Raises
    ------
    DataError
        A row isn't finite, or its format can't hold it.
    OSError
        The system refused a write; the store is as it was.
    """
    with restoring(folder, before):
        written = _written(folder, before, settings, run, place, others)
        manifest = publish(folder, before, written)
    cut_strays(folder, manifest)
    return manifest


def _written(
    folder: StoreFolder,
    before: FolderState,
    settings: Settings,
    run: Run,
    place: Place,
    others: Sequence[ShardEntry],
) -> Manifest:
    number, shard = free_numbers(folder.root, before.numbers)
    shards = (
        *(
            write_rows(folder, 0, shard + i, rows, place.first_sample, settings.dtype)
            for i, rows in enumerate(run.rows)
        ),
        *(moved_ids(folder, shard, place.first_sample) for shard in others),
    )
    files, sources, steps = _data_files(folder, run_folder(number), run, place)
    part = RunPart(
        run=run_folder(number),
        data=run_folder(number) if place.data is None else place.data,
        created=now(),
        first_sample=place.first_sample,
        steps=steps,
        sources=sources,
        shards=shards,
        files=files,
    )
    kept = place.parts
    return Manifest(
        number=number,
        parent=None,
        created="",
        k=settings.k,
        dtype=settings.dtype,
        seed=settings.seed,
        width=run.projector.width,
        projector=run.projector.to_json(),
        parts=(*kept, part),
        repeats=place.repeats or len(run.rows) > 1 or _repeats(folder, shards),
        erasures=before.manifest.erasures if before.manifest else 0,
        holds=before.manifest.holds if before.manifest else (),
    )


def _data_files(
    folder: StoreFolder, below: str, run: Run, place: Place
) -> tuple[tuple[FileEntry, ...], tuple[dict[str, Any], ...], tuple[str, ...]]:
    """Write a run's record and provenance; of data that the store has, the record alone."""
    record = f"{below}/{RECORD}"
    if place.data is not None:
        of_run = save_record(folder, record, run.record, data=False)
        return (*of_run, *save_checkpoints(folder, record, run.checkpoints)), (), ()
    origins = _origins(run.tensors)
    used = [locate_used(origin) for origin in origins]
    sources = tuple(
        describe_source(origin.source, located="line" in table)
        for origin, table in zip(origins, used, strict=True)
    )
    files = (
        *(write_sample_rows(folder, below, origins, used) if origins else ()),
        *_save_lineage(folder, below, run.tensors),
        *save_record(folder, record, run.record),
        *save_checkpoints(folder, record, run.checkpoints),
    )
    return files, sources, tuple(str(step) for step in run.tensors[0].ops()) if run.tensors else ()


def _repeats(folder: StoreFolder, shards: Sequence[ShardEntry]) -> bool:
    """Tell whether several shards have rows of the same sample."""
    if len(shards) == 1:
        return False
    ids = np.concatenate(
        [np.fromfile(folder.locate(s.sample_ids.path), ID, count=s.rows) for s in shards]
    )
    return bool(len(np.unique(ids)) < len(ids))


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
