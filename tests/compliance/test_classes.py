"""The classes of removal stand in one table; whatever else names them agrees with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from traceprop.compliance.regulations import known_regulations, load_regulation
from traceprop.compliance.schema_check import SCHEMA_FOLDER, load_schema
from traceprop.unlearning.records.classes import CLASSES, METHODS, ClassName
from traceprop.unlearning.records.left import State, left_by_removal

ROOT = Path(__file__).resolve().parents[2]
PREDICATE = load_schema("statement.schema.json")["$defs"]["predicate"]["properties"]


def _table(text: str, heading: str) -> dict[str, str]:
    """The first column of a Markdown table, in backticks, and the last one."""
    rows = re.search(rf"\| `?{heading}`? \|.*?\n((?: *\|.*\n)+)", text)
    assert rows is not None
    cells = [[c.strip() for c in line.strip(" |\n").split("|")] for line in rows[1].splitlines()]
    return {row[0].strip("`"): row[-1] for row in cells[1:]}


def test_the_schema_of_a_certificate_knows_them_all():
    assert tuple(CLASSES) == get_args(ClassName)
    assert PREDICATE["removal"]["properties"]["removal_class"]["enum"] == list(CLASSES)


def test_its_documentation_names_their_guarantees():
    named = _table((SCHEMA_FOLDER / "removal-v1.md").read_text(), "removal_class")
    assert list(named) == list(CLASSES)
    for name, found in CLASSES.items():
        assert named[name].startswith(found.guarantee or "none")


def test_readme_names_classes_of_the_table():
    named = _table((ROOT / "README.md").read_text(), "class")
    assert list(named) == list(CLASSES)
    for name, promise in named.items():
        nothing = "no guarantee" in promise or "comparison only" in promise
        assert nothing == (CLASSES[name].guarantee is None)
    assert "bound" in named["exact-convex"]
    assert "(ε, δ)" in named["certified"]


@pytest.mark.parametrize("name", known_regulations())
def test_regulations_rest_on_those_with_a_guarantee(name: str):
    guaranteed = [name for name, found in CLASSES.items() if found.guarantee]
    rules = [r for c in load_regulation(name)["clauses"] for r in c.get("evidenced_when", [])]
    for rule in rules:
        if rule["field"] == "/removal/removal_class":
            assert rule["one_of"] == guaranteed
            assert {"field": "/removal/data/origin", "one_of": ["store"]} in rules


def test_no_method_is_called_as_a_class_that_promises_nothing():
    assert not set(METHODS) & {name for name, found in CLASSES.items() if not found.guarantee}


def test_the_schema_knows_what_can_be_left():
    item = PREDICATE["left"]["items"]["properties"]
    assert item["state"]["enum"] == list(get_args(State))
    kinds = [left.kind for left in left_by_removal(3)]
    assert all(re.fullmatch(item["kind"]["pattern"], kind) for kind in kinds)
    assert len(set(kinds)) == len(kinds)
