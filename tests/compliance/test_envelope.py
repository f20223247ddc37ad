"""DSSE to the letter, one form of the file, and an independent implementation's opinion."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compliance import standins
from traceprop.compliance.envelope import (
    PAYLOAD_TYPE,
    Envelope,
    open_envelope,
    pre_authentication_encoding,
    sign,
)
from traceprop.errors import CertificateError

KEY = standins.key()


def test_the_specifications_own_vector():
    encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_lengths_are_counted_in_bytes():
    assert pre_authentication_encoding("tè", b"") == b"DSSEv1 3 t\xc3\xa8 0 "


@given(st.binary(max_size=200))
def test_what_is_signed_comes_back(payload: bytes):
    envelope = sign(payload, KEY)
    assert open_envelope(envelope.to_bytes()) == envelope
    assert envelope.signed_by(KEY.public)
    assert not envelope.signed_by(standins.key(1).public)
    assert not Envelope(payload + b" ", KEY.fingerprint, envelope.signature).signed_by(KEY.public)


def test_the_key_must_be_the_one_that_is_named():
    envelope = sign(b"payload", KEY)
    renamed = Envelope(b"payload", standins.key(1).fingerprint, envelope.signature)
    assert not renamed.signed_by(KEY.public)
    assert not renamed.signed_by(standins.key(1).public)


def test_the_file_is_plain_dsse():
    envelope = sign(b"payload", KEY)
    fields = json.loads(envelope.to_bytes())
    assert fields["payloadType"] == PAYLOAD_TYPE == "application/vnd.in-toto+json"
    assert base64.b64decode(fields["payload"]) == b"payload"
    (signature,) = fields["signatures"]
    assert signature.keys() == {"keyid", "sig"}
    assert len(base64.b64decode(signature["sig"])) == 64


DATA = sign(b"payload", KEY).to_bytes()
FIELDS = json.loads(DATA)
SIGNATURE = FIELDS["signatures"][0]


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        DATA + b"\n",
        b" " + DATA,
        b"\xef\xbb\xbf" + DATA,
        DATA.replace(b",", b", "),
        json.dumps(FIELDS, indent=2).encode(),
        compact(dict(reversed(FIELDS.items()))),
        compact({**FIELDS, "extra": 1}),
        compact({**FIELDS, "signatures": []}),
        compact({**FIELDS, "signatures": [SIGNATURE, SIGNATURE]}),
        compact({**FIELDS, "signatures": [{"sig": SIGNATURE["sig"], "keyid": SIGNATURE["keyid"]}]}),
        compact({**FIELDS, "signatures": [{"sig": SIGNATURE["sig"]}]}),
        compact({**FIELDS, "payloadType": "application/json"}),
        DATA.replace(b'{"payload":', b'{"payload":"cGF5bG9hZA==","payload":', 1),
        DATA.replace(b"cGF5", b"\\u0063GF5"),
        DATA.replace(b"cGF5bG9hZA==", b"cGF5bG9hZB=="),
        DATA.replace(b"cGF5bG9hZA==", b"cGF5bG9hZA"),
        DATA.replace(b"cGF5bG9hZA==", b"cGF5bG9hZA= ="),
        DATA.replace(b"cGF5bG9hZA==", b"cGF5\\nbG9hZA=="),
        DATA.replace(SIGNATURE["keyid"].encode(), SIGNATURE["keyid"].upper().encode()),
        DATA.replace(b"in-toto+json", b"in-toto\\u002bjson"),
        DATA.decode().encode("utf-16"),
        b"[" * 1_000_000,
    ],
    ids=lambda data: f"{len(data)} {data[:40]!r}",
)
def test_every_other_spelling_is_refused(data: bytes):
    assert data != DATA
    with pytest.raises(CertificateError, match="not a certificate in the one form"):
        open_envelope(data)


def test_url_safe_base64_is_another_spelling():
    """DSSE lets a verifier take it; one form of the file means that we don't."""
    data = sign(b"\xff\xfe\xfd?>" * 4, KEY).to_bytes()
    respelled = data.replace(b"/", b"_", 1) if b"/" in data[:80] else data.replace(b"+", b"-", 1)
    assert respelled != data
    with pytest.raises(CertificateError, match="one form"):
        open_envelope(respelled)


def test_an_independent_library_accepts_it():
    dsse = pytest.importorskip("securesystemslib.dsse")
    signer = pytest.importorskip("securesystemslib.signer")
    data = standins.certificate()
    envelope = dsse.Envelope.from_dict(json.loads(data))
    key = signer.SSlibKey(KEY.fingerprint, "ed25519", "ed25519", {"public": KEY.public.raw.hex()})
    assert envelope.verify([key], threshold=1) == {KEY.fingerprint: key}
    assert envelope.pae() == pre_authentication_encoding(PAYLOAD_TYPE, envelope.payload)
    other = sign(b"another payload", KEY)
    envelope.payload = other.payload
    errors = pytest.importorskip("securesystemslib.exceptions")
    with pytest.raises(errors.VerificationError):
        envelope.verify([key], threshold=1)
