"""Goals of the certificate: what is refused and why, what others read in it, what it costs."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import prov.tests
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from openlineage.client.serde import Serde
from securesystemslib.dsse import Envelope as IndependentEnvelope
from securesystemslib.signer import SSlibKey

from asv_bench.goals import Goal, at_most, exactly
from asv_bench.goals.certificate_log import log_goals
from asv_bench.timing import median_interval
from tests.compliance.authority import Authority
from tests.compliance.mutations import mutated
from tests.compliance.openlineage_event import rebuilt
from tests.compliance.removals import export, make_removal
from traceprop.audit.canonical import canonical
from traceprop.compliance.envelope import Envelope, open_envelope, sign
from traceprop.compliance.export import FORMATS, export_statement
from traceprop.compliance.keys import SigningKey, generate_key, public_path
from traceprop.compliance.policy import KeyRing, load_policy
from traceprop.compliance.schema_check import load_schema
from traceprop.compliance.timestamp import Timestamp, load_roots
from traceprop.compliance.verify import verify_bytes

THREADS = "1 process, 2 cores"

MUTATIONS = 100_000


@dataclass(frozen=True)
class Scene:
    """A certificate of a real removal, one of the same removal by another signer, their keys."""

    folder: Path
    certificate: bytes
    other_certificate: bytes
    key: SigningKey
    other_key: SigningKey

    @property
    def statement(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(open_envelope(self.certificate).payload)
        return found


def goals() -> Iterator[Goal]:
    with tempfile.TemporaryDirectory() as name:
        scene = _scene(Path(name))
        yield _single_bits(scene)
        yield _independent(scene)
        yield from _refusals(scene)
        yield from _timestamps(scene)
        yield from _exports(scene)
        yield _mutations(scene)
        yield _time(scene)
        yield from log_goals(scene.folder, scene.key)


def _scene(folder: Path) -> Scene:
    removal = make_removal(folder)
    keys = [generate_key(folder / name) for name in ("signing.key", "other.key")]
    certificates = [export(removal, key=key.path, requester="A. Person").content for key in keys]
    (folder / "certificate.json").write_bytes(certificates[0])
    return Scene(folder, certificates[0], certificates[1], keys[0], keys[1])


def _single_bits(scene: Scene) -> Goal:
    accepted = 0
    for i in range(len(scene.certificate)):
        for bit in range(8):
            damaged = bytearray(scene.certificate)
            damaged[i] ^= 1 << bit
            accepted += verify_bytes(bytes(damaged), scene.key.public).ok
    what = f"single-bit changes that verify, of all {len(scene.certificate) * 8:,} of the file"
    return exactly(what, accepted, 0)


def _independent(scene: Scene) -> Goal:
    """`securesystemslib`, which shares no code with us, checks the envelope's signature."""
    envelope = IndependentEnvelope.from_dict(json.loads(scene.certificate))
    public = scene.key.public
    key = SSlibKey(public.fingerprint, "ed25519", "ed25519", {"public": public.raw.hex()})
    agreed = list(envelope.verify([key], threshold=1)) == [public.fingerprint]
    return exactly("signatures that securesystemslib verifies", int(agreed), 1)


@dataclass(frozen=True)
class Refusal:
    """A certificate that must fail, with what, and the words that its reason must hold."""

    what: str
    data: bytes
    keys: KeyRing
    said: str
    holder: str | None = None


def _refusals(scene: Scene) -> Iterator[Goal]:
    """One line a kind: how many of its cases pass, or fail for another reason than theirs."""
    kinds = {
        "forged": _forged(scene),
        "re-encoded": _reencoded(scene),
        "re-signed": _resigned(scene),
        "out-of-policy": _out_of_policy(scene),
    }
    for kind, cases in kinds.items():
        wrong = []
        for case in cases:
            verdict = verify_bytes(case.data, case.keys, holder=case.holder)
            if verdict.ok or case.said not in verdict.reason:
                wrong.append(f"{case.what}: {verdict.reason}")
        what = f"{kind} certificates of {len(cases)} not refused for their reason"
        yield exactly(what, len(wrong), 0, "; ".join(wrong))


def _forged(scene: Scene) -> list[Refusal]:
    ring, envelope = KeyRing.of(scene.key.public), open_envelope(scene.certificate)
    keyid, said = scene.key.fingerprint, "the signature doesn't fit"
    edited = scene.statement
    edited["predicate"]["removal"]["removal_class"] = "exact"
    strange = sign(envelope.payload, scene.other_key).signature
    cases = {
        "an edited statement": Envelope(canonical(edited), keyid, envelope.signature),
        "another key's signature": Envelope(envelope.payload, keyid, strange),
        "a signature of zeros": Envelope(envelope.payload, keyid, bytes(64)),
        "an empty signature": Envelope(envelope.payload, keyid, b""),
        "an empty payload": Envelope(b"", keyid, envelope.signature),
    }
    return [Refusal(what, forged.to_bytes(), ring, said) for what, forged in cases.items()]


def _reencoded(scene: Scene) -> list[Refusal]:
    """The same content in other bytes."""
    ring, said = KeyRing.of(scene.key.public), "not a certificate in the one form"
    data, fields = scene.certificate, json.loads(scene.certificate)
    payload = fields["payload"].encode()
    twice = {**fields, "signatures": fields["signatures"] * 2}
    cases = {
        "indented": json.dumps(fields, indent=2).encode(),
        "keys in another order": json.dumps(
            dict(reversed(fields.items())), separators=(",", ":")
        ).encode(),
        "a line end after it": data + b"\n",
        "a byte order mark": b"\xef\xbb\xbf" + data,
        "UTF-16": data.decode().encode("utf-16"),
        "two signatures": json.dumps(twice, separators=(",", ":")).encode(),
        "base64 in lines": data.replace(payload, payload[:76] + b"\\n" + payload[76:]),
        "base64 escaped": data.replace(payload, b"\\u0065" + payload[1:]),
    }
    return [Refusal(what, changed, ring, said) for what, changed in cases.items()]


def _resigned(scene: Scene) -> list[Refusal]:
    """The same statement, or one that says what it shouldn't, signed anew."""
    ring, other = KeyRing.of(scene.key.public), KeyRing.of(scene.other_key.public)
    payload, draft, subject = (
        open_envelope(scene.certificate).payload,
        scene.statement,
        scene.statement,
    )
    draft["predicate"]["draft"] = True
    subject["subject"][0]["digest"]["sha256"] = "0" * 64
    respelled = json.dumps(scene.statement, indent=1).encode()
    return [
        Refusal(
            "by another key",
            sign(payload, scene.other_key).to_bytes(),
            ring,
            "not with the key that it was checked with",
        ),
        Refusal(
            "by another key that is trusted",
            sign(payload, scene.other_key).to_bytes(),
            other,
            "names another signer",
        ),
        Refusal(
            "a draft", sign(canonical(draft), scene.key).to_bytes(), ring, "calls itself a draft"
        ),
        Refusal(
            "another subject",
            sign(canonical(subject), scene.key).to_bytes(),
            ring,
            "its subject is not the model",
        ),
        Refusal(
            "a statement in another spelling",
            sign(respelled, scene.key).to_bytes(),
            ring,
            "not RFC 8785",
        ),
    ]


def _out_of_policy(scene: Scene) -> list[Refusal]:
    past, future = "2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
    cases: list[tuple[str, SigningKey, dict[str, Any], str]] = [
        ("an unknown key", scene.other_key, {}, "unknown key"),
        ("not valid yet", scene.key, {"not_before": future}, f"is valid from {future}"),
        ("not valid any more", scene.key, {"not_after": past}, f"was valid until {past}"),
        (
            "revoked",
            scene.key,
            {"revoked": {"time": future, "reason": "stolen"}},
            "was revoked",
        ),
        ("another regulation", scene.key, {"regulations": ["CCPA_1798_105"]}, "may certify under"),
    ]
    refusals = [
        Refusal(what, scene.certificate, _policy(scene, key, **limits), said)
        for what, key, limits, said in cases
    ]
    ring = _policy(scene, scene.key)
    refusals.append(Refusal("another holder", scene.certificate, ring, "not by Audit", "Audit"))
    return refusals


def _policy(scene: Scene, key: SigningKey, **limits: Any) -> KeyRing:
    path = scene.folder / "trust.json"
    entry = {"holder": "Model Risk", "public_key": key.public.pem().decode(), **limits}
    path.write_text(json.dumps({"version": 1, "keys": [entry]}))
    return load_policy(path)


def _timestamps(scene: Scene) -> Iterator[Goal]:
    """An authority of our own; `openssl` makes the timestamps, and judges them too."""
    if shutil.which("openssl") is None:
        yield Goal("timestamps", "no openssl here", "checked", False)
        return
    authority = Authority(scene.folder / "authority")
    answer, roots = authority.stamp(scene.certificate), load_roots(authority.root)
    verdict = verify_bytes(scene.certificate, scene.key.public, timestamp=Timestamp(answer, roots))
    proven = verdict.time is not None and verdict.time.proof == "timestamp"
    yield exactly("timestamps of RFC 3161 by openssl that prove the time", int(proven), 1)
    stranger = load_roots(Authority(scene.folder / "stranger").root)
    wrong = [
        Timestamp(authority.stamp(scene.other_certificate), roots),
        Timestamp(answer, stranger),
        Timestamp(answer[:-1], roots),
    ]
    accepted = sum(
        verify_bytes(scene.certificate, scene.key.public, timestamp=stamp).ok for stamp in wrong
    )
    what = f"timestamps of {len(wrong)} accepted: of another file, by a stranger, cut off"
    yield exactly(what, accepted, 0)


def _exports(scene: Scene) -> Iterator[Goal]:
    exports = {name: export_statement(name, scene.statement, scene.certificate) for name in FORMATS}
    path = Path(prov.tests.__file__).parent / "schemas" / "prov-json.schema.json"
    schema = json.loads(path.read_text())
    bill = json.dumps(exports["cyclonedx"])
    # Put together again by the client's classes, and our own facet of it by its schema.
    event = rebuilt(exports["openlineage"])
    facet = exports["openlineage"]["run"]["facets"]["traceprop_removal"]
    ours = jsonschema.Draft202012Validator(load_schema("openlineage-removal-facet.schema.json"))
    valid = {
        "prov": jsonschema.validators.validator_for(schema)(schema).is_valid(exports["prov"]),
        "cyclonedx": JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None,
        "openlineage": Serde.to_dict(event) == exports["openlineage"] and ours.is_valid(facet),
    }
    broken = [name for name in FORMATS if not valid[name]]
    yield exactly(
        f"exports of {len(FORMATS)} that break their formats' schemas",
        len(broken),
        0,
        ", ".join(broken),
    )
    tree = scene.statement["predicate"]["forget_set"]["tree"]
    secrets = [*tree["leaves"], tree["root"], "A. Person"]
    leaks = sum(secret in json.dumps(exports[name]) for name in FORMATS for secret in secrets)
    yield exactly("sealed entries or people in an export", leaks, 0)


def _mutations(scene: Scene) -> Goal:
    rng = random.Random(0)
    accepted = 0
    for _ in range(MUTATIONS):
        data = mutated(scene.certificate, scene.other_certificate, rng)
        accepted += verify_bytes(data, scene.key.public).ok
    what = f"mutated certificates of {MUTATIONS:,} that verify"
    return exactly(what, accepted, 0, "a crash would end this table")


def _time(scene: Scene) -> Goal:
    """CPU time of a fresh process that verifies one file, less that of one that does nothing.

    Both start without `site` (-S): an editable install's import hook, which runs there, brings a
    good part along of what verifying needs, and an ordinary install has none.
    """
    verifying = (
        "import sys; from traceprop.compliance.verify import verify; "
        "sys.exit(not verify(sys.argv[1], sys.argv[2]).ok)"
    )
    files = [scene.folder / "certificate.json", public_path(scene.key.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    def milliseconds(program: str) -> float:
        command = [sys.executable, "-S", "-c", program, *map(str, files)]
        process = subprocess.Popen(command, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return 1e3 * (used.ru_utime + used.ru_stime)

    milliseconds(verifying), milliseconds("pass")
    beyond = np.array([milliseconds(verifying) - milliseconds("pass") for _ in range(31)])
    median, low, high = median_interval(beyond)
    note = f"95 % [{low:.0f}, {high:.0f}] ms of CPU time, 31 pairs of fresh processes"
    return at_most("one verification beyond starting Python", median, 50, " ms", note)
