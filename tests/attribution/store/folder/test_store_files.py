"""The files below a store: checksums of any split, damage located, one writer at a time."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.naive import store as naive
from traceprop.attribution.store.folder import files
from traceprop.attribution.store.folder.files import FileEntry, StoreFolder, reporting_os_errors
from traceprop.attribution.store.folder.lock import LOCK_CONTENT, LOCK_NAME, WriterLock, is_lock
from traceprop.errors import StoreError


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(files, "CHUNK_BYTES", 10)
    return 10


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 37])
@pytest.mark.parametrize("part", [1, 7, 10, 100])
def test_checksums_do_not_depend_on_how_the_bytes_came(
    tmp_path: Path, small_chunks: int, size: int, part: int
):
    content = bytes(range(size))
    folder = StoreFolder(tmp_path)
    entry = folder.write("a/b", [content[i : i + part] for i in range(0, size, part)])
    expected = [naive.crc32c(content[i : i + 10]) for i in range(0, size, 10)]
    assert entry == FileEntry("a/b", size, tuple(expected))
    assert folder.adopt("a/b") == entry
    assert FileEntry.from_json(entry.to_json()) == entry
    assert (tmp_path / "a" / "b").read_bytes() == content


def test_damage_is_located(tmp_path: Path, small_chunks: int):
    folder = StoreFolder(tmp_path)
    entry = folder.write("a", [bytes(37)])
    assert folder.damaged_chunks(entry) == []
    damaged = bytearray(37)
    damaged[12] = damaged[36] = 1
    (tmp_path / "a").write_bytes(damaged + b"a torn tail")
    assert folder.damaged_chunks(entry) == [1, 3]
    assert folder.missing_bytes(entry) == 0
    (tmp_path / "a").write_bytes(bytes(30))
    assert folder.damaged_chunks(entry) == [3]
    assert folder.missing_bytes(entry) == 7


def test_a_file_is_never_written_over(tmp_path: Path):
    folder = StoreFolder(tmp_path)
    folder.write("a", [b"old"])
    with pytest.raises(FileExistsError):
        folder.write("a", [b"new"])
    assert (tmp_path / "a").read_bytes() == b"old"


def test_the_owner_alone_can_read_what_is_written(tmp_path: Path):
    """Gradients, inputs and labels are personal data, whatever the umask."""
    old = os.umask(0)
    try:
        folder = StoreFolder(tmp_path / "above" / "grad")
        folder.create(LOCK_NAME, LOCK_CONTENT)
        folder.write("shards/0-0.bin", [b"x"])
        folder.make_folder("run-1/deep")
        (tmp_path / "above" / "grad" / "run-1" / "lineage").write_bytes(b"x")
        folder.adopt("run-1/lineage")
        folder.publish("manifest-1.json", b"x")
    finally:
        os.umask(old)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in folder.root.rglob("*")}
    assert len(modes) == 7
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700


def test_removal_does_not_follow_links(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    store = tmp_path / "store"
    (store / "run-1").mkdir(parents=True)
    (store / "run-1" / "link").symlink_to(outside)
    StoreFolder(store).remove(store / "run-1")
    assert (outside / "kept").exists()
    assert not (store / "run-1").exists()


def test_a_second_writer_is_refused_by_name(tmp_path: Path):
    StoreFolder(tmp_path).create(LOCK_NAME, LOCK_CONTENT)
    first = WriterLock(tmp_path)
    with pytest.raises(StoreError, match=f"is being written by process {os.getpid()}"):
        WriterLock(tmp_path)
    first.release()
    first.release()
    WriterLock(tmp_path).release()


@pytest.mark.parametrize("cut", [0, 3, len(LOCK_CONTENT)])
def test_a_lock_is_known_by_what_a_power_cut_left_of_it(tmp_path: Path, cut: int):
    path = tmp_path / LOCK_NAME
    path.write_bytes(LOCK_CONTENT[:cut] + bytes(len(LOCK_CONTENT) - cut))
    assert is_lock(path)
    path.write_bytes(b"someone else's")
    assert not is_lock(path)


def test_a_forgotten_lock_ends_with_its_object(tmp_path: Path):
    StoreFolder(tmp_path).create(LOCK_NAME, LOCK_CONTENT)
    lock = WriterLock(tmp_path)
    del lock
    WriterLock(tmp_path).release()


def test_a_refusal_of_the_system_names_the_store(tmp_path: Path):
    with (
        pytest.raises(StoreError, match=r"Writing .* failed: No space left on device"),
        reporting_os_errors(tmp_path, "Writing"),
        open("/dev/full", "wb") as full,
    ):
        full.write(bytes(1 << 20))
