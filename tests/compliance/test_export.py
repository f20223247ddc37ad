"""Exports: valid by their formats' schemas, true to the certificate, silent about people."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import prov.tests
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from openlineage.client.serde import Serde
from prov.model import ProvDocument

from tests.compliance import standins
from tests.compliance.openlineage_event import rebuilt
from tests.e2e.test_extras import BLOCKED, COMMAND
from traceprop.audit.canonical import canonical
from traceprop.cli import main
from traceprop.compliance.draft import draft_bytes
from traceprop.compliance.envelope import sign
from traceprop.compliance.export import FORMATS, export_statement
from traceprop.compliance.schema_check import load_schema
from traceprop.errors import CertificateError

KEY = standins.key(0)
SERIAL_AS_UUID = "01234567-89ab-cdef-0123-456789abcdef"


def statement() -> dict[str, Any]:
    """One whose every field that must not get out holds a word to look for."""
    found = standins.statement(signer=KEY)
    predicate = found["predicate"]
    predicate["responsible"] = dict.fromkeys(predicate["responsible"], "PERSON")
    predicate["sources"][0]["uri"] = "/home/PERSON/loans.csv"
    predicate["sources"][0]["name"] = "/home/PERSON/loans.csv"
    predicate["removal"]["reason"] = "PERSON"
    predicate["removal"]["margin"] = {"sample 564738291": 0.7193}
    predicate["removal"]["loss"]["forget"] = {"before": 0.7193, "after": 0.7193}
    predicate["left"][0]["note"] = "PERSON"
    predicate["training"] = {"input_columns": ["PERSON"]}
    predicate["rerun"]["needs"] = ["PERSON"]
    return found


STATEMENT = statement()
CERTIFICATE = sign(canonical(STATEMENT), KEY).to_bytes()
EXPORTS = {name: export_statement(name, STATEMENT, CERTIFICATE) for name in FORMATS}
TEXTS = {name: json.dumps(export) for name, export in EXPORTS.items()}


def test_prov_keeps_to_the_schema_of_its_submission():
    path = Path(prov.tests.__file__).parent / "schemas" / "prov-json.schema.json"
    schema = json.loads(path.read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(EXPORTS["prov"])
    document = ProvDocument.deserialize(content=TEXTS["prov"], format="json")
    assert document == ProvDocument.deserialize(content=document.serialize(), format="json")
    # Four entities, two agents, the removal, and seven relations between them.
    assert len(document.get_records()) == 4 + 2 + 1 + 7


def test_cyclonedx_keeps_to_its_schema():
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(TEXTS["cyclonedx"]) is None
    broken = TEXTS["cyclonedx"].replace("technicalLimitations", "limits")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(broken) is not None


def test_openlineage_is_what_its_own_classes_take():
    event = EXPORTS["openlineage"]
    assert Serde.to_dict(rebuilt(event)) == event
    removal = event["run"]["facets"]["traceprop_removal"]
    schema = load_schema("openlineage-removal-facet.schema.json")
    jsonschema.Draft202012Validator(schema).validate(removal)
    assert removal["_schemaURL"] == schema["$id"]
    for broken in (
        {**event, "eventTime": "yesterday"},
        {**event, "run": {**event["run"], "runId": "1"}},
        {**event, "inputs": [{**event["inputs"][0], "row": 1}]},
    ):
        with pytest.raises((TypeError, ValueError)):
            rebuilt(broken)


@pytest.mark.parametrize("name", FORMATS)
def test_no_export_names_a_row_a_person_or_a_sealed_entry(name: str):
    text = TEXTS[name]
    tree = STATEMENT["predicate"]["forget_set"]["tree"]
    for row in (*standins.ROWS, *standins.SAMPLES):
        assert str(row) not in text
    for secret in ("PERSON", "/home", "0.7193", tree["root"], *tree["leaves"]):
        assert secret not in text
    assert "loans.csv" in text


@pytest.mark.parametrize("name", FORMATS)
def test_each_export_says_what_was_done_and_where_the_proof_is(name: str):
    predicate = STATEMENT["predicate"]
    for said in (
        hashlib.sha256(CERTIFICATE).hexdigest(),
        predicate["models"]["before"]["sha256"],
        predicate["models"]["after"]["sha256"],
        predicate["sources"][0]["sha256"],
        predicate["lineage"]["sha256"],
        predicate["issued"]["time"],
        KEY.fingerprint,
        "exact-convex",
        "1.5e-09",
        "GDPR_ART17",
        "0.1.0",
    ):
        assert said in TEXTS[name].replace("+00:00", "Z"), said
    assert any(number in TEXTS[name] for number in (standins.SERIAL, SERIAL_AS_UUID))


@pytest.mark.parametrize("name", FORMATS)
def test_what_may_be_missing_is_left_out(name: str):
    found = standins.statement(signer=KEY, removal_class="approximate-unguaranteed")
    found["predicate"]["removal"]["bound"] = None
    found["predicate"]["lineage"] = None
    found["predicate"]["sources"] = []
    text = json.dumps(export_statement(name, found, CERTIFICATE))
    assert "bound" not in text.replace("bound on", "")
    assert "lineageSha256" not in text
    if name == "cyclonedx":
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


@pytest.mark.parametrize("name", FORMATS)
def test_two_copies_of_one_file_stay_two(name: str):
    found = statement()
    found["predicate"]["sources"] *= 2
    text = json.dumps(export_statement(name, found, CERTIFICATE))
    assert text.count("loans.csv") == 2
    if name == "cyclonedx":
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


@pytest.mark.parametrize("name", FORMATS)
def test_a_draft_is_not_exported(name: str):
    with pytest.raises(CertificateError, match="draft is not exported"):
        export_statement(name, standins.statement(signer=None), b"")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "certificate.json"
    path.write_bytes(CERTIFICATE)
    (tmp_path / "key.pub").write_bytes(KEY.public.pem())
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_the_command_verifies_first(certificate: Path, name: str):
    out = certificate.with_name("export.json")
    how = ["export", str(certificate), "--format", name, "--key"]
    key = str(certificate.with_name("key.pub"))
    printed = CliRunner().invoke(main, [*how, key])
    assert printed.exit_code == 0, printed.output
    done = CliRunner().invoke(main, [*how, key, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert json.loads(out.read_bytes()) == json.loads(printed.stdout) == EXPORTS[name]
    again = CliRunner().invoke(main, [*how, key, "--out", str(out)])
    assert again.exit_code == 1
    assert "can't be written" in again.output

    other = certificate.with_name("other.pub")
    other.write_bytes(standins.key(1).public.pem())
    refused = CliRunner().invoke(main, [*how, str(other)])
    assert refused.exit_code == 1
    assert "NOT VALID" in refused.output
    certificate.write_bytes(draft_bytes(standins.statement(signer=None)))
    refused = CliRunner().invoke(main, [*how, key])
    assert refused.exit_code == 1
    assert "this is a draft" in refused.output
    assert CliRunner().invoke(main, [*how, str(out)]).exit_code == 2


@pytest.mark.parametrize(
    ("library", "arguments", "status"),
    [
        ("prov", ["export", "c.json", "--format", "prov", "--key", "key.pub"], 1),
        ("openlineage", ["export", "c.json", "--format", "openlineage", "--key", "key.pub"], 1),
        ("cyclonedx", ["export", "c.json", "--format", "cyclonedx", "--key", "key.pub"], 1),
        ("rfc3161_client", ["timestamp", "c.json", "--tsa", "http://127.0.0.1:1"], 1),
        ("rfc3161_client", ["verify", "c.json", "--key", "key.pub", "--tsa-cert", "root.pem"], 2),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else str(value),
)
def test_without_a_library_the_extra_is_named(
    tmp_path: Path, library: str, arguments: list[str], status: int
):
    (tmp_path / "c.json").write_bytes(CERTIFICATE)
    (tmp_path / "c.json.tsr").write_bytes(b"")
    (tmp_path / "key.pub").write_bytes(KEY.public.pem())
    (tmp_path / "root.pem").write_bytes(self_signed())
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + COMMAND, library, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    (line,) = done.stderr.splitlines()
    extra = "timestamp" if library == "rfc3161_client" else "report"
    assert f"needs {library}" in line
    assert f"extra [{extra}]" in line


def self_signed() -> bytes:
    """Any certificate at all: it is read before the library is needed."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start)
    return builder.sign(key, None).public_bytes(Encoding.PEM)
