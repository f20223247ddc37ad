"""The right to change a store, from `prepare` to `close`, and what is done with it.

Promises: a store that can't be written is refused before training, not after; one that is damaged
or holds a run is never written over unasked; whatever fails, the lock is given back.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Literal

from traceprop.attribution.store.committing.commit import commit_run
from traceprop.attribution.store.committing.ranks import (
    Rank,
    deliver,
    drop_session,
    gathered,
    join_session,
    open_session,
)
from traceprop.attribution.store.erasure.erasure import finish_erasure, is_unfinished
from traceprop.attribution.store.erasure.holds import refuse_held
from traceprop.attribution.store.folder.files import StoreFolder, reporting_os_errors
from traceprop.attribution.store.folder.folder_state import FolderState, inspect_folder
from traceprop.attribution.store.folder.layout import WRITING, cut_strays
from traceprop.attribution.store.folder.lock import LOCK_CONTENT, LOCK_NAME, WriterLock, is_held
from traceprop.attribution.store.folder.manifest import Manifest, ShardEntry
from traceprop.attribution.store.folder.settings import Settings
from traceprop.attribution.store.rows.rows_file import RowSink
from traceprop.attribution.store.run.placing import Place, place_for
from traceprop.attribution.store.run.run import Run
from traceprop.errors import StoreError, StoreWarning

Mode = Literal["new", "append", "overwrite"]


class Writer:
    """A store's writer.

    Parameters
    ----------
    folder : StoreFolder
    mode : {"new", "append", "overwrite"}
        What happens to runs that are there.
    rank : Rank
        Rank 0 holds the lock and commits; the others hand it their rows.
    """

    def __init__(self, folder: StoreFolder, mode: Mode, rank: Rank) -> None:
        self.mode: Mode = mode
        self._folder = folder
        self._lock: WriterLock | None = None
        self._sinks: list[RowSink] = []
        self._rank = rank
        self._session: str | None = None
        # The folder's lock keeps other objects out; this one keeps this object's threads apart.
        self._turn = RLock()

    @property
    def world_size(self) -> int:
        """How many ranks there are."""
        return self._rank.world_size

    def prepare(self) -> None:
        """Make the folder and take its lock; a second call does nothing.

        Raises
        ------
        StoreError
            The store already holds a run, another writer has it, or it can't be written.
        """
        with self._turn:
            self._prepare()

    def _prepare(self) -> None:
        if self._lock is not None or self._session is not None:
            return
        if self._rank.number:
            self._session = join_session(self._folder)
            return
        self._refuse(self._state())  # what came there since must not get our files mixed in
        root = self._folder.root
        with reporting_os_errors(root, "Writing"):
            self._folder.create(LOCK_NAME, LOCK_CONTENT)
            lock = WriterLock(root)
            try:
                before = self._state()
                self._refuse(before)
                if not before.damaged:
                    cut_strays(self._folder, before.manifest)
                if self._rank.world_size > 1:
                    self._session = open_session(self._folder)
            except BaseException:
                lock.release()
                raise
        self._lock = lock

    def sink(self, width: int, checkpoint: int | None) -> RowSink:
        """Return a new place for rows in the store's folder."""
        name = "" if checkpoint is None else f"-{checkpoint}"
        with self._turn, reporting_os_errors(self._folder.root, "Writing"):
            self._prepare()
            path = self._folder.make_scratch(WRITING) / f"{self._rank.number}{name}.rows"
            sink = RowSink(path, width, checkpoint)
            self._sinks.append(sink)
        return sink

    def commit(self, settings: Settings, run: Run) -> Manifest:
        """Write a run, all of it or nothing, and give the lock back."""
        run.check(settings)
        with self._turn:
            self._prepare()
            return self._committed(settings, run)

    def _committed(self, settings: Settings, run: Run) -> Manifest:
        try:
            with reporting_os_errors(self._folder.root, "Writing"):
                if self._session is None:
                    return self._commit(settings, run, ())
                if self._rank.number:
                    return deliver(self._folder, self._session, self._rank, settings, run)
                handed = gathered(self._folder, self._state(), self._session, self._rank, run)
                with handed as (whole, shards):
                    return self._commit(settings, whole, shards)
        finally:
            self.close()

    def _commit(self, settings: Settings, run: Run, others: tuple[ShardEntry, ...]) -> Manifest:
        before = self._state()
        kept = before.manifest if self.mode == "append" else None
        place = place_for(self._folder, kept, run) if kept else Place()
        return commit_run(self._folder, before, settings, run, place, others)

    def close(self) -> None:
        """Give the lock back, if it is held, and drop what was gathered."""
        with self._turn:
            if self._session is not None and self._rank.number == 0:
                drop_session(self._folder)
            self._session = None
            while self._sinks:
                self._sinks.pop().close()
                self._folder.drop_scratch(WRITING)
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def finished(self, found: FolderState) -> FolderState:
        """Finish an erasure that a crash interrupted, where this process may write.

        Where it may not, the samples stay hidden, and their bytes in the files: a `StoreWarning`
        says so.
        """
        manifest = found.manifest
        if manifest is None or found.damaged or not is_unfinished(self._folder, manifest):
            return found
        if not manifest.erasing and is_held(self._folder.root):
            return found  # the files are those of a writer at work, which began by cutting strays
        try:
            with self.changing() as now:
                finish_erasure(self._folder, now)
        except StoreError as refused:
            warnings.warn(
                f"{self._folder.root}: an erasure is not finished, and can't be here ({refused}). "
                f"No answer has the samples, but files still do: open it where it can be written.",
                StoreWarning,
                stacklevel=4,
            )
        return self._state()

    @contextmanager
    def changing(self) -> Iterator[FolderState]:
        """Hold the lock of a store that holds a run, for a change of its files.

        Raises
        ------
        StoreError
            The store is damaged, another writer has it, or it can't be written.
        """
        root = self._folder.root
        with self._turn, reporting_os_errors(root, "Writing"):
            held = self._lock
            lock = held or WriterLock(root)
            try:
                found = self._state()
                self._refuse_damage(found)
                cut_strays(self._folder, found.manifest)
                yield found
            finally:
                if held is None:
                    lock.release()

    def _state(self) -> FolderState:
        with reporting_os_errors(self._folder.root, "Reading"):
            return inspect_folder(self._folder)

    def _refuse(self, found: FolderState) -> None:
        if found.manifest is not None and self.mode == "new":
            raise StoreError(
                f"{self._folder.root} already holds a run of {found.manifest.rows} samples. Open "
                f"it to query, give another path=, add to it with GradientStore(path=…, "
                f"append=True), or replace it with GradientStore(path=…, overwrite=True)."
            )
        if self.mode != "overwrite":
            self._refuse_damage(found)
        elif found.manifest is not None:
            refuse_held(self._folder, found.manifest)

    def _refuse_damage(self, found: FolderState) -> None:
        if found.damaged:
            raise StoreError(
                f"{self._folder.root} is damaged: {'; '.join(found.damaged)}. Give another path=, "
                f"or replace it with overwrite=True."
            )
