"""Rows computed again, in the place of those that a store holds: of the same samples, in one pass.

Promise: record, provenance and every other file stay as they are; a crash leaves the old rows, or
the new ones.
"""

from __future__ import annotations

from dataclasses import replace

from traceprop.attribution.store.committing.commit import publish, restoring
from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.folder.folder_state import FolderState
from traceprop.attribution.store.folder.layout import cut_strays, free_numbers
from traceprop.attribution.store.folder.manifest import Manifest
from traceprop.attribution.store.rows.row_source import RowSource
from traceprop.attribution.store.rows.shard_files import write_rows
from traceprop.errors import StoreError


def check_replaceable(folder: StoreFolder, manifest: Manifest) -> None:
    """Raise `StoreError` for a store of several runs: whose rows would be replaced isn't clear."""
    if len(manifest.parts) > 1:
        raise StoreError(
            f"{folder.root} holds {len(manifest.parts)} runs, whose rows can't be computed again "
            f"as one: record into a store of its own, and refresh that."
        )


def replace_rows(folder: StoreFolder, before: FolderState, rows: RowSource) -> Manifest:
    """Write rows in the place of all that a store holds.

    Parameters
    ----------
    folder : StoreFolder
        Its writer's lock is held.
    before : FolderState
        Holds one run.
    rows : RowSource
        The new rows, of the store's projection.

    Raises
    ------
    StoreError
        The store holds several runs.
    DataError
        A row isn't finite.
    OSError
        The system refused; the store is as it was.
    """
    manifest = before.manifest
    assert manifest is not None
    check_replaceable(folder, manifest)
    (part,) = manifest.parts
    with restoring(folder, before):
        number, shard = free_numbers(folder.root, before.numbers)
        # Their samples are the store's own, which a part's numbers are counted from.
        written = write_rows(folder, 0, shard, rows, 0, manifest.dtype)
        parts = (replace(part, shards=(written,)),)
        new = replace(manifest, number=number, parts=parts, derived=(), repeats=False)
        replaced = publish(folder, before, new)
    cut_strays(folder, replaced)
    return replaced
