"""Files computed from a store's rows: preconditioners, whitenings, 1-bit codes, fitted estimators.

Each is named in the manifest with the shards that it was computed from. Promises: it is all there
or not at all; whatever changes the rows (another run, compaction, erasure) drops it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from traceprop.attribution.store.committing.commit import publish, restoring
from traceprop.attribution.store.folder.files import Bytes, StoreFolder
from traceprop.attribution.store.folder.folder_state import FolderState
from traceprop.attribution.store.folder.layout import DERIVED, cut_strays, free_numbers
from traceprop.attribution.store.folder.manifest import DerivedFile, Manifest
from traceprop.errors import StoreError

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Derived:
    """A derived file.

    Parameters
    ----------
    path : Path
        The file.
    size : int
        Its bytes.
    about : dict
        What its maker noted.
    """

    path: Path
    size: int
    about: dict[str, Any]


def find_derived(folder: StoreFolder, manifest: Manifest, name: str) -> Derived | None:
    """Return a derived file by name; None where there is none of these rows any more."""
    for each in manifest.derived:
        if each.name == name and not manifest.erasing:
            path = folder.locate(each.entry.path)
            # Gone where another process has put its own in its place since the store was opened.
            return Derived(path, each.entry.size, each.about) if path.exists() else None
    return None


def add_derived(
    folder: StoreFolder,
    before: FolderState,
    name: str,
    parts: Iterable[Bytes],
    about: dict[str, Any],
) -> Manifest:
    """Write a derived file in the place of one of its name.

    Parameters
    ----------
    folder : StoreFolder
        Its writer's lock is held.
    before : FolderState
        Holds the rows that the file was computed from.
    name : str
        Lower-case letters, digits, `_`, `.` and `-`.
    parts : iterable of bytes
        The content.
    about : dict
        JSON values.
    """
    if not _NAME.fullmatch(name):
        raise StoreError(f"{name!r} can't name a file: use lower-case letters, digits, _ . and -.")
    manifest = before.manifest
    assert manifest is not None
    with restoring(folder, before):
        number, _ = free_numbers(folder.root, before.numbers)
        entry = folder.write(f"{DERIVED}/{number}-{name}", parts)
        origin = tuple(shard.gradients.path for shard in manifest.shards)
        others = tuple(each for each in manifest.derived if each.name != name)
        new = DerivedFile(name, entry, origin, about)
        after = replace(manifest, number=number, derived=(*others, new))
        after = publish(folder, before, after)
    cut_strays(folder, after)
    return after
