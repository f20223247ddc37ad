"""The pages say what the code does: every field, every format, an example that works."""

from __future__ import annotations

import json
import re
from pathlib import Path

from click.testing import CliRunner

from tests.compliance import standins
from traceprop.cli import main
from traceprop.compliance.export import FORMATS
from traceprop.compliance.regulations import known_regulations
from traceprop.compliance.schema_check import SCHEMA_FOLDER, load_schema

PREDICATE_PAGE = (SCHEMA_FOLDER / "removal-v1.md").read_text()
GUIDE = (Path(__file__).parents[2] / "docs" / "certificate.md").read_text()


def test_the_page_on_the_predicate_names_every_field():
    predicate = load_schema("statement.schema.json")["$defs"]["predicate"]
    table = PREDICATE_PAGE.partition("## Fields")[2].partition("### Classes")[0]
    named = set(re.findall(r"`([a-z_]+)(?:\.[a-z_.]+)?`", table))
    assert set(predicate["required"]) == set(predicate["properties"]) <= named
    for group in ("purge", "responsible", "rerun", "issued", "models", "preprocessing"):
        for field in predicate["properties"][group]["properties"]:
            assert field in table, f"{group}.{field}"


def test_the_guide_names_every_field_of_a_policy_every_format_and_regulation():
    policy = load_schema("trust-policy.schema.json")["$defs"]["key"]
    for name in (*policy["properties"], *FORMATS, *known_regulations()):
        assert f"`{name}`" in GUIDE or f"--format {name}`" in GUIDE, name


def test_the_guides_policy_works(tmp_path: Path):
    text = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)[0]
    policy = json.loads(text)
    policy["keys"][0]["public_key"] = standins.key().public.pem().decode()
    policy["keys"][0]["not_before"] = "2001-01-01T00:00:00Z"
    policy["keys"][0]["not_after"] = "2999-01-01T00:00:00Z"
    (tmp_path / "trust.json").write_text(json.dumps(policy))
    (tmp_path / "certificate.json").write_bytes(standins.certificate())

    def verify(*more: str) -> tuple[int, str]:
        how = ["verify", str(tmp_path / "certificate.json"), "--policy"]
        done = CliRunner().invoke(main, [*how, str(tmp_path / "trust.json"), *more])
        return done.exit_code, done.output

    status, said = verify("--holder", "Model Risk")
    assert status == 0
    assert "of Model Risk, time 20" in said
    assert verify("--holder", "Audit")[0] == 1
    policy["keys"][0]["revoked"] = {"time": "2999-01-01T00:00:00Z", "reason": "stolen"}
    (tmp_path / "trust.json").write_text(json.dumps(policy))
    status, said = verify()
    assert status == 1
    assert "(stolen)" in said
    (tmp_path / "trust.json").write_text("{}")
    assert verify()[0] == 2
    assert verify("--key", str(tmp_path / "trust.json"))[0] == 2
