"""Training records come back as they were saved, without pickle."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.attribution.store.runs import assert_equal_records, make_record
from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.run.record import load_record, save_record
from traceprop.errors import DataError, StoreError


def test_comes_back_equal(tmp_path: Path):
    record = make_record()
    folder = StoreFolder(tmp_path)
    entries = save_record(folder, "run-1/record", record)
    loaded = load_record(folder, "run-1")
    assert_equal_records(record, loaded)
    assert isinstance(loaded.inputs, np.memmap)
    assert not loaded.inputs.flags.writeable
    on_disk = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert {entry.path for entry in entries} == on_disk
    assert not any(folder.damaged_chunks(entry) for entry in entries)


def test_what_is_unknown_stays_unknown(tmp_path: Path):
    unknown = dataclasses.replace(
        make_record(), loss=None, penalty=None, optimizer=None, architecture=None, epochs=None,
        batch_size=None, input_columns=None,
    )  # fmt: skip
    save_record(StoreFolder(tmp_path), "run-1/record", unknown)
    assert_equal_records(unknown, load_record(StoreFolder(tmp_path), "run-1"))


@pytest.mark.parametrize("order", ["C", "F", ">f4", "strided"])
def test_array_layouts_come_back_in_value(tmp_path: Path, order: str):
    inputs = np.arange(12, dtype=np.float32).reshape(4, 3)
    given = {
        "C": inputs,
        "F": np.asfortranarray(inputs),
        ">f4": inputs.astype(">f4"),
        "strided": np.repeat(inputs, 2, axis=0)[::2],
    }[order]
    record = dataclasses.replace(make_record(4), inputs=given)
    save_record(StoreFolder(tmp_path), "run-1/record", record)
    np.testing.assert_array_equal(load_record(StoreFolder(tmp_path), "run-1").inputs, inputs)


def test_what_has_no_plain_form_is_refused_by_name(tmp_path: Path):
    folder = StoreFolder(tmp_path)
    with pytest.raises(StoreError, match="optimizer has no JSON form"):
        save_record(folder, "a", dataclasses.replace(make_record(), optimizer={"lr": object()}))
    with pytest.raises(StoreError, match="penalty has no JSON form"):
        save_record(folder, "b", dataclasses.replace(make_record(), penalty=float("nan")))
    objects = dataclasses.replace(make_record(), targets=np.array([None] * 5))
    with pytest.raises(StoreError, match="targets holds Python objects"):
        save_record(folder, "c", objects)
    with pytest.raises(DataError, match="4 training inputs for 5 targets"):
        save_record(folder, "d", dataclasses.replace(make_record(), inputs=np.zeros((4, 3))))


@pytest.mark.parametrize("name", ["record.json", "inputs.npy", "final_weights.npy"])
@pytest.mark.parametrize("content", [None, b"", b"\x80\x04junk", b"{}"])
def test_a_lost_or_damaged_file_is_a_clear_error(tmp_path: Path, name: str, content: bytes | None):
    folder = StoreFolder(tmp_path)
    save_record(folder, "run-1/record", make_record())
    (tmp_path / "run-1" / "record" / name).unlink()
    if content is not None:
        (tmp_path / "run-1" / "record" / name).write_bytes(content)
    with pytest.raises(StoreError, match=r"record in .* can't be read"):
        load_record(folder, "run-1")
