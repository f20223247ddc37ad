"""Full disks, folders without rights and damaged files: a clear error, and nothing else changes."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.attribution.store.runs import WIDTH, commit, make_record, mark_of
from traceprop.attribution.projection import Block, Projector
from traceprop.attribution.store.folder.lock import LOCK_NAME
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.cli.stores import store_commands
from traceprop.errors import StoreError, StoreWarning


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "grad"


@pytest.fixture
def stored(path: Path) -> GradientStore:
    store = GradientStore(k=8, path=path)
    commit(store, mark=3)
    return store


# ---- a disk that refuses ---------------------------------------------------------------------


def test_a_place_that_cannot_be_written_fails_before_training():
    with pytest.raises(StoreError, match=r"Writing /proc/grad failed"):
        GradientStore(path="/proc/grad").prepare()


def _commit_with_little_room(path: Path, room: int) -> None:
    """Commit where no file may grow beyond `room` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        commit(GradientStore(k=8, path=path, overwrite=True), mark=8, n=5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [1000, 50_000, 119_000])
def test_a_full_disk_is_said_and_changes_nothing(path: Path, stored: GradientStore, room: int):
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name != LOCK_NAME}
    with pytest.raises(StoreError, match=r"Writing .* failed: .*Nothing that was committed"):
        _commit_with_little_room(path, room)
    after = {p: p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name != LOCK_NAME}
    assert before == after
    commit(GradientStore(k=8, path=path, overwrite=True), mark=8)


def test_a_disk_that_fills_while_a_run_is_recorded_is_said(path: Path):
    """A map of blocks that aren't there would kill the process with SIGBUS."""
    store = GradientStore(k=8, path=path)
    sink = store.row_sink(WIDTH)
    sink.add(np.arange(10), np.ones((10, WIDTH), np.float32))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, hard))
    try:
        with pytest.raises(StoreError, match=r"Writing .*0\.rows failed: File too large"):
            sink.add(np.arange(10, 100_010), np.ones((100_000, WIDTH), np.float32))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sink.sample_ids.tolist() == list(range(10))
    store.close()
    assert not (path / "writing").exists()


def test_a_folder_without_rights_is_read_and_not_written(path: Path, stored: GradientStore):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    path.chmod(0o500)
    try:
        assert mark_of(GradientStore.open(path)) == 3
        with pytest.raises(StoreError, match=r"Writing .* failed: Permission denied"):
            commit(GradientStore(k=8, path=path, overwrite=True))
    finally:
        path.chmod(0o700)


# ---- damage ----------------------------------------------------------------------------------


def test_every_file_is_verified(path: Path, stored: GradientStore):
    report = stored.verify()
    assert report.ok
    assert report.files == 7
    assert "all as they were written" in str(report)
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        if file.name == LOCK_NAME or file.name.startswith("manifest"):
            continue
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        report = stored.verify()
        assert not report.ok
        assert file.relative_to(path).as_posix() in str(report)
        file.write_bytes(whole)
    assert stored.verify().ok


def test_damaged_rows_are_named(path: Path):
    n, k = 3000, 1024  # three chunks of checksums
    store = GradientStore(k=k, path=path)
    projector = Projector((Block("weight", (k,)),), k=k)
    store.commit(np.ones((n, k), np.float32), np.arange(n), projector, make_record(n), None)
    with (path / "shards" / "0-0.bin").open("r+b") as file:
        file.seek(1500 * 4 * k)
        file.write(b"\xff")
    (problem,) = store.verify().problems
    assert problem == ("shards/0-0.bin is damaged in bytes 4194304 to 8388607 (rows 1024 to 2047).")


def test_a_lost_shard_is_said_at_opening(path: Path, stored: GradientStore):
    (path / "shards" / "0-0.bin").unlink()
    with pytest.raises(StoreError, match=r"holds no whole run: .*shards/0-0.bin, which is missing"):
        GradientStore(path=path)
    with pytest.raises(StoreError, match=r"Reading .* failed"):
        _ = stored.gradients


@pytest.mark.parametrize("content", [None, b"cod"])
def test_a_lost_derived_file_takes_only_itself_away(
    path: Path, stored: GradientStore, content: bytes | None
):
    stored.put_derived("codes", [b"codes"], {})
    stored.put_derived("moment", [b"moment"], {})
    lost = stored.derived("codes").path
    lost.unlink()
    if content is not None:
        lost.write_bytes(content)
    with pytest.warns(StoreWarning, match=f"without derived/{lost.name}, missing or cut short"):
        store = GradientStore.open(path)
    assert mark_of(store) == 3
    assert store.derived("codes") is None
    assert store.derived("moment").path.read_bytes() == b"moment"
    report = store.verify()
    assert len(report.problems) == 1
    assert f"{lost.name} is missing or cut short; it is computed again" in report.problems[0]
    assert report.notes == ()
    store.put_derived("codes", [b"codes"], {})
    assert GradientStore.open(path).derived("codes").path.read_bytes() == b"codes"
    assert store.verify().ok
    assert len(list((path / "derived").iterdir())) == 2


def test_the_command_line_verifies_what_it_cannot_read(path: Path, stored: GradientStore):
    """The record's own error says to run it."""
    (path / "run-1" / "record" / "record.json").write_bytes(
        (path / "run-1" / "record" / "record.json").read_bytes().replace(b"{", b"[", 1)
    )
    run = CliRunner().invoke(store_commands, ["verify", str(path)])
    assert run.exit_code == 1
    assert "run-1/record/record.json is damaged in bytes 0 to" in run.output


# ---- what a hostile folder would do ----------------------------------------------------------


@pytest.mark.parametrize("below", ["shards", "derived", "writing", "ranks"])
def test_files_behind_a_link_are_no_strays(path: Path, tmp_path: Path, below: str):
    commit(GradientStore(k=8, path=path), mark=3)
    outside = tmp_path / "outside"
    outside.mkdir()
    names = ("2024-report.pdf", "7-7.bin", "0.rows", "0123456789abcdef")
    for name in names:
        (outside / name).write_text("of others")
    if below == "shards":
        commit(GradientStore(k=8, path=path, overwrite=True), mark=4)
        (path / "shards").rename(path / "kept")
    (path / below).symlink_to(outside)
    with contextlib.suppress(StoreError):
        commit(GradientStore(k=8, path=path, overwrite=True), mark=5)
    assert sorted(p.name for p in outside.iterdir()) == sorted(names)


def test_a_lock_that_is_a_link_is_not_written_through(path: Path, stored: GradientStore, tmp_path):
    outside = tmp_path / "notes.txt"
    outside.write_text("a" * 100)
    (path / LOCK_NAME).unlink()
    (path / LOCK_NAME).symlink_to(outside)
    with pytest.raises(StoreError):
        commit(GradientStore(path=path, append=True), mark=4)
    with pytest.raises(StoreError):
        stored.put_derived("codes", [b"codes"], {})
    assert outside.read_text() == "a" * 100


def test_a_damaged_store_is_not_written_over_unasked(path: Path, stored: GradientStore):
    early = GradientStore(path=path.with_name("other"))
    early._folder.root = path  # as if the damage came between opening and writing
    manifest = path / "manifest-1.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"5", b"6", 1))
    with pytest.raises(StoreError, match="is damaged"):
        early.prepare()
    assert (path / "shards" / "0-0.bin").exists()
    commit(GradientStore(k=8, path=path, overwrite=True), mark=7)
    assert mark_of(GradientStore.open(path)) == 7
    assert not manifest.exists()
