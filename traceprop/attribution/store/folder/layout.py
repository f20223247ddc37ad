"""Where things lie in a store's folder, and what is left there by mistake.

    lock                       the writer's lock, which marks the folder as a store
    manifest-<n>.json          what counts
    shards/<rank>-<i>.bin      rows; beside it `.ids`, and for int8 `.scales`
    run-<n>/                   one part's own: record/, lineage, and its samples' source rows
    derived/<n>-<name>         files computed from rows
    writing/<rank>.rows        rows of a run that is being recorded
    ranks/<session>/           what the ranks of one run hand to rank 0

Promise: only names of this table are ever removed, and none behind a link.
"""

from __future__ import annotations

import re
from pathlib import Path

from traceprop.attribution.store.folder.files import TEMPORARY_SUFFIX, StoreFolder
from traceprop.attribution.store.folder.folder_state import MANIFEST_NAME
from traceprop.attribution.store.folder.manifest import Manifest

SHARDS = "shards"
RECORD = "record"
LINEAGE = "lineage"
DERIVED = "derived"
WRITING = "writing"
RANKS = "ranks"
_RUN_NAME = re.compile(r"run-(\d+)")
_SHARD_NAME = re.compile(r"(\d+)-(\d+)\.(bin|ids|scales)")
_DERIVED_NAME = re.compile(r"(\d+)-[\w.-]+")
_SCRATCH_NAME = re.compile(r"(\d+)(-\d+)?\.(rows|inputs|targets)")
_SESSION_NAME = re.compile(r"[0-9a-f]{16}")
_FOLDERS = {
    SHARDS: _SHARD_NAME, DERIVED: _DERIVED_NAME, WRITING: _SCRATCH_NAME, RANKS: _SESSION_NAME,
}  # fmt: skip


def sessions(root: Path) -> list[Path]:
    """Return the folders in which ranks hand over their rows: one, or none."""
    return children(root, RANKS, _SESSION_NAME)


def run_folder(number: int) -> str:
    """Return the folder of the part that manifest `number` brings."""
    return f"run-{number}"


def strays(root: Path, kept: Manifest | None) -> list[Path]:
    """Return what an interrupted writer, or the state before this one, left behind.

    Parameters
    ----------
    root : Path
        The store's folder.
    kept : Manifest or None
        The one that counts.
    """
    found = []
    for path in sorted(root.iterdir()):
        is_manifest = MANIFEST_NAME.fullmatch(path.name.removesuffix(TEMPORARY_SUFFIX))
        if is_manifest and not (kept and path.name == kept.name):
            found.append(path)
    known = {root / entry.path for entry in kept.entries()} if kept else set()
    for run in children(root, "", _RUN_NAME):
        inside = [path for path in known if path.is_relative_to(run)]
        found += _unknown(run, known) if inside else [run]
    for folder, pattern in _FOLDERS.items():
        found += [path for path in children(root, folder, pattern) if path not in known]
    return found


def cut_strays(folder: StoreFolder, kept: Manifest | None) -> list[Path]:
    """Remove all strays and torn tails; return what was removed.

    Only names that a store gives to its own files are touched. Nothing here needs a sync: what a
    power cut brings back is cut again by the next writer.
    """
    removed = strays(folder.root, kept)
    for path in removed:
        folder.remove(path)
    for entry in kept.entries() if kept else ():
        if folder.locate(entry.path).stat().st_size > entry.size:
            folder.truncate(entry.path, entry.size)
    return removed


def free_numbers(root: Path, numbers: tuple[int, ...]) -> tuple[int, int]:
    """Return numbers that no manifest or run, and no shard, has yet."""
    runs, shards = (
        [int(match[group]) for path in children(root, below, pattern)
         if (match := pattern.fullmatch(path.name))]
        for below, pattern, group in (("", _RUN_NAME, 1), (SHARDS, _SHARD_NAME, 2))
    )  # fmt: skip
    return 1 + max((*numbers, *runs), default=0), 1 + max(shards, default=-1)


def children(root: Path, below: str, pattern: re.Pattern[str]) -> list[Path]:
    """Return what in a folder of a store, or in its own, is called so; nothing where it isn't."""
    path = root / below
    # A link could lead out of the store, to files of others that would be removed.
    if not path.is_dir() or (below and path.is_symlink()):
        return []
    return sorted(child for child in path.iterdir() if pattern.fullmatch(child.name))


def _unknown(folder: Path, known: set[Path]) -> list[Path]:
    """Return the files below a run's folder that no manifest names."""
    files = (path for path in sorted(folder.rglob("*")) if not path.is_dir() or path.is_symlink())
    return [path for path in files if path not in known]
