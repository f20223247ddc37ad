"""Erasure of samples from a store: hidden at once, then rewritten without them, then looked for.

First a manifest with their numbers is published: from then on no answer has them. Then everything
that holds them is written anew without them, and a manifest of the new files is published; the old
files are removed, and their folders synced. Then every file is searched for the samples' bytes.
Promises: whenever a crash comes, the erasure either did not begin or is finished when the store is
next opened where it can be written; numbers of other samples stay what they were.

Of each sample goes: its rows of gradients and its number in every shard and every batch (-1 stands
there); its input and label (their places are filled with zeros); its source rows, and their lines,
in the row maps. Dropped whole: the lineage (hashes of all source rows, keys and parameters of
queries, masks and constants), of which the SHA-256 is kept; the weights of checkpoints; all derived
files. Kept: the weights before and after the training, of which the latter were trained with the
samples, and the digests of the sources, which name no row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.changing.rewriting import Advance, write_shards_again
from traceprop.attribution.store.committing.commit import publish, restoring
from traceprop.attribution.store.erasure.erased_parts import drop_from_part, names_samples
from traceprop.attribution.store.erasure.holds import refuse_held
from traceprop.attribution.store.erasure.scanning import (
    Needles,
    Scan,
    needles_of,
    scan,
    shared_rows,
)
from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.folder.folder_state import FolderState, inspect_folder
from traceprop.attribution.store.folder.layout import (
    LINEAGE,
    RECORD,
    cut_strays,
    free_numbers,
    strays,
)
from traceprop.attribution.store.folder.manifest import Manifest, RunPart
from traceprop.attribution.store.run.checkpoint_weights import is_of_checkpoints
from traceprop.errors import UnlearnError

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore

PROOF_LIMITS = (
    "It covers the files that it names, as they were read back after the erasure. It does not "
    "cover copies elsewhere, the rows in other forms than the store's (as text, compressed, as "
    "numbers of another width, column by column), snapshots of the file system, blocks that the "
    "disk has not written over yet, or what a model that was trained with the samples remembers."
)


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure did, or would do.

    Parameters
    ----------
    path : Path
        The store.
    samples, rows : int
        How many samples, and rows of gradients.
    dry_run : bool
        Whether nothing was done.
    rewritten : tuple of str
        Files that were written anew without the samples.
    dropped : tuple of str
        Files that were removed whole, since all of them rests on the samples.
    kept : tuple of str
        Files that were left as they are, each with the reason.
    scan : Scan or None
        What was read back; None in a dry run.
    limits : str
        What the proof doesn't cover.
    """

    path: Path
    samples: int
    rows: int
    dry_run: bool
    rewritten: tuple[str, ...]
    dropped: tuple[str, ...]
    kept: tuple[str, ...]
    scan: Scan | None = None
    limits: str = PROOF_LIMITS

    @property
    def clean(self) -> bool:
        """Whether every file was searched and no byte of the samples found."""
        return self.scan is not None and not self.scan.found

    def __str__(self) -> str:
        done = "would be erased from" if self.dry_run else "erased from"
        lines = [f"{self.samples} samples ({self.rows} rows) {done} {self.path}."]
        lines += [f"rewritten  {name}" for name in self.rewritten]
        lines += [f"dropped    {name}" for name in self.dropped]
        lines += [f"kept       {name}" for name in self.kept]
        return "\n".join([*lines, *([] if self.scan is None else [str(self.scan)]), self.limits])


def plan_erasure(folder: StoreFolder, manifest: Manifest, samples: NDArray[np.int64]) -> Erasure:
    """Say what erasing samples would do.

    Raises
    ------
    UnlearnError
        There are none, one has no row in the store, or no other sample would be left.
    """
    if not len(samples):
        raise UnlearnError("an empty forget set: there is nothing to erase")
    stored = _stored_ids(folder, manifest)
    strange = np.setdiff1d(samples, stored)
    if len(strange):
        raise UnlearnError(
            f"sample {strange[0]} has no row in {folder.root}; it was never trained on, or is "
            f"erased already"
        )
    if len(np.setdiff1d(stored, samples)) == 0:
        raise UnlearnError(
            f"these are all samples of {folder.root}; remove the folder, there is nothing to keep"
        )
    rewritten, dropped, kept = [], [], []
    for part in manifest.parts:
        for entry in part.entries():
            name = entry.path.removeprefix(f"{part.run}/")
            if name.startswith(LINEAGE):
                dropped.append(f"{entry.path}: hashes, keys, constants and positions of rows")
            elif is_of_checkpoints(part, entry.path):
                dropped.append(f"{entry.path}: of models that were trained with the samples")
            elif name.endswith("weights.npy"):
                kept.append(f"{entry.path}: weights of the model that was trained with the samples")
            elif name == f"{RECORD}/record.json":
                kept.append(f"{entry.path}: settings of the run, no sample's")
            else:
                rewritten.append(entry.path)
    dropped += [f"{each.entry.path}: computed from all rows" for each in manifest.derived]
    rows = int(np.isin(stored, samples).sum())
    return Erasure(
        folder.root,
        len(samples),
        rows,
        dry_run=True,
        rewritten=tuple(rewritten),
        dropped=tuple(dropped),
        kept=tuple(kept),
    )


def erase(
    folder: StoreFolder,
    before: FolderState,
    samples: NDArray[np.int64],
    advance: Advance = lambda rows: None,
) -> tuple[Manifest, Erasure]:
    """Erase samples.

    Parameters
    ----------
    folder : StoreFolder
        Its writer's lock is held.
    before : FolderState
        Holds a run.
    samples : ndarray of int64
        Sorted, each once.
    advance : callable
        Told the rows that were read, block by block.

    Raises
    ------
    UnlearnError
        As `plan_erasure`; nothing has changed.
    LegalHoldError
        The store is held; nothing has changed.
    StoreError
        A file is damaged: the samples are hidden, and the erasure waits for the file.
    OSError
        The system refused. Where that was after the samples were hidden, the next opening goes on.
    """
    manifest = before.manifest
    assert manifest is not None
    plan = plan_erasure(folder, manifest, samples)
    refuse_held(folder, manifest)
    needles = needles_of(folder, manifest, samples)
    number, _ = free_numbers(folder.root, before.numbers)
    hidden = replace(manifest, number=number, erasing=_spans(samples), derived=())
    with restoring(folder, before):
        publish(folder, before, hidden)
    after = finish_erasure(folder, inspect_folder(folder), advance)
    return after, replace(plan, dry_run=False, scan=scan(folder, after, needles, samples))


def is_unfinished(folder: StoreFolder, manifest: Manifest) -> bool:
    """Tell whether an erasure was begun that a crash kept from its end."""
    return bool(manifest.erasing or (manifest.erasures and strays(folder.root, manifest)))


def finish_erasure(
    folder: StoreFolder, before: FolderState, advance: Advance = lambda rows: None
) -> Manifest:
    """Write the store anew without the samples that are hidden, and remove the old files for good.

    Parameters
    ----------
    folder : StoreFolder
        Its writer's lock is held.
    before : FolderState
    advance : callable
        As in `erase`.
    """
    manifest = before.manifest
    assert manifest is not None
    if manifest.erasing:
        with restoring(folder, before):
            manifest = publish(folder, before, _without_hidden(folder, before, advance))
    cut_strays(folder, manifest)
    folder.sync_removals()
    return manifest


def _without_hidden(folder: StoreFolder, before: FolderState, advance: Advance) -> Manifest:
    """Write all parts again and return the manifest that names them."""
    manifest = before.manifest
    assert manifest is not None
    number, shard = free_numbers(folder.root, before.numbers)
    gone = np.concatenate([np.arange(*span) for span in manifest.erasing])
    renamed: dict[str, str] = {}
    parts: list[RunPart] = []
    for part in manifest.parts:
        shards = []
        for entry in part.shards:
            new = write_shards_again(folder, manifest, [entry], shard, advance)
            shards += [] if new is None else [new]
            shard += 1
        rewritten = replace(part, data=renamed.get(part.data, part.data))
        if names_samples(part):
            renamed[part.run] = run = f"run-{number}"
            rewritten = drop_from_part(folder, part, run, renamed[part.data], gone)
            number += 1
        parts.append(replace(rewritten, shards=tuple(shards)))
    return replace(
        manifest,
        number=number,
        parts=tuple(parts),
        erasing=(),
        derived=(),
        erasures=manifest.erasures + 1,
    )


def begun_facts(
    plan: Erasure, samples: NDArray[np.int64], asked: Mapping[str, str | None]
) -> dict[str, Any]:
    """Say for the audit log, before a byte changes, what is going to be erased."""
    from traceprop.curvature.digest import model_digest

    return {
        "state": "begun",
        "n_samples": plan.samples,
        "n_rows": plan.rows,
        "samples_sha256": model_digest({"samples": samples}),
        **asked,
    }


def done_facts(erasure: Erasure) -> dict[str, Any]:
    """Say for the audit log how an erasure ended."""
    assert erasure.scan is not None
    return {
        "state": "done",
        "clean": erasure.clean,
        "n_samples": erasure.samples,
        "n_files": len(erasure.scan.files),
        "n_bytes": sum(size for _, size in erasure.scan.files),
    }


def bytes_of(store: GradientStore, samples: NDArray[np.int64]) -> list[Needles]:
    """Return the bytes of samples as a store holds them, to look for them after the erasure."""
    return needles_of(store._folder, store._held().manifest, np.unique(samples))


def look_again(
    store: GradientStore, needles: list[Needles], samples: NDArray[np.int64]
) -> tuple[Scan, list[NDArray[np.bool_]]]:
    """Search a store's files for samples, and say whose bytes samples that stay have as well.

    Parameters
    ----------
    store : GradientStore
        As it is after the erasure.
    needles : list of Needles
        What `bytes_of` gave before it.
    samples : ndarray of int64

    Returns
    -------
    scan : Scan
    shared : list of ndarray of bool
        For each of the needles' byte strings, whether a sample that stays has the same.
    """
    folder, manifest = store._folder, store._held().manifest
    found = scan(folder, manifest, needles, samples)
    return found, [shared_rows(folder, manifest, each) for each in needles]


def _stored_ids(folder: StoreFolder, manifest: Manifest) -> NDArray[np.int64]:
    from traceprop.attribution.store.rows.shards import open_shards

    return np.concatenate([shard.sample_ids for shard in open_shards(folder, manifest)])


def _spans(samples: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """Return sorted numbers as ranges."""
    breaks = np.flatnonzero(np.diff(samples) > 1) + 1
    starts, stops = samples[np.r_[0, breaks]], samples[np.r_[breaks - 1, len(samples) - 1]] + 1
    return tuple(zip(starts.tolist(), stops.tolist(), strict=True))
