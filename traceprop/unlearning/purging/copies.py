"""`purge`: after a removal, no copy of the rows is left in the store and in named files.

Order: all checks; then the new weights, the record and the rows' bytes beside the store, and last a
journal; then the store is erased, then the named files, one by one; then everything is searched,
the proof goes into the record and the audit log, and the journal goes. Promise: a crash before the
journal is there leaves all as it was; after it, `finish_purges` and every later purge of the store
go on where it stopped, and the proof says that they did.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from traceprop.attribution.store.erasure.erasure import bytes_of
from traceprop.attribution.store.erasure.forget import ForgetSet
from traceprop.attribution.store.erasure.holds import refuse_changed
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.audit.folder import audit_folder
from traceprop.audit.recording import record as write_down
from traceprop.errors import StoreWarning, UnlearnError
from traceprop.unlearning.purging.carrying_out import carry_out
from traceprop.unlearning.purging.held import refuse_held_removal
from traceprop.unlearning.purging.journal import Journal, purging, unfinished
from traceprop.unlearning.purging.named_files import NamedFile, named_files
from traceprop.unlearning.purging.proof import Purge, proof_of
from traceprop.unlearning.purging.results import PREPARATION, RECORD, write_results
from traceprop.unlearning.records.removal_record import (
    RemovalRecord,
    attach,
    pipeline_of_model,
    record,
)

if TYPE_CHECKING:
    from traceprop.attribution.store.erasure.erasure import Erasure

PathLike = str | os.PathLike[str]
Advance = Callable[[str, int, int], None]


def purge(
    model: Any,
    forget_set: ForgetSet,
    *,
    checkpoints: Iterable[PathLike] = (),
    keep: Mapping[PathLike, str] | None = None,
    legal_hold: str | None = None,
    requester: str | None = None,
    approver: str | None = None,
    advance: Advance = lambda what, done, of: None,
) -> Purge:
    """Erase the rows of a finished removal from the store and from named files.

    `approximate_unlearn(..., purge=True)` does this as its last step. Apart, it leaves time for
    `audit`, which needs the rows.

    Parameters
    ----------
    model : torch.nn.Module or scikit-learn estimator
        What `approximate_unlearn` returned. Its weights and record are written beside the store,
        to `Purge.folder`, before anything is erased: they can't be computed again afterwards.
    forget_set : ForgetSet
        What it removed.
    checkpoints : iterable of path-like
        Files of before: weights, optimizer states, saved lineages, records, exports are deleted; a
        saved pipeline is replaced with the new one where the removal made one, and kept otherwise.
    keep : mapping of path-like to str
        Files that stay, each with the reason; they are searched, and listed as left.
    legal_hold : str, optional
        A hold that stands against the removal: nothing is done.
    requester, approver : str, optional
        Who asked for it, and who approved it; by default as for the removal.
    advance : callable
        Told what is being done, how much of it is done, and how much there is.

    Returns
    -------
    Purge
        What was done to each file, and what was searched. The model's record has it, too.

    Raises
    ------
    LegalHoldError
        The store, or this removal, is held; nothing was changed.
    UnlearnError
        The model has no record of a removal, or of another; a file can't be purged; another purge
        is going on. Nothing was changed, unless the message says that the purge goes on later.
    StoreError
        A file of the store is damaged, or the store can't be written.

    Examples
    --------
    >>> purge(theta_prime, forget_set, checkpoints=["epoch-9.pt"]).clean  # doctest: +SKIP
    True
    """
    done = record(model)
    requester, approver = requester or done.requester, approver or done.approver
    done = replace(done, requester=requester, approver=approver)
    refuse_held_removal(forget_set, legal_hold, erases=True, requester=requester, approver=approver)
    _check_same_removal(forget_set, done)
    store = forget_set.store
    checked = check_purge(
        forget_set, checkpoints, keep or {}, new_pipeline=pipeline_of_model(model) is not None
    )
    with purging(store.path):
        if unfinished(store.path):
            raise UnlearnError(
                f"another purge of {store.path} was begun and isn't done; finish it with "
                f"traceprop.unlearning.finish_purges(store), and open the store again"
            )
        refuse_changed(store)  # else a hold that was just placed would leave a purge half begun
        journal = Journal.begin(
            store.path,
            _plan(forget_set, checked, requester, approver),
            bytes_of(store, np.asarray(forget_set.samples, np.int64)),
            lambda folder: write_results(folder, model, done, forget_set),
        )
        found, proven = _go_on(store, journal, resumed=False, advance=advance)
    attach(model, proven, pipeline_of_model(model))
    return found


def finish_purges(
    store: GradientStore | PathLike, *, advance: Advance = lambda what, done, of: None
) -> list[Purge]:
    """Finish the purges of a store that a crash interrupted.

    Parameters
    ----------
    store : GradientStore or path-like
        The store; one that is open must be opened again afterwards.
    advance : callable
        As in `purge`.

    Returns
    -------
    list of Purge
        What was finished; what the removal made is in the `folder` of each (`weights.npz`,
        `record.json`): `finished_removal` reads it, to certify it.

    Raises
    ------
    UnlearnError
        A purge is going on, or a file can't be purged.
    LegalHoldError
        A hold was placed since it began: the rest waits until it is released.
    StoreError
        The store can't be opened or written.

    Examples
    --------
    >>> finish_purges("./grad/")  # doctest: +SKIP
    []
    """
    path = store.path if isinstance(store, GradientStore) else Path(store)
    if not (audit_folder(path) / "removals").is_dir():
        return []
    with purging(path):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*a purge was (begun|stopped)", StoreWarning)
            opened = GradientStore.open(path)  # which finishes the store's own part
        return [
            _go_on(opened, journal, resumed=True, advance=advance)[0]
            for journal in unfinished(path)
        ]


def check_purge(
    forget_set: ForgetSet,
    checkpoints: Iterable[PathLike],
    keep: Mapping[PathLike, str],
    *,
    new_pipeline: bool,
) -> tuple[Erasure, tuple[NamedFile, ...]]:
    """Check everything that a purge needs, without changing anything.

    Raises
    ------
    UnlearnError
        As `purge`.
    """
    store = forget_set.store
    planned = store.erase(forget_set, dry_run=True)
    beside = {
        store.path.resolve(): "a part of the store, which is purged by itself",
        audit_folder(store.path).resolve(): "evidence beside the store",
    }
    for source in store.sources:
        # A source's uri may be an address; as a path it then names nothing that is there.
        beside[Path(source.uri).resolve()] = "a source, which Traceprop never changes"
    return planned, named_files(checkpoints, keep, new_pipeline=new_pipeline, beside=beside)


def _check_same_removal(forget_set: ForgetSet, done: RemovalRecord) -> None:
    if np.unique(forget_set.samples).tolist() != list(done.samples):
        raise UnlearnError(
            f"the forget set ({len(forget_set)} samples) is not what was removed from this model "
            f"({done.n_forget} samples); give the one that approximate_unlearn was called with"
        )
    recorded = forget_set.store.record
    if recorded is None or recorded.model_digest != done.digest_before:
        raise UnlearnError(
            f"{forget_set.store.path} is not the store of the model that the rows were removed "
            f"from; give the forget set of that store"
        )


def _plan(
    forget_set: ForgetSet,
    checked: tuple[Erasure, tuple[NamedFile, ...]],
    requester: str | None,
    approver: str | None,
) -> dict[str, Any]:
    planned, files = checked
    return {
        "about": "A purge that has begun. It names the samples; it goes when the purge is done.",
        "samples": [int(sample) for sample in np.unique(forget_set.samples)],
        "n_rows": planned.rows,
        "rewritten": list(planned.rewritten),
        "dropped": list(planned.dropped),
        "kept": list(planned.kept),
        "files": [each.to_dict() for each in files],
        "requester": requester,
        "approver": approver,
    }


def _go_on(
    store: GradientStore, journal: Journal, *, resumed: bool, advance: Advance
) -> tuple[Purge, RemovalRecord]:
    """Do what is left of a purge; return it, and the record of the removal with it."""
    if journal.is_proven:  # a crash kept the journal alone from its end
        done = RemovalRecord.read(journal.folder / RECORD)
        assert done.purge is not None
        journal.end()
        return Purge.from_dict(done.purge, journal.folder), done
    plan, needles = journal.plan, journal.needles()
    samples = np.array(plan["samples"], np.int64)
    if resumed:  # a hold that came after the crash stands against the named files, too
        who = {name: plan[name] for name in ("requester", "approver")}
        refuse_held_removal(ForgetSet(samples, {}, store), None, erases=True, **who)
    stored = np.intersect1d(samples, store.sample_ids)
    if len(stored):
        rows, n_rows = 0, store._held().manifest.rows

        def tell(count: int) -> None:
            nonlocal rows
            rows += count
            advance("erasing", rows, n_rows)

        store.erase(
            ForgetSet(stored, {}, store),
            requester=plan["requester"],
            approver=plan["approver"],
            advance=tell,
        )
    files = []
    named = [each["path"] for each in plan["files"]]
    for i, each in enumerate(plan["files"]):
        pipeline = journal.folder / PREPARATION
        files.append(carry_out(NamedFile(**each), named, pipeline, journal.deleting(i)))
        advance("files", i + 1, len(named))
    advance("searching", 0, 1)
    beside = journal.beside()
    found = proof_of(store, plan, files, needles, beside, journal.folder, resumed=resumed)
    advance("searching", 1, 1)
    done = RemovalRecord.read(journal.folder / RECORD)
    about_left = tuple(
        replace(item, note="It is where it was, but for the files that are listed here.")
        if item.kind == "model_before"
        else item
        for item in done.left
        if item.kind not in ("gradient_store", "named_file")
    )
    proven = replace(done, purge=found.to_dict(), left=(*found.left(), *about_left))
    proven.save(journal.folder / RECORD)
    write_down(store.path, "erasure", _facts(found, journal))
    journal.end()
    return found, proven


def _facts(found: Purge, journal: Journal) -> dict[str, Any]:
    """Say for the audit log what a purge did, and by whose word."""
    return {
        "state": "purged",
        "purge": journal.folder.name,  # a crash after the entry leads to a second search and entry
        "clean": found.clean,
        "resumed": found.resumed,
        "n_samples": found.n_samples,
        "files": [[each.path, each.done] for each in found.files],
        "requester": journal.plan["requester"],
        "approver": journal.plan["approver"],
    }
