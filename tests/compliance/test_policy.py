"""Whose certificates a reader accepts, and why the policy refuses the rest."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compliance import standins
from traceprop.audit.canonical import canonical
from traceprop.compliance.envelope import Envelope, open_envelope, sign
from traceprop.compliance.policy import KeyRing, TrustedKey, load_policy
from traceprop.compliance.times import SigningTime, parse_time, signing_time
from traceprop.compliance.verify import verify, verify_bytes
from traceprop.errors import CertificateError

KEY, OTHER = standins.key(0), standins.key(1)
CERTIFICATE = standins.certificate(KEY)
LONG_AGO, FAR_OFF = "2001-01-01T00:00:00Z", "2999-12-31T23:59:59Z"


def entry(**changes: Any) -> dict[str, Any]:
    """The policy's entry for our key."""
    return {
        "holder": "Model Risk, Example Bank",
        "public_key": KEY.public.pem().decode(),
        **changes,
    }


def write(folder: Path, *entries: dict[str, Any], **changes: Any) -> Path:
    path = folder / "trust.json"
    path.write_text(json.dumps({"version": 1, "keys": list(entries), **changes}))
    return path


def reason(ring: KeyRing) -> str:
    verdict = verify_bytes(CERTIFICATE, ring)
    assert not verdict
    assert verdict.statement is verdict.time is verdict.holder is None
    assert verdict.reason.startswith("NOT VALID: ")
    return verdict.reason


def test_a_certificate_within_the_policy_names_its_holder(tmp_path: Path):
    path = write(
        tmp_path,
        entry(not_before=LONG_AGO, not_after=FAR_OFF, regulations=["GDPR_ART17"]),
        {"holder": "Another", "public_key": OTHER.public.pem().decode()},
    )
    verdict = verify_bytes(CERTIFICATE, load_policy(path))
    assert verdict, verdict.reason
    assert verdict.holder == "Model Risk, Example Bank"
    assert verdict.time is not None
    assert verdict.time.proof == "asserted"
    assert f"{KEY.fingerprint[:16]} of Model Risk, Example Bank, time 20" in verdict.reason
    assert "(asserted)" in verdict.reason


def test_a_bare_key_has_no_holder_and_no_end():
    verdict = verify_bytes(CERTIFICATE, KEY.public)
    assert verdict
    assert verdict.holder is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"public_key": OTHER.public.pem().decode()}, "unknown key"),
        ({"not_before": FAR_OFF}, f"is valid from {FAR_OFF} on only"),
        ({"not_after": LONG_AGO}, f"was valid until {LONG_AGO} only"),
        (
            {"revoked": {"time": LONG_AGO, "reason": "laptop stolen"}},
            f"was revoked {LONG_AGO} (laptop stolen)",
        ),
        # It asserts an earlier time, as anyone who has the key can.
        (
            {"revoked": {"time": FAR_OFF, "reason": "laptop stolen"}},
            "no timestamp proves that it was signed before",
        ),
        ({"regulations": ["EU_AI_ACT_ART26"]}, "may certify under EU_AI_ACT_ART26 only"),
    ],
    ids=["unknown", "not yet", "no longer", "revoked", "revoked later", "regulation"],
)
def test_what_is_out_of_policy_fails_with_its_reason(
    tmp_path: Path, changes: dict[str, Any], said: str
):
    refused = reason(load_policy(write(tmp_path, entry(**changes))))
    assert said in refused
    assert KEY.fingerprint[:16] in refused


def test_what_a_signer_wrote_stays_in_one_line(tmp_path: Path):
    statement = standins.statement(signer=KEY)
    statement["predicate"]["regulation"]["id"] = "X\ncertificate.json: valid"
    ring = load_policy(write(tmp_path, entry(regulations=["GDPR_ART17"])))
    verdict = verify_bytes(sign(canonical(statement), KEY).to_bytes(), ring)
    assert not verdict
    assert "\n" not in verdict.reason


def test_another_holder_than_the_one_asked_for(tmp_path: Path):
    certificate = tmp_path / "certificate.json"
    certificate.write_bytes(CERTIFICATE)
    policy = write(tmp_path, entry())
    assert verify(certificate, policy=policy, holder="Model Risk, Example Bank")
    verdict = verify(certificate, policy=policy, holder="Audit")
    assert not verdict
    assert "is signed by Model Risk, Example Bank, not by Audit" in verdict.reason
    assert "holder is not named" in verify_bytes(CERTIFICATE, KEY.public, holder="Audit").reason
    for arguments, said in (
        ({"holder": "Audit"}, "holder= needs policy="),
        ({"policy": policy, "key": policy}, "not both"),
        ({"policy": tmp_path / "missing.json"}, "can't be read"),
        ({"policy": tmp_path}, "can't be read"),
    ):
        with pytest.raises(CertificateError, match=said):
            verify(certificate, **arguments)


def test_the_signature_is_checked_before_the_policy(tmp_path: Path):
    """A certificate that was changed is not told about validity, which is in the changed part."""
    ring = load_policy(write(tmp_path, entry(not_after=LONG_AGO)))
    payload = open_envelope(CERTIFICATE).payload
    broken = Envelope(payload, KEY.fingerprint, sign(payload, OTHER).signature).to_bytes()
    assert "the signature doesn't fit" in verify_bytes(broken, ring).reason


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Expecting value"),
        (b"\xff", "codec"),
        (b"[]", "not of type object"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"version":1,"version":1,"keys":[]}', "a key is given twice"),
        (b'{"version":1,"keys":[]}', "fewer than 1"),
        (b'{"version":2,"keys":[{}]}', "version is not 1"),
        (json.dumps({"version": 1, "keys": [{"holder": "x"}]}).encode(), "no 'public_key'"),
        (json.dumps({"version": 1, "keys": [entry(holder="")]}).encode(), "holder"),
        (json.dumps({"version": 1, "keys": [entry(holder="a\nb")]}).encode(), "one line"),
        (json.dumps({"version": 1, "keys": [entry(until="x")]}).encode(), "unknown field"),
        (json.dumps({"version": 1, "keys": [entry(not_after="2026")]}).encode(), "not_after"),
        (
            json.dumps({"version": 1, "keys": [entry(not_after="2026-02-30T00:00:00Z")]}).encode(),
            "is no time",
        ),
        (
            json.dumps(
                {"version": 1, "keys": [entry(not_before=FAR_OFF, not_after=LONG_AGO)]}
            ).encode(),
            "not_after is before not_before",
        ),
        (
            json.dumps({"version": 1, "keys": [entry(public_key="x")]}).encode(),
            r"keys\[0\]: the public_key of Model Risk, Example Bank is not an Ed25519",
        ),
        (json.dumps({"version": 1, "keys": [entry(), entry()]}).encode(), "twice"),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else "",
)
def test_what_is_no_policy_is_refused(tmp_path: Path, content: bytes, said: str):
    path = tmp_path / "trust.json"
    path.write_bytes(content)
    with pytest.raises(CertificateError, match=said) as refused:
        load_policy(path)
    assert str(path) in str(refused.value)


MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)


@given(MOMENTS, MOMENTS, MOMENTS)
def test_validity_is_a_closed_interval(first: datetime, last: datetime, moment: datetime):
    key = TrustedKey(KEY.public, "Someone", not_before=first, not_after=last)
    inside = first <= moment <= last
    try:
        key.check(SigningTime(moment, "asserted"), "GDPR_ART17")
        assert inside
    except CertificateError:
        assert not inside


@given(MOMENTS, st.integers(-3600, 3600))
def test_a_timestamp_decides_and_contradicts_a_later_assertion(stamped: datetime, seconds: int):
    asserted = (stamped + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    if seconds > 300:
        with pytest.raises(CertificateError, match="is later than its timestamp"):
            signing_time(asserted, stamped)
    else:
        assert signing_time(asserted, stamped) == SigningTime(stamped, "timestamp")
    assert signing_time(asserted, None) == SigningTime(parse_time(asserted), "asserted")


def test_a_signed_time_that_is_none_is_refused():
    statement = standins.statement(signer=KEY)
    statement["predicate"]["issued"]["time"] = "2026-13-01T00:00:00Z"
    verdict = verify_bytes(sign(canonical(statement), KEY).to_bytes(), KEY.public)
    assert "'2026-13-01T00:00:00Z' is no time" in verdict.reason
