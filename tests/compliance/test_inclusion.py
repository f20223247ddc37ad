"""Rows are shown by the key's holder, one at a time, and by nobody else."""

from __future__ import annotations

import copy
import json
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compliance import standins
from traceprop.audit import merkle
from traceprop.audit.commitments import row_message, sample_message, sealed_entries
from traceprop.audit.folder import key_path, load_key, save_key
from traceprop.compliance import check_proof, prove_row
from traceprop.compliance.evidence import forget_messages
from traceprop.errors import CertificateError

STATEMENT = standins.statement(signer=standins.key())


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = key_path(tmp_path / "grad", standins.SERIAL)
    save_key(path, standins.SERIAL, standins.SECRET)
    return path


def test_the_key_lies_beside_the_store_for_its_owner_alone(key_file: Path, tmp_path: Path):
    assert key_file == tmp_path / "grad.audit" / "keys" / f"{standins.SERIAL}.json"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (key_file, *key_file.parents[:2])]
    assert modes == [0o600, 0o700, 0o700]
    assert load_key(key_file, standins.SERIAL) == standins.SECRET


@pytest.mark.parametrize("name", ["credit_scores.csv", "data/credit_scores.csv", "ab" * 32])
def test_each_row_can_be_shown_and_no_other(key_file: Path, name: str):
    for row in standins.ROWS:
        proof = prove_row(STATEMENT, key_file, name, row)
        assert proof is not None
        assert check_proof(STATEMENT, json.loads(json.dumps(proof)))
    assert prove_row(STATEMENT, key_file, name, standins.ROWS[0] + 1) is None
    # A sample's number is sealed too, but it is not a row.
    assert prove_row(STATEMENT, key_file, name, standins.SAMPLES[0]) is None


def changed(proof: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**copy.deepcopy(proof), **fields}


def test_a_proof_shows_its_own_row_only(key_file: Path):
    row, other = standins.ROWS
    proof = prove_row(STATEMENT, key_file, "credit_scores.csv", row)
    assert proof is not None
    assert standins.SECRET.hex() not in json.dumps(proof)
    wrong: dict[str, Any] = {
        "row": other,
        "uri": "data/other.csv",
        "sha256": "cd" * 32,
        "salt": "00" * 32,
        "index": (proof["index"] + 1) % proof["size"],
        "size": proof["size"] + 1,
        "path": proof["path"][:-1],
        "serial": "f" * 32,
    }
    for name, value in wrong.items():
        assert not check_proof(STATEMENT, changed(proof, **{name: value}))
        damaged = changed(proof)
        del damaged[name]
        assert not check_proof(STATEMENT, damaged)


@given(
    st.sampled_from(["row", "uri", "sha256", "salt", "index", "path", "serial", "size"]),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
)
def test_a_damaged_proof_is_no_proof_and_no_crash(name: str, value: Any):
    message = row_message("data/credit_scores.csv", "ab" * 32, standins.ROWS[0])
    salt = merkle.salt_of(standins.SECRET, message)
    entries = [bytes.fromhex(e) for e in STATEMENT["predicate"]["forget_set"]["tree"]["leaves"]]
    index = entries.index(merkle.seal(salt, message))
    proof = {
        "serial": standins.SERIAL,
        "uri": "data/credit_scores.csv",
        "sha256": "ab" * 32,
        "row": standins.ROWS[0],
        "salt": salt.hex(),
        "index": index,
        "size": len(entries),
        "path": [digest.hex() for digest in merkle.inclusion_path(entries, index)],
    }
    assert check_proof(STATEMENT, proof)
    assert not check_proof(STATEMENT, {**proof, name: value})


def test_keys_and_sources_that_do_not_belong_are_named(key_file: Path, tmp_path: Path):
    with pytest.raises(CertificateError, match=r"no source 'a\.csv'; it names: credit_scores\.csv"):
        prove_row(STATEMENT, key_file, "a.csv", 0)
    with pytest.raises(CertificateError, match=f"key of certificate {standins.SERIAL}, not of"):
        load_key(key_file, "0" * 32)
    with pytest.raises(CertificateError, match="can't be read"):
        load_key(tmp_path / "missing.json", standins.SERIAL)
    for content in ("", "[]", "{}", '{"key": 3, "certificate": "x"}', '{"key":"zz"}'):
        damaged = tmp_path / "damaged.json"
        damaged.write_text(content)
        with pytest.raises(CertificateError, match="is not a certificate's key"):
            load_key(damaged, standins.SERIAL)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "grad.audit").write_text("in the way")
    with pytest.raises(CertificateError, match="can't be written beside the store"):
        save_key(key_path(tmp_path / "grad", standins.SERIAL), standins.SERIAL, standins.SECRET)


def test_rows_samples_and_sources_are_kept_apart():
    same = [row_message("a", "ab" * 32, 7), row_message("b", "ab" * 32, 7)]
    same += [row_message("a", "cd" * 32, 7), sample_message(7), row_message("a", "ab" * 32, 8)]
    assert len(set(same)) == len(same)


def test_another_key_seals_to_other_entries_in_another_order():
    rows = list(range(50))
    forgotten: Any = SimpleNamespace(samples=[], rows={standins.SOURCE: rows})
    uris = {standins.SOURCE: "a"}
    first, second = (
        sealed_entries(bytes([i] * 32), forget_messages(forgotten, uris)) for i in (1, 2)
    )
    assert not set(first) & set(second)
    assert first == sorted(first)
    # Places are those of the sealed values, and say nothing about the rows' order.
    messages = [row_message("a", standins.SOURCE.sha256, row) for row in rows]
    key = bytes([1] * 32)
    in_row_order = [merkle.seal(merkle.salt_of(key, m), m) for m in messages]
    assert in_row_order != first
    assert sorted(in_row_order) == first
