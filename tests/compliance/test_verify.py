"""What the verifier accepts, and why it refuses the rest."""

from __future__ import annotations

import base64
import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compliance import standins
from traceprop.audit.canonical import canonical
from traceprop.compliance import keys
from traceprop.compliance.draft import draft_bytes
from traceprop.compliance.envelope import Envelope, open_envelope, sign
from traceprop.compliance.verify import Verdict, verify, verify_bytes
from traceprop.curvature.digest import model_digest
from traceprop.errors import CertificateError

KEY, OTHER = standins.key(0), standins.key(1)
CERTIFICATE = standins.certificate()


def reason(data: bytes, key: keys.SigningKey = KEY) -> str:
    verdict = verify_bytes(data, key.public)
    assert not verdict
    assert not verdict.ok
    assert verdict.statement is None
    assert verdict.reason.startswith("NOT VALID: ")
    assert "\n" not in verdict.reason
    return verdict.reason


def test_a_certificate_verifies_and_gives_its_content():
    verdict = verify_bytes(CERTIFICATE, KEY.public)
    assert verdict
    assert verdict.statement == standins.statement(signer=KEY) | {
        "predicate": verdict.statement["predicate"]  # its time is the moment of its making
    }
    for word in ("valid", "3 samples", "exact-convex", KEY.fingerprint[:16], "asserted"):
        assert word in verdict.reason


def test_another_key_is_refused_by_name():
    said = reason(CERTIFICATE, OTHER)
    assert KEY.fingerprint[:16] in said
    assert OTHER.fingerprint[:16] in said


def test_a_payload_under_anothers_signature_is_refused():
    mine = open_envelope(CERTIFICATE)
    theirs = sign(b"{}", KEY)
    swapped = Envelope(theirs.payload, mine.keyid, mine.signature).to_bytes()
    assert "the signature doesn't fit" in reason(swapped)


def test_a_keyid_is_no_proof():
    """Signed by another key, under the name of the trusted one, and the other way round."""
    payload = open_envelope(CERTIFICATE).payload
    forged = Envelope(payload, KEY.fingerprint, sign(payload, OTHER).signature).to_bytes()
    assert "the signature doesn't fit" in reason(forged)
    assert "the signature doesn't fit" in reason(
        Envelope(payload, OTHER.fingerprint, sign(payload, KEY).signature).to_bytes(), OTHER
    )


def test_a_certificate_signed_anew_by_another_holder_is_refused():
    payload = open_envelope(CERTIFICATE).payload
    assert "names another signer" in reason(sign(payload, OTHER).to_bytes(), OTHER)


def test_drafts_are_refused():
    statement = standins.statement(signer=None)
    assert "this is a draft" in reason(draft_bytes(statement))
    assert "calls itself a draft" in reason(sign(canonical(statement), KEY).to_bytes())


Change = Callable[[dict[str, Any]], Any]


def another_leaf(statement: dict[str, Any]) -> None:
    statement["predicate"]["forget_set"]["tree"]["leaves"][0] = "00" * 32


def a_leaf_twice(statement: dict[str, Any]) -> None:
    leaves = statement["predicate"]["forget_set"]["tree"]["leaves"]
    leaves[0] = leaves[1]


def fewer_samples(statement: dict[str, Any]) -> None:
    statement["predicate"]["forget_set"]["n_samples"] -= 1


def another_subject(statement: dict[str, Any]) -> None:
    statement["subject"][0]["digest"] = {"sha256": "00" * 32}


def another_type(statement: dict[str, Any]) -> None:
    statement["predicateType"] = "https://example.com/removal/v1"


def no_limits(statement: dict[str, Any]) -> None:
    statement["predicate"]["limits"] = []


def a_row(statement: dict[str, Any]) -> None:
    statement["predicate"]["forget_set"]["row"] = 4821


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (another_leaf, "don't lead to the root"),
        (a_leaf_twice, "not as many as"),
        (fewer_samples, "not as many as"),
        (another_subject, "subject is not the model after"),
        (another_type, "predicateType"),
        (no_limits, "limits has fewer than 1"),
        (a_row, "unknown field 'row'"),
    ],
)
def test_a_signed_statement_that_makes_no_sense_is_refused(change: Change, said: str):
    statement = copy.deepcopy(standins.statement(signer=KEY))
    change(statement)
    assert said in reason(sign(canonical(statement), KEY).to_bytes())


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "not plain JSON"),
        (b"\xff", "not plain JSON"),
        (b'{"a":1,"a":2}', "a key is given twice"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a": 1}', "not RFC 8785"),
        (b'{"b":1,"a":1}', "not RFC 8785"),
        (b'"\\ud800"', "not plain JSON"),
        (b"1e400", "not plain JSON"),
        (b"1" * 5000, "not plain JSON"),
        (b"[]", "not of type object"),
        (b"null", "not of type object"),
    ],
)
def test_a_signed_payload_that_is_no_statement_is_refused(payload: bytes, said: str):
    assert said in reason(sign(payload, KEY).to_bytes())


def test_nothing_inside_is_read_before_the_signature_is_checked(monkeypatch: pytest.MonkeyPatch):
    def read(_: bytes) -> Any:
        raise AssertionError("the payload was parsed")

    monkeypatch.setattr("traceprop.compliance.verify.parse", read)
    payload = open_envelope(CERTIFICATE).payload
    data = Envelope(payload, KEY.fingerprint, sign(payload, OTHER).signature).to_bytes()
    assert "the signature doesn't fit" in verify_bytes(data, KEY.public).reason
    with pytest.raises(AssertionError, match="was parsed"):
        verify_bytes(CERTIFICATE, KEY.public)


@pytest.fixture
def own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> keys.SigningKey:
    monkeypatch.setenv(keys.KEY_VARIABLE, str(tmp_path / "signing.key"))
    return keys.generate_key(tmp_path / "signing.key")


def test_from_files(tmp_path: Path, own_key: keys.SigningKey):
    path = tmp_path / "certificate.json"
    path.write_bytes(standins.certificate(own_key))
    assert verify(path).ok
    assert verify(str(path), key=keys.public_path(own_key.path)).ok
    assert verify(path).reason.startswith(f"{path}: valid: removal of 3 samples")
    path.write_bytes(CERTIFICATE)
    assert not verify(path).ok
    assert verify(path).reason.startswith(f"{path}: NOT VALID: it is signed with the key")


def test_questions_that_cannot_be_asked(
    tmp_path: Path, own_key: keys.SigningKey, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "certificate.json"
    for missing in (path, tmp_path):
        with pytest.raises(CertificateError, match=r"certificate .* can't be read"):
            verify(missing)
    path.write_bytes(CERTIFICATE)
    with pytest.raises(CertificateError, match="is a private key"):
        verify(path, key=own_key.path)
    monkeypatch.setenv(keys.KEY_VARIABLE, str(tmp_path / "other.key"))
    with pytest.raises(CertificateError, match="no public key to check with"):
        verify(path)


def test_the_model_is_held_against_the_certificate(tmp_path: Path, own_key: keys.SigningKey):
    before, after, other = ({"w": np.full(3, i, np.float32)} for i in range(3))
    statement = standins.statement(signer=own_key)
    models = {"before": {"sha256": model_digest(before)}, "after": {"sha256": model_digest(after)}}
    statement["predicate"]["models"].update(models)
    statement["subject"][0]["digest"] = models["after"]
    path = tmp_path / "certificate.json"
    path.write_bytes(sign(canonical(statement), own_key).to_bytes())

    def said(model: dict[str, Any]) -> Verdict:
        return verify(path, model=model)

    assert said(after).ok
    assert "this is that model" in said(after).reason
    assert "the model before the removal" in said(before).reason
    assert "another one" in said(other).reason
    assert not said(before)
    assert not said(other)


def test_verifying_imports_no_numerical_library(tmp_path: Path, own_key: keys.SigningKey):
    path = tmp_path / "certificate.json"
    path.write_bytes(standins.certificate(own_key))
    program = """
import sys
from traceprop.compliance.verify import verify
verdict = verify(sys.argv[1])
heavy = {"torch", "numpy", "numba", "pyarrow", "jsonschema", "scipy", "rfc3161_client", "prov"}
heavy |= {"dataclasses", "inspect", "traceprop.unlearning"}
heavy &= sys.modules.keys()
print(verdict.ok, sorted(heavy))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True []\n", done.stderr


def test_base64_of_the_payload_is_what_was_signed():
    """The signature is over the payload's bytes: not over its base64, nor over parsed JSON."""
    envelope = open_envelope(CERTIFICATE)
    assert base64.b64encode(envelope.payload) in CERTIFICATE
    assert envelope.signed_by(KEY.public)
