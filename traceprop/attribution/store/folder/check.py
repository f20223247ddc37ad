"""Every byte of a store held against its checksums.

Promise: a flipped byte anywhere in what was committed, a file that is gone and a torn tail are
each reported by name; nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from traceprop.attribution.store.folder.files import CHUNK_BYTES, FileEntry, StoreFolder
from traceprop.attribution.store.folder.folder_state import inspect_folder
from traceprop.attribution.store.folder.layout import strays
from traceprop.attribution.store.folder.manifest import Manifest

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check of a store found.

    Parameters
    ----------
    path : Path
        The store.
    files, size : int
        How many files and bytes were read.
    problems : tuple of str
        What is damaged or missing; empty where all is well.
    notes : tuple of str
        What is harmless: bytes behind the last commit, which the next writer cuts off.
    """

    path: Path
    files: int
    size: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that was committed is as it was written."""
        return not self.problems

    def __str__(self) -> str:
        read = f"{self.path}: {self.files} files, {self.size} bytes"
        if self.ok:
            return "\n".join([f"{read}, all as they were written.", *self.notes])
        return "\n".join([f"{read}: DAMAGED.", *self.problems, *self.notes])


def verify_store(
    folder: StoreFolder, advance: Callable[[int], None] = lambda size: None
) -> Verification:
    """Check a store.

    Parameters
    ----------
    folder : StoreFolder
    advance : callable
        Told how many bytes were read, file by file.

    Raises
    ------
    StoreError
        The folder is not a store, or one of another schema.
    OSError
        A file can't be read.
    """
    found = inspect_folder(folder)
    manifest = found.manifest
    problems, notes = list(found.damaged), []
    if manifest is None:
        none = "No whole run is left." if problems else "No run was committed."
        return Verification(folder.root, 0, 0, tuple(problems), (none,))
    for entry in manifest.entries():
        problems += _damage(folder, manifest, entry)
        advance(entry.size)
        tail = folder.locate(entry.path).stat().st_size - entry.size
        if tail > 0:
            notes.append(f"{entry.path} has {tail} bytes behind the last commit.")
    problems += [
        f"{path} is missing or cut short; it is computed again from the rows when asked for."
        for path in found.lost
    ]
    lost = {folder.root / path for path in found.lost}
    left = [path for path in strays(folder.root, manifest) if path not in lost]
    if left:
        names = ", ".join(path.relative_to(folder.root).as_posix() for path in left[:_SHOWN])
        notes.append(
            f"{len(left)} files are left of a writer that stopped, or of one at work ({names}"
            f"{', …' if len(left) > _SHOWN else ''}). The next writer removes them."
        )
    if manifest.erasing:
        notes.append(
            "An erasure is not finished: no answer has the samples, but files still do. It goes on "
            "when GradientStore.open opens the store where it can be written."
        )
    size = sum(entry.size for entry in manifest.entries())
    return Verification(folder.root, len(manifest.entries()), size, tuple(problems), tuple(notes))


def _damage(folder: StoreFolder, manifest: Manifest, entry: FileEntry) -> list[str]:
    problems = []
    for chunk in folder.damaged_chunks(entry):
        start, stop = chunk * CHUNK_BYTES, min((chunk + 1) * CHUNK_BYTES, entry.size)
        rows = _rows(manifest, entry, start, stop)
        problems.append(f"{entry.path} is damaged in bytes {start} to {stop - 1}{rows}.")
    return problems


def _rows(manifest: Manifest, entry: FileEntry, start: int, stop: int) -> str:
    for shard in manifest.shards:
        if entry in shard.entries():
            per_row = entry.size // shard.rows
            return f" (rows {start // per_row} to {(stop - 1) // per_row})"
    return ""
