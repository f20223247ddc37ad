"""What changes a gradient store that holds a run: derived files, erasure, holds, compaction.

Promises: a change is all there or not at all, and is refused where the store isn't any more what
this object opened, or is held; an erasure or a hold is in the audit log before a byte changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from traceprop.attribution.store.changing.compaction import compact
from traceprop.attribution.store.committed import CommittedRun
from traceprop.attribution.store.committing.derived import add_derived
from traceprop.attribution.store.erasure.erasure import (
    Erasure,
    begun_facts,
    done_facts,
    erase,
    plan_erasure,
)
from traceprop.attribution.store.erasure.forget import ForgetSet
from traceprop.attribution.store.erasure.holds import check_reason, refuse_held, with_holds
from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.folder.folder_state import FolderState
from traceprop.attribution.store.questions import Questions
from traceprop.attribution.store.writing import Writer
from traceprop.audit.recording import record
from traceprop.errors import StoreError, UnlearnError

if TYPE_CHECKING:
    from traceprop.attribution.store.folder.settings import Settings


class Changes(Questions):
    """The part of `GradientStore` that changes what is there; recording a run is the store's own.

    Parameters
    ----------
    folder : StoreFolder
    run : CommittedRun or None
        What the folder held when it was opened.
    settings : Settings
    writer : Writer
        Has the lock while something changes.
    """

    def __init__(
        self, folder: StoreFolder, run: CommittedRun | None, settings: Settings, writer: Writer
    ) -> None:
        super().__init__(folder, run, settings)
        self._writer = writer

    def put_derived(
        self, name: str, parts: Iterable[bytes | memoryview], about: dict[str, Any]
    ) -> None:
        """Keep a file that was computed from this store's rows, until they change.

        Parameters
        ----------
        name : str
            Lower-case letters, digits, `_`, `.` and `-`; one of that name is replaced.
        parts : iterable of bytes
            The content.
        about : dict
            JSON values that `derived` gives back.

        Raises
        ------
        StoreError
            The store has changed since it was opened, or can't be written.
        """
        with self._changing() as before:
            manifest = add_derived(self._folder, before, name, parts, about)
        self._run = CommittedRun(self._folder, manifest)

    def compact(self, advance: Callable[[int], None] = lambda rows: None) -> None:
        """Write the shards of each part as one, and add up rows that ranks have of one sample.

        Parameters
        ----------
        advance : callable
            Told how many rows were read, block by block.

        Raises
        ------
        StoreError
            A shard is damaged, ranks have factors of the same sample, which can't be added, the
            store has changed since it was opened, or it can't be written.
        """
        with self._changing() as before:
            manifest = compact(self._folder, before, advance)
        self._run = CommittedRun(self._folder, manifest)

    def erase(
        self,
        forget_set: ForgetSet,
        *,
        dry_run: bool = False,
        requester: str | None = None,
        approver: str | None = None,
        advance: Callable[[int], None] = lambda rows: None,
    ) -> Erasure:
        """Remove samples from the store's files, for good, and search the files for their bytes.

        Their numbers are not given to others. Stores that are open elsewhere go on with the old
        files until they are closed.

        Parameters
        ----------
        forget_set : ForgetSet
            Samples of this store.
        dry_run : bool
            Whether to say only what would be done.
        requester, approver : str, optional
            Who asked for it and who approved it, for the audit log.
        advance : callable
            Told how many rows were read, block by block.

        Returns
        -------
        Erasure
            What was rewritten, dropped and kept, and the files that were searched.

        Raises
        ------
        UnlearnError
            The forget set is empty, of another store, names a sample that isn't there, or all.
        LegalHoldError
            The store is held (`hold`); nothing has changed.
        AuditError
            The audit log can't be written; nothing has changed.
        StoreError
            A file is damaged, the store has changed since it was opened, or can't be written.

        Examples
        --------
        >>> forget_set = store.samples_from_source("credit_scores.csv", rows=[4821])
        ... # doctest: +SKIP
        >>> store.erase(forget_set).clean  # doctest: +SKIP
        True
        """
        held = self._held()
        if forget_set.store.path.resolve() != self.path.resolve():
            raise UnlearnError(
                f"the forget set is of {forget_set.store.path}, not of {self.path}; make it with "
                f"samples_from_source of the store that is erased from"
            )
        samples = np.unique(np.asarray(forget_set.samples, np.int64))
        if dry_run:
            return plan_erasure(self._folder, held.manifest, samples)
        with self._changing() as before:
            plan = plan_erasure(self._folder, held.manifest, samples)
            refuse_held(self._folder, held.manifest)
            asked = {"requester": requester, "approver": approver}
            record(self.path, "erasure", begun_facts(plan, samples, asked))
            manifest, erasure = erase(self._folder, before, samples, advance)
        self._run = CommittedRun(self._folder, manifest)
        record(self.path, "erasure", done_facts(erasure))
        return erasure

    def hold(self, reason: str, *, by: str | None = None) -> None:
        """Place a legal hold: nothing is erased or written over until it is released.

        Runs can still be added, and questions asked. A second hold stands beside the first.

        Parameters
        ----------
        reason : str
            One line of text, which names the hold.
        by : str, optional
            Who places it, for the audit log.

        Raises
        ------
        UnlearnError
            There is no reason, or there is a hold by that reason.
        StoreError
            The store has changed since it was opened, or can't be written.

        Examples
        --------
        >>> store.hold("Smith v. Bank, notice of 2026-11-02")  # doctest: +SKIP
        """
        if check_reason(reason) in self.holds:
            raise UnlearnError(f"{self.path} is held already: {reason}")
        self._hold_anew((*self.holds, reason), {"state": "placed", "reason": reason, "by": by})

    def release_hold(self, reason: str, *, by: str | None = None) -> None:
        """Release a legal hold; others stay.

        Parameters
        ----------
        reason : str
            The reason that it was placed by.
        by : str, optional
            Who releases it, for the audit log.

        Raises
        ------
        UnlearnError
            There is no hold by that reason; those that there are, are named.
        StoreError
            The store has changed since it was opened, or can't be written.
        """
        if reason not in self.holds:
            raise UnlearnError(
                f"{self.path} has no hold {reason!r}; its holds: {'; '.join(self.holds) or 'none'}"
            )
        left = tuple(each for each in self.holds if each != reason)
        self._hold_anew(left, {"state": "released", "reason": reason, "by": by})

    def _hold_anew(self, holds: tuple[str, ...], facts: dict[str, Any]) -> None:
        with self._changing() as before:
            record(self.path, "hold", facts)
            self._run = CommittedRun(self._folder, with_holds(self._folder, before, holds))

    @contextmanager
    def _changing(self) -> Iterator[FolderState]:
        """Hold the lock for a change of the state that this object has open."""
        opened = self._held().manifest
        with self._writer.changing() as before:
            if before.manifest is None or before.manifest.number != opened.number:
                raise StoreError(f"{self.path} has changed since it was opened: open it again.")
            yield before
