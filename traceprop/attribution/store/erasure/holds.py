"""Legal holds: a store that says why nothing may be erased from it.

Promise: a hold is on the disk when `placed` returns, and lasts through every other change of the
store until it is released by its own reason.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from traceprop.attribution.store.committing.commit import publish, restoring
from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.folder.folder_state import FolderState, inspect_folder
from traceprop.attribution.store.folder.layout import cut_strays, free_numbers
from traceprop.attribution.store.folder.manifest import Manifest
from traceprop.audit.folder import audit_folder
from traceprop.errors import LegalHoldError, StoreError, StoreWarning, UnlearnError

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore


def warn_of_purge(root: Path) -> None:
    """Warn where a purge of a store and named files left copies of the rows, or work to do.

    The store's own part is finished whenever it is opened; the named files wait.
    """
    removals = audit_folder(root) / "removals"
    if any(removals.glob("*/journal.json")):
        said = (
            "a purge was begun and isn't done, or is going on. If it isn't, finish it with "
            "traceprop.unlearning.finish_purges({0!r}): named files, and copies of the rows' bytes "
            "in {1}, wait for that."
        )
    elif any(removals.glob("*/*rows.npz*")):  # or the temporary file of one
        said = (
            "a purge was stopped before it began, or is beginning. If it isn't, copies of the "
            "rows' bytes were left in {1}; remove them with "
            "traceprop.unlearning.finish_purges({0!r})."
        )
    else:
        return
    warnings.warn(f"{root}: {said.format(str(root), removals)}", StoreWarning, stacklevel=4)


def holds_now(store: GradientStore) -> tuple[str, ...]:
    """Return a store's holds as they are on the disk, whoever placed them since it was opened."""
    manifest = inspect_folder(store._folder).manifest
    return () if manifest is None else manifest.holds


def refuse_changed(store: GradientStore) -> None:
    """Raise `StoreError` where a store isn't any more what was opened."""
    manifest = inspect_folder(store._folder).manifest
    if manifest is None or manifest.number != store._held().manifest.number:
        raise StoreError(f"{store.path} has changed since it was opened: open it again.")


def check_reason(reason: object) -> str:
    """Return a reason; `UnlearnError` where it is no line of text."""
    if not isinstance(reason, str) or not reason.strip() or not reason.isprintable():
        raise UnlearnError(f"a legal hold needs a reason, one line of text, and got {reason!r}")
    return reason


def refuse_held(folder: StoreFolder, manifest: Manifest) -> None:
    """Raise `LegalHoldError` where a store is held."""
    if manifest.holds:
        raise LegalHoldError(
            f"{folder.root} is held, so nothing of it is erased or written over: "
            f"{'; '.join(manifest.holds)}. Once the hold is lifted, release it with "
            f"store.release_hold(reason) or `traceprop store release`."
        )


def with_holds(folder: StoreFolder, before: FolderState, holds: tuple[str, ...]) -> Manifest:
    """Publish the state of a store again with other holds.

    Parameters
    ----------
    folder : StoreFolder
        Its writer's lock is held.
    before : FolderState
        Holds a run.
    holds : tuple of str
    """
    manifest = before.manifest
    assert manifest is not None
    with restoring(folder, before):
        number, _ = free_numbers(folder.root, before.numbers)
        after = publish(folder, before, replace(manifest, number=number, holds=holds))
    cut_strays(folder, after)
    return after
