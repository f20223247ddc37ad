"""The regulation files: well formed, pointing at real fields, and claiming nothing they can't."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.compliance import standins
from traceprop.compliance import regulations
from traceprop.compliance.regulations import assess, known_regulations, load_regulation, resolve
from traceprop.compliance.schema_check import load_schema
from traceprop.errors import CertificateError
from traceprop.unlearning.records.classes import CLASSES

NAMES = known_regulations()
GUARANTEED = [name for name, found in CLASSES.items() if found.guarantee]
UNGUARANTEED = [name for name, found in CLASSES.items() if not found.guarantee]


def clauses(
    name: str, *, draft: bool = False, removal_class: str = "exact-convex"
) -> dict[str, Any]:
    signer = None if draft else standins.key()
    predicate = standins.statement(name, signer, removal_class)["predicate"]
    return {clause["clause"]: clause for clause in predicate["regulation"]["clauses"]}


def test_the_five_regulations_are_there():
    assert NAMES == [
        "CCPA_1798_105",
        "EU_AI_ACT_ART12",
        "EU_AI_ACT_ART26",
        "EU_AI_ACT_ART86",
        "GDPR_ART17",
    ]


def test_an_unknown_regulation_is_answered_with_the_known_ones():
    for name in ("GDPR", "../GDPR_ART17", "", "gdpr_art17"):
        with pytest.raises(CertificateError, match=r"Known are: CCPA_1798_105, EU_AI_ACT_ART12"):
            load_regulation(name)


@pytest.mark.parametrize("name", NAMES)
def test_each_file_keeps_to_its_schema_and_is_named_as_it_says(name: str):
    assert load_regulation(name)["id"] == name


def test_a_damaged_map_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "OWN.json").write_text(json.dumps({"id": "OWN"}))
    monkeypatch.setattr(regulations, "_FOLDER", tmp_path)
    with pytest.raises(CertificateError, match=r"OWN\.json is damaged: \$ has no 'title'"):
        load_regulation("OWN")


def described(pointer: str) -> dict[str, Any]:
    """The schema of the predicate's field that a pointer leads to."""
    whole = load_schema("statement.schema.json")
    part = whole["$defs"]["predicate"]
    for name in pointer.removeprefix("/").split("/"):
        while "$ref" in part or "anyOf" in part:  # of alternatives the first, the other is null
            part = part["anyOf"][0] if "anyOf" in part else part
            part = whole["$defs"][part["$ref"].removeprefix("#/$defs/")]
        part = part["properties"][name]
    return part


@pytest.mark.parametrize("name", NAMES)
def test_evidence_points_at_fields_that_every_certificate_has(name: str):
    for clause in load_regulation(name)["clauses"]:
        for pointer in clause.get("evidence", []):
            described(pointer)
        for test in clause.get("evidenced_when", []):
            field = described(test["field"])
            assert "enum" in field or field["type"] == "boolean"
            assert set(test["one_of"]) <= set(field.get("enum", [True, False]))


@pytest.mark.parametrize("name", NAMES)
def test_a_clause_that_can_be_evidenced_names_its_part_and_its_evidence(name: str):
    for clause in load_regulation(name)["clauses"]:
        if "evidenced_when" in clause:
            assert clause["part"]
            assert clause["evidence"]


@pytest.mark.parametrize("name", NAMES)
def test_a_draft_evidences_nothing(name: str):
    found = clauses(name, draft=True)
    assert not [c for c in found.values() if c["status"] == "evidenced"]
    assert not any("/signer" in c["evidence"] for c in found.values())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("removal_class", UNGUARANTEED)
def test_without_a_guarantee_no_erasure_is_claimed(name: str, removal_class: str):
    for clause in clauses(name, removal_class=removal_class).values():
        assert "rase" not in clause["asks"] or clause["status"] != "evidenced"
        assert "elete" not in clause["asks"] or clause["status"] != "evidenced"


def test_article_26_has_no_erasure_duty_and_is_side_evidence():
    found = clauses("EU_AI_ACT_ART26")
    assert found["Art. 26, erasure"]["status"] == "not applicable"
    assert found["Art. 26(4)"]["status"] == "supplied by the deployer"
    assert found["Art. 26(4)"]["evidence"] == ["/sources", "/preprocessing"]
    assert "six months" in found["Art. 26(6)"]["asks"]
    assert "financial" in found["Art. 26(6)"]["note"].lower()
    assert [name for name, c in found.items() if c["status"] == "evidenced"] == ["Art. 26(12)"]
    about = " ".join(load_regulation("EU_AI_ACT_ART26")["about"])
    for fact in (
        "no duty to erase",
        "17 and 5(2)",
        "no official form",
        "2 December 2027",
        "counsel",
    ):
        assert fact in about


@pytest.mark.parametrize("removal_class", GUARANTEED)
def test_gdpr_17_rests_on_a_guarantee(removal_class: str):
    found = clauses("GDPR_ART17", removal_class=removal_class)
    evidenced = {name for name, c in found.items() if c["status"] == "evidenced"}
    assert evidenced == {"Art. 5(2)", "Art. 17(1), the weights"}
    assert found["Art. 17(1), the gradient store"]["status"] == "not covered"
    assert found["Art. 17(1), the preparation of the data"]["status"] == "not covered"
    assert found["Art. 15(1)(h)"]["status"] == "not covered"
    for name in ("Art. 17(3)", "Art. 19"):
        assert found[name]["status"] == "supplied by the deployer"


@pytest.mark.parametrize("name", ["GDPR_ART17", "CCPA_1798_105"])
def test_a_removal_from_data_that_nobody_recorded_is_no_erasure(name: str):
    """It used to be: from any data at all came a signed `evidenced`."""
    for origin, status in (("store", "evidenced"), ("given", "not covered")):
        predicate = standins.statement(name, standins.key(), origin=origin)["predicate"]
        (weights,) = (c for c in predicate["regulation"]["clauses"] if "weights" in c["clause"])
        assert weights["status"] == status


def test_article_12_claims_no_order_and_no_proven_time():
    said = clauses("EU_AI_ACT_ART12")["Art. 12(2)(a)"]
    assert said["status"] == "evidenced"
    assert "order" not in said["part"]
    assert "by the signer's clock" in said["part"]


def test_article_86_is_not_answered_by_a_removal():
    found = clauses("EU_AI_ACT_ART86")
    assert not [c for c in found.values() if c["status"] == "evidenced"]
    assert "Regulation B" in " ".join(load_regulation("EU_AI_ACT_ART86")["about"])


def test_the_glba_exemption_is_named_for_california():
    assert "Gramm-Leach-Bliley" in " ".join(load_regulation("CCPA_1798_105")["about"])
    assert clauses("CCPA_1798_105")["1798.145(e)"]["status"] == "supplied by the deployer"


def test_evidence_that_is_not_there_is_no_evidence():
    clause = {
        "clause": "1",
        "asks": "x",
        "part": "x",
        "status": "not covered",
        "evidence": ["/a/b", "/c"],
        "evidenced_when": [{"field": "/draft", "one_of": [False]}],
    }
    regulation = {"clauses": [clause]}
    whole = {"draft": False, "a": {"b": 0}, "c": "x"}

    def assessed(predicate: dict[str, Any]) -> tuple[str, list[str]]:
        (found,) = assess(regulation, predicate)["clauses"]
        assert "evidenced_when" not in found
        return found["status"], found["evidence"]

    assert assessed(whole) == ("evidenced", ["/a/b", "/c"])
    assert assessed({**whole, "c": []}) == ("not covered", ["/a/b"])
    assert assessed({**whole, "a": 3}) == ("not covered", ["/c"])
    assert assessed({**whole, "draft": True}) == ("not covered", ["/a/b", "/c"])
    assert assessed({"a": {"b": 1}, "c": 1}) == ("not covered", ["/a/b", "/c"])


def test_pointers_lead_where_they_say():
    value = {"a": {"b": [1]}, "n": None}
    assert resolve(value, "/a/b") == [1]
    assert resolve(value, "/a") == {"b": [1]}
    for pointer in ("/n", "/x", "/a/x", "/a/b/0"):
        assert resolve(value, pointer) is None
