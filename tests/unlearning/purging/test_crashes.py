"""A crash between any two steps: nothing was begun, or the next run goes on to the end.

The process is killed by making every call that changes the disk fail from the n-th on, so that no
clean-up can run either, as after kill -9.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unlearning.purging.conftest import Run
from traceprop.attribution import GradientStore
from traceprop.attribution.model_files import load_weights
from traceprop.audit import recording
from traceprop.audit.log_check import check_log
from traceprop.audit.log_files import LogFiles
from traceprop.curvature.digest import model_digest
from traceprop.errors import LegalHoldError, StoreError, StoreWarning, UnlearnError
from traceprop.files import write_file
from traceprop.unlearning import approximate_unlearn, finish_purges, purge, record, removal
from traceprop.unlearning.purging import copies
from traceprop.unlearning.purging.journal import begun

CALLS = ("replace", "rename", "unlink", "rmdir", "mkdir", "link", "fsync", "truncate")
NAMED = ("epoch.pt", "lineage.arrow", "prepare.arrow", "export.csv")


class Killed(BaseException):
    """Nobody catches it by mistake."""


def _killed(*_: Any, **__: Any) -> None:
    raise Killed


class Killer:
    """Kills at the n-th change of the disk."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int) -> None:
        self.calls, self.at = 0, at
        for name in CALLS:
            patch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, call: Any) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls > self.at:
                raise Killed
            return call(*args, **kwargs)

        return counted


def _purge(run: Run) -> Any:
    return approximate_unlearn(
        run.model, run.forget_set, purge=True, checkpoints=[run.folder / name for name in NAMED]
    )


def _copied(run: Run, to: Path) -> Run:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(run.folder, to)
    return Run(to, run.model, GradientStore.open(to / "grad"))


def _kill_and_go_on(run: Run, to: Path, at: int, rows: np.ndarray, after: str) -> str | None:
    """Kill a purge at a step, go on, check all; say how it stood, None where it ended before."""
    own = _copied(run, to)
    before = {name: (own.folder / name).read_bytes() for name in NAMED}
    recording._LOGS.clear()
    with pytest.MonkeyPatch.context() as patch:
        killer = Killer(patch, at)
        with contextlib.suppress(Killed):
            _purge(own)
    recording._LOGS.clear()
    waits = begun(own.store.path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        GradientStore.open(own.store.path)
    said = [str(each.message) for each in caught if "a purge was" in str(each.message)]
    copied = list(own.folder.glob("grad.audit/removals/*/*rows.npz*"))
    assert len(said) == bool(waits or copied), "the next opening says so"
    assert ("a purge was begun" in "".join(said)) == waits
    finished = finish_purges(own.store.path)
    assert len(finished) == waits
    assert not begun(own.store.path)
    assert finish_purges(own.store.path) == []
    store = GradientStore.open(own.store.path)
    assert store.verify().ok
    there = {name: (own.folder / name).exists() for name in NAMED}
    copies = [
        path
        for path in own.folder.rglob("*")
        if path.is_file() and path.suffix != ".csv"
        and any(bytes(row) in path.read_bytes() for row in rows)
    ]  # fmt: skip
    if store.n_samples == 60:
        assert {name: (own.folder / name).read_bytes() for name in NAMED} == before
        assert not list(own.folder.glob("grad.audit/removals/*/*rows.npz*"))
        assert all(path.is_relative_to(store.path) for path in copies)
        return "nothing begun"
    assert there == {"epoch.pt": False, "lineage.arrow": False, "prepare.arrow": True,
                     "export.csv": False}  # fmt: skip
    assert (own.folder / "prepare.arrow").read_bytes() != before["prepare.arrow"]
    assert copies == []
    (folder,) = (p for p in (own.folder / "grad.audit" / "removals").iterdir() if p.is_dir())
    assert model_digest(load_weights(folder / "weights.npz")) == after
    done = removal.RemovalRecord.read(folder / "record.json")
    did = {Path(each["path"]).name: each["done"] for each in done.purge["files"]}
    assert did == {name: "rewritten" if there[name] else "deleted" for name in NAMED}
    if finished:
        assert finished[0].clean
        assert finished[0].to_dict() == done.purge
    assert done.purge["clean"]
    assert check_log(store.path)
    if killer.calls <= at:
        return None
    return "finished" if waits else "done"


def _every(run: Run, tmp_path: Path, step: int) -> set[str]:
    """Kill at every so many steps, until a purge ends first: how many it takes can vary by one."""
    rows = np.array(run.store.record.inputs[run.forget_set.samples])
    after = record(_purge(_copied(run, tmp_path / "whole"))).digest_after
    stood = set()
    for at in itertools.count(0, step):
        how = _kill_and_go_on(run, tmp_path / "copy", at, rows, after)
        if how is None:
            break
        stood.add(how)
    return stood


@pytest.mark.filterwarnings("ignore::traceprop.errors.AuditWarning")
def test_a_crash_between_steps_leaves_nothing_begun_or_is_gone_on_with(run: Run, tmp_path: Path):
    assert {"nothing begun", "finished"} <= _every(run, tmp_path, step=5)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::traceprop.errors.AuditWarning")
def test_a_crash_between_any_two_steps(run: Run, tmp_path: Path):
    assert {"nothing begun", "finished"} <= _every(run, tmp_path, step=1)


def _write_anew(path: Path) -> None:
    path.write_bytes(b"new")


def _move_and_link(path: Path) -> None:
    path.symlink_to(path.rename(path.with_name("elsewhere.pt")))


def _move_and_make_folder(path: Path) -> None:
    path.rename(path.with_name("elsewhere.pt"))
    path.mkdir()


@pytest.mark.parametrize(
    ("meanwhile", "done", "reason", "clean"),
    [
        (_write_anew, "kept", "changed since it was named", True),
        (_move_and_link, "kept", "no file took its place", False),
        (_move_and_make_folder, "kept", "no file took its place", False),
        (lambda path: os.link(path, path.with_name("elsewhere.pt")), "kept", "a hard link", True),
        (lambda path: path.rename(path.with_name("elsewhere.pt")), "missing", "not there", True),
    ],
)
def test_a_file_that_is_another_when_the_purge_comes_is_left_alone_and_said(
    run: Run, meanwhile: Callable[[Path], Any], done: str, reason: str, clean: bool
):
    """Others work on while a purge waits to be gone on with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copies, "carry_out", _killed)
        with pytest.raises(Killed):
            _purge(run)
    epoch, elsewhere = run.folder / "epoch.pt", run.folder / "elsewhere.pt"
    content = epoch.read_bytes()
    meanwhile(epoch)
    entry = os.lstat(epoch) if os.path.lexists(epoch) else None
    (found,) = finish_purges(run.store)
    states = {Path(each.path).name: each for each in found.files}
    assert (states["epoch.pt"].done, states["lineage.arrow"].done) == (done, "deleted")
    assert reason in states["epoch.pt"].reason
    assert found.clean is clean
    assert {item.what: item.state for item in found.left()}[str(epoch)] != "erased"
    if entry is not None:
        assert os.path.samestat(os.lstat(epoch), entry)
    if meanwhile is not _write_anew:
        assert elsewhere.read_bytes() == content
    assert not begun(run.store.path)


def test_a_file_that_was_deleted_before_the_crash_is_no_missing_one(run: Run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copies, "proof_of", _killed)
        with pytest.raises(Killed):
            _purge(run)
    assert not (run.folder / "epoch.pt").exists()
    (found,) = finish_purges(run.store)
    assert [each.done for each in found.files] == ["deleted", "deleted", "rewritten", "deleted"]


def test_a_file_that_is_moved_as_it_is_deleted_is_not_called_deleted(run: Run):
    """Between the reading and the removal: the bytes that were read live on elsewhere."""
    epoch, elsewhere = run.folder / "epoch.pt", run.folder / "elsewhere.pt"
    unlink = os.unlink

    def moved_first(path: Any, **kwargs: Any) -> None:
        if Path(path) == epoch and not elsewhere.exists():
            epoch.rename(elsewhere)
            epoch.write_bytes(b"another")
        unlink(path, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "unlink", moved_first)
        done = record(_purge(run)).purge
    assert {Path(each["path"]).name: each["done"] for each in done["files"]}[
        "epoch.pt"
    ] == "missing"
    assert elsewhere.exists()


def test_what_a_crash_before_the_beginning_left_is_told_and_removed(run: Run):
    from traceprop.unlearning.purging import journal

    def stopped(path: Path, *rest: Any, **named: Any) -> None:
        if path.name == "journal.json":
            raise Killed
        write_file(path, *rest, **named)

    new = approximate_unlearn(run.model, run.forget_set)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "write_file", stopped)
        patch.setattr(shutil, "rmtree", _killed)
        with pytest.raises(Killed):
            purge(new, run.forget_set)
    (left,) = run.folder.glob("grad.audit/removals/*/rows.npz")
    with pytest.warns(StoreWarning, match="copies of the rows' bytes were left in"):
        GradientStore.open(run.store.path)
    assert finish_purges(run.store.path) == []
    assert not left.exists()
    assert record(_purge(run)).purge["clean"]


def test_the_rows_are_searched_for_beside_the_store_too(run: Run):
    rows = np.array(run.store.record.inputs[run.forget_set.samples])
    stray = run.folder / "grad.audit" / "notes.bin"
    new = approximate_unlearn(run.model, run.forget_set)
    stray.write_bytes(b"by hand: " + rows.tobytes())
    proof = purge(new, run.forget_set)
    assert not proof.clean
    assert any("notes.bin" in place for place in proof.found_in_files)


def test_a_hold_after_the_crash_keeps_what_is_left(run: Run):
    """The store's part was done; the named files, and the journal, wait for the release."""
    new = approximate_unlearn(run.model, run.forget_set)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copies, "carry_out", _killed)
        with pytest.raises(Killed):
            purge(new, run.forget_set, checkpoints=[run.folder / "epoch.pt"])
    with pytest.warns(StoreWarning, match="a purge was begun"):
        held = GradientStore.open(run.store.path)
    held.hold("court order")
    with pytest.raises(LegalHoldError, match="court order"):
        finish_purges(held)
    assert (run.folder / "epoch.pt").exists()
    assert begun(run.store.path)
    held.release_hold("court order")
    (found,) = finish_purges(held)
    assert found.clean
    assert not (run.folder / "epoch.pt").exists()


def test_a_hold_from_elsewhere_is_seen_before_anything_is_begun(run: Run):
    new, forget_set = approximate_unlearn(run.model, run.forget_set), run.forget_set
    elsewhere = GradientStore.open(run.store.path)
    elsewhere.hold("court order")
    with pytest.raises(LegalHoldError, match="court order"):
        purge(new, forget_set)
    assert not begun(run.store.path)
    elsewhere.release_hold("court order")
    with pytest.raises(StoreError, match="has changed since it was opened"):
        purge(new, forget_set)
    assert not begun(run.store.path)
    assert not list(run.folder.glob("grad.audit/removals/*/rows.npz"))


def test_two_purges_at_once_are_refused(run: Run):
    from traceprop.unlearning.purging.journal import purging

    new = approximate_unlearn(run.model, run.forget_set)
    before = run.files()
    with (
        purging(run.store.path),
        pytest.raises(UnlearnError, match=r"another purge .* is going on"),
    ):
        purge(new, run.forget_set)
    assert run.files() == before
    assert LogFiles(run.store.path).log.exists()
