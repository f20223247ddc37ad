"""Manifests: one spelling, sealed, and the newest whole one counts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceprop.attribution.store.folder.files import FileEntry, StoreFolder
from traceprop.attribution.store.folder.folder_state import inspect_folder
from traceprop.attribution.store.folder.manifest import (
    DerivedFile,
    Manifest,
    RunPart,
    ShardEntry,
    _seal,
)
from traceprop.errors import StoreError

NO_IDS = FileEntry("shards/0-0.ids", 0, ())
MANIFEST = Manifest(
    number=1,
    parent=None,
    created="2025-01-01T00:00:00+00:00",
    k=4,
    dtype="float32",
    seed=0,
    width=3,
    projector={"kind": "identity"},
    parts=(
        RunPart(
            run="run-1",
            data="run-1",
            created="2025-01-01T00:00:00+00:00",
            first_sample=0,
            steps=("normalize", "row_filter"),
            sources=({"uri": "a.csv"},),
            shards=(
                ShardEntry(0, 0, 2, FileEntry("shards/0-0.bin", 24, (7,)), NO_IDS, checkpoint=4),
            ),
            files=(FileEntry("run-1/x", 5 << 20, (1, 0xFFFFFFFF)),),
        ),
    ),
    derived=(DerivedFile("codes", FileEntry("derived/1-codes", 3, (8,)), ("0-0",), {"bits": 1}),),
    erasing=((3, 4),),
    erasures=2,
)


def _put(folder: Path, manifest: Manifest) -> None:
    for entry in manifest.entries():
        path = folder / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(entry.size))
    (folder / manifest.name).write_bytes(manifest.encode())


def _numbered(number: int) -> Manifest:
    return dataclasses.replace(MANIFEST, number=number)


def test_comes_back_as_it_was_written():
    assert Manifest.decode(MANIFEST.encode()) == MANIFEST
    child = dataclasses.replace(MANIFEST, parent=(1, "ab" * 32))
    assert Manifest.decode(child.encode()) == child
    assert MANIFEST.rows == 2


@given(st.integers(0, 8 * len(MANIFEST.encode()) - 1))
def test_any_flipped_bit_is_refused(bit: int):
    content = bytearray(MANIFEST.encode())
    content[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError):  # noqa: PT011  the reason depends on the byte
        Manifest.decode(bytes(content))


@given(st.integers(0, len(MANIFEST.encode()) - 1))
def test_a_torn_manifest_is_refused(length: int):
    with pytest.raises(ValueError):  # noqa: PT011
        Manifest.decode(MANIFEST.encode()[:length])


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../b", "", "a\\..\\b", "a\0b"])
def test_a_path_that_leads_out_is_refused(path: str):
    part = dataclasses.replace(MANIFEST.parts[0], files=(FileEntry(path, 0, ()),))
    hostile = dataclasses.replace(MANIFEST, parts=(part,))
    with pytest.raises(ValueError, match="leads out of the folder"):
        Manifest.decode(hostile.encode())


def test_a_link_that_leads_out_is_refused(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    _put(tmp_path / "store", MANIFEST)
    (tmp_path / "store" / "run-1" / "x").unlink()
    (tmp_path / "store" / "run-1" / "x").symlink_to(outside)
    with pytest.raises(StoreError, match="outside the store"):
        inspect_folder(StoreFolder(tmp_path / "store"))


def test_another_schema_is_named_and_never_skipped(tmp_path: Path):
    _put(tmp_path, MANIFEST)
    body = json.loads(_numbered(2).encode())
    del body["sha256"]
    (tmp_path / "manifest-2.json").write_bytes(_seal(body | {"schema": 99}))
    with pytest.raises(
        StoreError, match="schema 99; this version of Traceprop reads schemas 1 and 2"
    ):
        inspect_folder(StoreFolder(tmp_path))


def test_fields_that_are_missing_or_at_odds_are_refused():
    body = json.loads(MANIFEST.encode())
    del body["sha256"]
    with pytest.raises(ValueError, match="counts 3 rows, its shards 2"):
        Manifest.decode(_seal(body | {"rows": 3}))
    with pytest.raises(ValueError, match="missing or malformed"):
        Manifest.decode(_seal({name: body[name] for name in body if name != "width"}))
    with pytest.raises(ValueError, match="not a gradient store's"):
        Manifest.decode(_seal(body | {"format": "else"}))
    with pytest.raises(ValueError, match="no checksum"):
        Manifest.decode(b"[]")
    for wrong in ([["a shard"]], [{"shards": ["one"]}], "parts", [7]):
        with pytest.raises(ValueError, match="missing or malformed"):
            Manifest.decode(_seal(body | {"parts": wrong}))
    for spans in ([[0, 1 << 50]], [[0, 2]], [[3, 1]], [[-1, 0]]):
        with pytest.raises(ValueError, match="none is left, or what goes are no samples"):
            Manifest.decode(_seal(body | {"erasing": spans}))
    with pytest.raises(ValueError, match="none is left"):
        Manifest.decode(_seal(body | {"parts": [], "rows": 0}))
    with pytest.raises(ValueError, match="nested too deeply"):
        Manifest.decode(b"[" * 200_000)
    malformed = json.loads(json.dumps(body))
    malformed["parts"][0]["shards"][0] = "a shard"
    with pytest.raises(ValueError, match="missing or malformed"):
        Manifest.decode(_seal(malformed))
    body["parts"][0]["files"][0]["crc32c"] = ["00000000"]
    with pytest.raises(ValueError, match="1 checksums for 5242880 bytes"):
        Manifest.decode(_seal(body))


def test_the_newest_whole_manifest_counts(tmp_path: Path):
    for number in (2, 9, 10):
        _put(tmp_path, _numbered(number))
    folder = StoreFolder(tmp_path)
    assert inspect_folder(folder).manifest == _numbered(10)
    assert inspect_folder(folder).damaged == ()
    (tmp_path / "manifest-10.json").write_bytes(b"torn")
    (tmp_path / "manifest-11.json.tmp").write_bytes(_numbered(11).encode())
    found = inspect_folder(folder)
    assert found.manifest == _numbered(9)
    assert found.numbers == (10, 9, 2)
    assert len(found.damaged) == 1
    assert "manifest-10.json is damaged" in found.damaged[0]


def test_a_manifest_whose_files_are_short_does_not_count(tmp_path: Path):
    _put(tmp_path, MANIFEST)
    (tmp_path / "run-1" / "x").write_bytes(b"short")
    found = inspect_folder(StoreFolder(tmp_path))
    assert found.manifest is None
    assert "run-1/x, which is missing or cut short" in found.damaged[0]


def test_a_renamed_manifest_does_not_count(tmp_path: Path):
    _put(tmp_path, MANIFEST)
    (tmp_path / "manifest-1.json").rename(tmp_path / "manifest-7.json")
    found = inspect_folder(StoreFolder(tmp_path))
    assert found.manifest is None
    assert "it is number 1" in found.damaged[0]


def test_other_folders_are_no_stores(tmp_path: Path):
    assert inspect_folder(StoreFolder(tmp_path / "nowhere")).manifest is None
    assert inspect_folder(StoreFolder(tmp_path)).manifest is None
    (tmp_path / "photo.txt").write_text("holiday")
    with pytest.raises(StoreError, match="not a gradient store"):
        inspect_folder(StoreFolder(tmp_path))
    with pytest.raises(StoreError, match="is a file"):
        inspect_folder(StoreFolder(tmp_path / "photo.txt"))
    (tmp_path / "lock").write_text("someone else's")
    with pytest.raises(StoreError, match="not a gradient store"):
        inspect_folder(StoreFolder(tmp_path))
