"""Which of the manifests in a folder counts.

Promises: the newest whole manifest whose files are all there is the store; newer ones that are
damaged are named; a derived file that is gone takes only itself away; a folder that holds something
else than a store is refused.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace

from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.folder.lock import LOCK_NAME, is_lock
from traceprop.attribution.store.folder.manifest import Manifest
from traceprop.attribution.store.folder.ordinary import is_ordinary, read_ordinary
from traceprop.errors import StoreError

MANIFEST_NAME = re.compile(r"manifest-(0|[1-9]\d{0,17})\.json")


@dataclass(frozen=True, slots=True)
class FolderState:
    """What is in a folder, as far as a store is concerned.

    Parameters
    ----------
    manifest : Manifest or None
        The newest whole one, less the derived files that are lost.
    sha256 : str or None
        The digest of its bytes, for the next one's `parent`.
    damaged : tuple of str
        What is wrong with each newer one.
    numbers : tuple of int
        The numbers of all manifests there, newest first.
    lost : tuple of str
        Derived files that are missing or cut short: they are computed again when asked for.
    """

    manifest: Manifest | None
    sha256: str | None
    damaged: tuple[str, ...]
    numbers: tuple[int, ...]
    lost: tuple[str, ...] = ()


def inspect_folder(folder: StoreFolder) -> FolderState:
    """Find the manifest that counts.

    Raises
    ------
    StoreError
        The folder holds other things than a store, or a store of another schema.
    """
    _check_is_store(folder)
    while True:
        numbers = _numbers(folder)
        found = _newest_whole(folder, numbers)
        # A writer that replaced the store in between removed what was listed: look again.
        whole = found.manifest is not None and not found.lost
        if whole or _numbers(folder) == numbers:
            return found


def _newest_whole(folder: StoreFolder, numbers: tuple[int, ...]) -> FolderState:
    damaged: list[str] = []
    for number in numbers:
        name = f"manifest-{number}.json"
        try:
            path = folder.locate(name)
            if not is_ordinary(path):
                raise ValueError("it is no ordinary file")
            content = read_ordinary(path)
            manifest = Manifest.decode(content)
        except FileNotFoundError:
            continue
        except ValueError as error:
            damaged.append(f"{name} is damaged: {error}")
            continue
        of_parts = (entry for part in manifest.parts for entry in part.entries())
        short = [entry.path for entry in of_parts if folder.missing_bytes(entry)]
        if manifest.number != number:
            damaged.append(f"{name} was renamed: it is number {manifest.number}")
        elif short:
            damaged.append(f"{name} names {short[0]}, which is missing or cut short")
        else:
            digest = hashlib.sha256(content).hexdigest()
            lost = [each for each in manifest.derived if folder.missing_bytes(each.entry)]
            whole = tuple(each for each in manifest.derived if each not in lost)
            manifest = replace(manifest, derived=whole)
            paths = tuple(each.entry.path for each in lost)
            return FolderState(manifest, digest, tuple(damaged), numbers, paths)
    return FolderState(None, None, tuple(damaged), numbers)


def _numbers(folder: StoreFolder) -> tuple[int, ...]:
    if not folder.root.exists():
        return ()
    names = (MANIFEST_NAME.fullmatch(path.name) for path in folder.root.iterdir())
    return tuple(sorted((int(match[1]) for match in names if match), reverse=True))


def _check_is_store(folder: StoreFolder) -> None:
    """Refuse a path where something else than a store is."""
    root = folder.root
    if not root.exists():
        return
    if not root.is_dir():
        raise StoreError(f"{root} is a file, not a store's folder. Give another path=.")
    if not any(root.iterdir()) or _numbers(folder) or is_lock(root / LOCK_NAME):
        return
    raise StoreError(
        f"{root} is not a gradient store: it holds other files and no manifest. "
        f"Give the folder of a store, or a new one."
    )
