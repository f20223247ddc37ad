"""Timestamps of RFC 3161 by an authority of the tests' own: what holds, and why the rest fails."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from rfc3161_client import decode_timestamp_response

from tests.compliance import standins
from tests.compliance.authority import Authority, serving
from tests.compliance.mutations import BYTE_EDITS
from traceprop.audit.canonical import canonical
from traceprop.cli import main
from traceprop.compliance.der import sort_certificates
from traceprop.compliance.envelope import sign
from traceprop.compliance.times import timestamp_path
from traceprop.compliance.timestamp import (
    Timestamp,
    load_roots,
    request_timestamp,
)
from traceprop.compliance.verify import Verdict, verify, verify_bytes
from traceprop.errors import CertificateError

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="needs the openssl command")

KEY = standins.key(0)
CERTIFICATE = standins.certificate(KEY)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "one")


@pytest.fixture(scope="module")
def answer(authority: Authority) -> bytes:
    return authority.stamp(CERTIFICATE)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "certificate.json"
    path.write_bytes(CERTIFICATE)
    (tmp_path / "key.pub").write_bytes(KEY.public.pem())
    return path


def check(certificate: Path, authority: Authority, **how: Path) -> Verdict:
    return verify(certificate, certificate.with_name("key.pub"), tsa_cert=authority.root, **how)


def test_a_certificate_is_stamped_over_the_network_and_holds_offline(
    certificate: Path, authority: Authority
):
    with serving(authority) as url:
        path, time = request_timestamp(certificate, url, authority.root)
    assert path == timestamp_path(certificate) == certificate.with_name("certificate.json.tsr")
    assert abs(datetime.now(UTC) - time) < timedelta(minutes=1)
    assert certificate.read_bytes() == CERTIFICATE
    verdict = check(certificate, authority)
    assert verdict, verdict.reason
    assert verdict.time is not None
    assert verdict.time.proof == "timestamp"
    assert verdict.time.moment == time
    assert verdict.reason.endswith("(proven by a timestamp)")
    # Without the root nothing is proven, and the line says that there was something to check.
    unproven = verify(certificate, certificate.with_name("key.pub"))
    assert unproven.time is not None
    assert unproven.time.proof == "asserted"
    assert unproven.reason.endswith("(asserted); its timestamp was not checked")
    with serving(authority) as url, pytest.raises(CertificateError, match="has a timestamp alre"):
        request_timestamp(certificate, url)


def test_openssl_says_the_same(certificate: Path, authority: Authority, answer: bytes):
    sidecar = timestamp_path(certificate)
    sidecar.write_bytes(answer)
    done = subprocess.run(
        [
            *["openssl", "ts", "-verify", "-data"],
            certificate,
            "-in",
            sidecar,
            "-CAfile",
            authority.root,
        ],
        capture_output=True,
        check=False,
    )
    assert b"Verification: OK" in done.stdout + done.stderr


def test_what_does_not_hold_is_refused_with_its_reason(
    certificate: Path, authority: Authority, answer: bytes, tmp_path: Path
):
    other = Authority(tmp_path / "other")
    wrong = [
        (answer, other, "its timestamp doesn't verify"),
        # It sends its own root along, which must not make it trusted.
        (other.stamp(CERTIFICATE), authority, "its timestamp doesn't verify"),
        (authority.stamp(b"another file"), authority, "its timestamp doesn't verify: Mismatch"),
        (b"", authority, "it is no timestamp"),
        (b"hello", authority, "it is no timestamp"),
        (answer[:-1], authority, "it is no timestamp"),
        (bytes.fromhex("30053003020102"), authority, "the authority refused"),
        (b"0\x0a0\x08\x02\x01\x020\x03\x0c\x01\n", authority, "the authority refused: "),
    ]
    for content, trusted, said in wrong:
        timestamp_path(certificate).write_bytes(content)
        verdict = check(certificate, trusted)
        assert not verdict
        assert said in verdict.reason, verdict.reason
        assert verdict.reason.isprintable()


@pytest.mark.parametrize(("between", "holds"), [("root", True), ("leaf", False)])
def test_only_an_issuer_may_stand_between_root_and_signer(
    certificate: Path, tmp_path: Path, between: str, holds: bool
):
    """Else anyone with a certificate under that root could be an authority."""
    authority = Authority(tmp_path / "authority", between)
    timestamp_path(certificate).write_bytes(authority.stamp(CERTIFICATE))
    verdict = check(certificate, authority)
    assert verdict.ok == holds, verdict.reason


def test_certificates_in_any_order_are_read_and_nothing_else_moves(answer: bytes):
    ordered = sort_certificates(answer)
    assert sorted(ordered) == sorted(answer)
    assert sort_certificates(ordered) == ordered
    # This authority sends its root before its signer's certificate, or after it, by their sizes.
    response = decode_timestamp_response(ordered)
    assert response.as_bytes() == ordered
    assert len(response.signed_data.certificates) == 2


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"\x30\x82" + tail))
def test_what_is_no_timestamp_is_left_as_it_is(data: bytes):
    assert sort_certificates(data) == data


def test_a_stripped_timestamp_is_missed(certificate: Path, authority: Authority):
    with pytest.raises(CertificateError, match=r"timestamp .*\.tsr can't be read"):
        check(certificate, authority)


def test_a_damaged_timestamp_is_refused_or_proves_the_same_time(
    authority: Authority, answer: bytes
):
    """What isn't signed may change: the root that comes along. No damage crashes the check."""
    roots, rng = load_roots(authority.root), random.Random(0)
    time = Timestamp(answer, roots).check(CERTIFICATE)
    flipped = []
    for i in range(0, len(answer), 5):
        damaged = bytearray(answer)
        damaged[i] ^= 1 << i % 8
        flipped.append(bytes(damaged))
    edited = [rng.choice(BYTE_EDITS)(answer, CERTIFICATE, rng) for _ in range(500)]
    # The version of the root that comes along: its reader raises an error of its own kind.
    root = roots[0].public_bytes(Encoding.DER)
    third, none = bytes.fromhex("a003020102"), bytes.fromhex("a003020122")
    odd = answer.replace(root, root.replace(third, none))
    assert odd != answer
    refused = 0
    for damaged_answer in (*flipped, *edited, odd):
        try:
            assert Timestamp(damaged_answer, roots).check(CERTIFICATE) == time
        except CertificateError:
            refused += 1
    assert refused > 0.5 * (len(flipped) + len(edited))


def test_a_revoked_key_stands_where_a_timestamp_proves_it_older(
    certificate: Path, authority: Authority, answer: bytes, tmp_path: Path
):
    timestamp_path(certificate).write_bytes(answer)
    policy = tmp_path / "trust.json"

    def said(revoked: datetime, tsa: bool) -> Verdict:
        entry = {
            "holder": "Model Risk",
            "public_key": KEY.public.pem().decode(),
            "revoked": {"time": revoked.strftime("%Y-%m-%dT%H:%M:%SZ"), "reason": "stolen"},
        }
        policy.write_text(json.dumps({"version": 1, "keys": [entry]}))
        return verify(certificate, policy=policy, tsa_cert=authority.root if tsa else None)

    now = datetime.now(UTC)
    assert said(now + timedelta(hours=1), tsa=True)
    assert not said(now + timedelta(hours=1), tsa=False)
    assert not said(now - timedelta(hours=1), tsa=True)


def test_a_certificate_from_the_future_is_refused(authority: Authority):
    statement = standins.statement(signer=KEY)
    statement["predicate"]["issued"]["time"] = "2999-01-01T00:00:00Z"
    data = sign(canonical(statement), KEY).to_bytes()
    stamp = Timestamp(authority.stamp(data), load_roots(authority.root))
    verdict = verify_bytes(data, KEY.public, timestamp=stamp)
    assert "is later than its timestamp" in verdict.reason


def test_questions_that_cannot_be_asked(
    certificate: Path, authority: Authority, answer: bytes, tmp_path: Path
):
    draft = tmp_path / "draft.json"
    draft.write_text("{}")
    with pytest.raises(CertificateError, match="not a certificate in the one form"):
        request_timestamp(draft, "http://127.0.0.1:1/")
    with pytest.raises(CertificateError, match="can't be reached"):
        request_timestamp(certificate, "http://127.0.0.1:1/")
    with pytest.raises(CertificateError, match="no http or https address"):
        request_timestamp(certificate, "file:///etc/passwd")
    for impossible in ("http://[bad", "http://two words/"):
        with pytest.raises(CertificateError, match="can't be reached"):
            request_timestamp(certificate, impossible)
    for wrong in (tmp_path / "missing.pem", draft):
        with pytest.raises(CertificateError, match=r"can't be read|holds no X\.509"):
            request_timestamp(certificate, "http://127.0.0.1:1/", wrong)
    answers = [b"<html>", answer, authority.stamp(b"another file")]
    for said in ("it is no timestamp", "its nonce differs", "a timestamp of another file"):
        with serving(answers) as url, pytest.raises(CertificateError, match=said):
            request_timestamp(certificate, url)
        assert not timestamp_path(certificate).exists()


def test_the_commands(certificate: Path, authority: Authority):
    run = CliRunner().invoke
    how = ["--key", str(certificate.with_name("key.pub")), "--tsa-cert", str(authority.root)]
    missing = run(main, ["verify", str(certificate), *how])
    assert missing.exit_code == 2
    assert ".tsr can't be read" in missing.output
    with serving(authority) as url:
        done = run(main, ["timestamp", str(certificate), "--tsa", url, *how[2:]])
    assert done.exit_code == 0, done.output
    assert f"Timestamp: {certificate}.tsr\nTime: 20" in done.output
    done = run(main, ["verify", str(certificate), *how])
    assert done.exit_code == 0
    assert "(proven by a timestamp)" in done.output
    timestamp_path(certificate).write_bytes(b"x")
    assert run(main, ["verify", str(certificate), *how]).exit_code == 1
