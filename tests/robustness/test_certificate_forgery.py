"""Every changed bit shows, and no input of any kind is accepted or makes the verifier fail."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compliance import standins
from tests.compliance.removals import export, make_removal
from traceprop.audit.canonical import canonical, parse
from traceprop.compliance.envelope import open_envelope, sign
from traceprop.compliance.keys import generate_key
from traceprop.compliance.verify import verify_bytes

KEY = standins.key().public
CERTIFICATE = standins.certificate()
STATEMENT = parse(open_envelope(CERTIFICATE).payload)


def test_every_single_bit_change_of_a_real_certificate_fails(tmp_path: Path):
    signer = generate_key(tmp_path / "signing.key")
    saved = export(make_removal(tmp_path), key=signer.path).save(tmp_path / "certificate.json")
    data = bytearray(saved.read_bytes())
    assert verify_bytes(bytes(data), signer.public).ok
    for i in range(len(data)):
        for bit in range(8):
            data[i] ^= 1 << bit
            assert not verify_bytes(bytes(data), signer.public).ok, (i, bit)
            data[i] ^= 1 << bit
    assert data == saved.read_bytes()


def test_every_cut_and_every_lengthening_fails():
    for i in range(len(CERTIFICATE)):
        assert not verify_bytes(CERTIFICATE[:i], KEY).ok
    for tail in (b"\n", b" ", b"\0", b"}", CERTIFICATE):
        assert not verify_bytes(CERTIFICATE + tail, KEY).ok
        assert not verify_bytes(tail + CERTIFICATE, KEY).ok


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A certificate after a few cuts, insertions, overwritings and repetitions."""
    data = bytearray(CERTIFICATE)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(start + 64, len(data))))
        with_what = draw(
            st.binary(max_size=16)
            | st.sampled_from([b'"', b"\\", b"{", b"=", b"==", b"\\u0041", b",", b"null"])
            | st.just(bytes(data[start:end]) * 2)
        )
        data[start:end] = with_what
    return bytes(data)


@settings(max_examples=2000)
@given(mutations() | st.binary(max_size=200))
def test_mutated_files_are_refused_without_a_crash(data: bytes):
    assert verify_bytes(data, KEY).ok == (data == CERTIFICATE)


@settings(max_examples=300)
@given(st.data())
def test_mutated_json_is_refused_without_a_crash(data: st.DataObject):
    """The same envelope fields, with one changed, in the one form of the file."""
    fields = json.loads(CERTIFICATE)
    where = data.draw(st.sampled_from(["payload", "payloadType", "keyid", "sig"]))
    value = data.draw(
        st.text(max_size=100)
        | st.sampled_from([fields["payload"], fields["signatures"][0]["sig"], "", None, 1, []])
    )
    target = fields if where in fields else fields["signatures"][0]
    same = target[where] == value
    target[where] = value
    assert verify_bytes(canonical(fields), KEY).ok == same


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@settings(max_examples=500)
@given(st.data())
def test_a_signed_statement_with_any_other_value_anywhere_makes_no_crash(data: st.DataObject):
    """Even the key's holder can't make the verifier fail: it answers, one way or the other."""
    statement = json.loads(canonical(STATEMENT))
    holder, name = statement, data.draw(st.sampled_from(sorted(statement)))
    while isinstance(holder[name], dict | list) and holder[name] and data.draw(st.booleans()):
        holder = holder[name]
        inner = sorted(holder) if isinstance(holder, dict) else range(len(holder))
        name = data.draw(st.sampled_from(list(inner)))
    holder[name] = data.draw(JSON)
    verdict = verify_bytes(sign(canonical(statement), standins.key()).to_bytes(), KEY)
    assert isinstance(verdict.ok, bool)
    assert "\n" not in verdict.reason
