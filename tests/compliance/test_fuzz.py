"""Random damage: the verifier refuses each input with a line of its own, and never crashes."""

from __future__ import annotations

import json
import random
from contextlib import suppress

import pytest
from jsonschema import Draft202012Validator

from tests.compliance import standins
from tests.compliance.mutations import edited_json, mutated
from traceprop.audit.canonical import canonical
from traceprop.compliance.envelope import open_envelope, sign
from traceprop.compliance.policy import load_policy
from traceprop.compliance.schema_check import load_schema
from traceprop.compliance.verify import verify_bytes
from traceprop.errors import CertificateError

KEY, OTHER = standins.key(0), standins.key(1)
CERTIFICATE, STRANGE = standins.certificate(KEY), standins.certificate(OTHER)


def test_no_mutated_certificate_is_accepted():
    rng = random.Random(0)
    for _ in range(3_000):
        data = mutated(CERTIFICATE, STRANGE, rng)
        assert data != CERTIFICATE
        verdict = verify_bytes(data, KEY.public)
        assert not verdict.ok
        assert verdict.reason.startswith("NOT VALID: ")
        assert "\n" not in verdict.reason


def test_nonsense_that_the_key_itself_signed_is_judged_and_not_feared():
    """Accepted only where the reference implementation finds nothing wrong with it either."""
    reference = Draft202012Validator(load_schema("statement.schema.json"))
    rng, statement = random.Random(1), json.loads(open_envelope(CERTIFICATE).payload)
    accepted = 0
    for _ in range(1_500):
        changed = edited_json(statement, rng)
        try:
            payload = canonical(changed)
        except ValueError:  # no JSON by RFC 8785: never signed in this form
            payload = json.dumps(changed).encode()
        verdict = verify_bytes(sign(payload, KEY).to_bytes(), KEY.public)
        accepted += verdict.ok
        assert not verdict.ok or reference.is_valid(json.loads(payload))
    # Words of a free text, and little else, may be other words.
    assert 0 < accepted < 500


@pytest.mark.parametrize("seed", range(3))
def test_a_mutated_policy_is_read_or_refused(tmp_path, seed: int):
    keys = [
        {
            "holder": "Model Risk",
            "public_key": KEY.public.pem().decode(),
            "not_before": "2001-01-01T00:00:00Z",
            "not_after": "2999-01-01T00:00:00Z",
            "revoked": {"time": "2998-01-01T00:00:00Z", "reason": "x"},
            "regulations": ["GDPR_ART17"],
        }
    ]
    path, rng = tmp_path / "trust.json", random.Random(seed)
    for _ in range(300):
        path.write_bytes(
            json.dumps(edited_json({"version": 1, "keys": keys}, rng)).encode()
            if rng.random() < 0.7
            else mutated(CERTIFICATE, STRANGE, rng)
        )
        with suppress(CertificateError):
            assert "\n" not in verify_bytes(CERTIFICATE, load_policy(path)).reason
