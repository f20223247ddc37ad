"""Compaction: the shards of a part as one, and rows that ranks have of one sample as their sum.

Promises: the rows that the store answers with are the same, to the bit unless rows are added up;
the shards are checked before they are copied; a crash leaves the store as it was, or compacted.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from traceprop.attribution.store.changing.rewriting import Advance, write_shards_again
from traceprop.attribution.store.committing.commit import publish, restoring
from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.folder.folder_state import FolderState
from traceprop.attribution.store.folder.layout import cut_strays, free_numbers
from traceprop.attribution.store.folder.manifest import Manifest, RunPart, ShardEntry


def needs_compaction(manifest: Manifest) -> bool:
    """Tell whether a part has several shards of one checkpoint."""
    return any(len(shards) > 1 for part in manifest.parts for shards in _by_checkpoint(part))


def compact(folder: StoreFolder, before: FolderState, advance: Advance) -> Manifest:
    """Compact a store.

    Parameters
    ----------
    folder : StoreFolder
        Its writer's lock is held.
    before : FolderState
        Holds a run.
    advance : callable
        Told the rows that were read, block by block.

    Raises
    ------
    StoreError
        A shard is damaged.
    OSError
        The system refused; the store is as it was.
    """
    manifest = before.manifest
    assert manifest is not None
    if not needs_compaction(manifest):
        return manifest
    with restoring(folder, before):
        number, shard = free_numbers(folder.root, before.numbers)
        parts = []
        for part in manifest.parts:
            written = []
            for entries in _by_checkpoint(part):
                if len(entries) == 1:
                    written += entries
                    continue
                merged = write_shards_again(folder, manifest, entries, shard, advance)
                written += [] if merged is None else [merged]
                shard += 1
            parts.append(replace(part, shards=tuple(written)))
        repeats = manifest.repeats and sum(len(part.shards) for part in parts) > 1
        new = replace(manifest, number=number, parts=tuple(parts), derived=(), repeats=repeats)
        compacted = publish(folder, before, new)
    cut_strays(folder, compacted)
    return compacted


def _by_checkpoint(part: RunPart) -> list[list[ShardEntry]]:
    def key(shard: ShardEntry) -> int:
        return -1 if shard.checkpoint is None else shard.checkpoint

    return [list(shards) for _, shards in groupby(sorted(part.shards, key=key), key)]
