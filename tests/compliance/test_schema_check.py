"""Our small validator against the reference implementation, on our schemas and on random ones."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.compliance import standins
from traceprop.audit.canonical import canonical, parse
from traceprop.compliance.schema_check import KEYWORDS, SCHEMA_FOLDER, first_error, load_schema

NAMES = sorted(path.name for path in SCHEMA_FOLDER.glob("*.json"))
STATEMENT = parse(canonical(standins.statement(signer=standins.key())))


def both(value: Any, schema: dict[str, Any]) -> bool:
    """What the two say, once they say the same."""
    ours = first_error(value, schema) is None
    assert ours == Draft202012Validator(schema).is_valid(value), first_error(value, schema)
    return ours


@pytest.mark.parametrize("name", NAMES)
def test_shipped_schemas_are_schemas(name: str):
    schema = json.loads((SCHEMA_FOLDER / name).read_bytes())
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def keywords(schema: Any) -> set[str]:
    """Every keyword of a schema, wherever it is."""
    found: set[str] = set()
    for word, rule in schema.items():
        found.add(word)
        if word in ("properties", "$defs"):
            found |= set().union(*(keywords(part) for part in rule.values()))
        elif word == "anyOf":
            found |= set().union(*(keywords(part) for part in rule))
        elif word in ("items", "additionalProperties") and isinstance(rule, dict):
            found |= keywords(rule)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_shipped_schemas_use_known_keywords_only(name: str):
    assert keywords(load_schema(name)) <= KEYWORDS


def test_an_unknown_keyword_is_not_passed_over():
    with pytest.raises(ValueError, match="'oneOf' is not known"):
        first_error(1, {"oneOf": [{"type": "string"}]})


def test_the_statement_keeps_to_its_schema():
    assert both(STATEMENT, load_schema("statement.schema.json"))


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where each part of a JSON value is, as keys and indices from the top."""
    found = [at] if at else []
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in inner:
            found += paths(item, (*at, name))
    return found


def test_every_field_is_needed_and_typed_as_the_reference_says():
    """Each field of a real statement in turn dropped, or put in another type."""
    schema = load_schema("statement.schema.json")
    refused = 0
    for path in paths(STATEMENT):
        for change in ("drop", None, 7, "x", [], {}, True, 0.5, -1, "ab" * 32 + "\n"):
            value = copy.deepcopy(STATEMENT)
            holder = value
            for name in path[:-1]:
                holder = holder[name]
            if change == "drop":
                del holder[path[-1]]
            else:
                holder[path[-1]] = change
            refused += not both(value, schema)
    assert refused > 500


def test_a_field_that_no_schema_knows_is_refused():
    value = copy.deepcopy(STATEMENT)
    value["predicate"]["row"] = 4821
    assert not both(value, load_schema("statement.schema.json"))
    assert "unknown field 'row'" in str(first_error(value, load_schema("statement.schema.json")))


LEAVES = st.sampled_from([None, True, False, 0, 1, -1, 1.0, 0.5, "", "a", "ab", "b1"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=6,
)
TYPE = st.sampled_from(["object", "array", "string", "boolean", "null", "number", "integer"])
SCHEMAS = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "type": TYPE | st.lists(TYPE, min_size=1, max_size=2, unique=True),
            "const": LEAVES,
            "enum": st.lists(LEAVES, min_size=1, max_size=3),
            "pattern": st.sampled_from(["^a", "b", "^[a-z]+$"]),
            "maxLength": st.integers(0, 2),
            "minimum": st.integers(-1, 1),
            "minItems": st.integers(0, 2),
            "maxItems": st.integers(0, 2),
            "required": st.lists(st.sampled_from("ab"), max_size=2, unique=True),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "items": inner,
            "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            "additionalProperties": st.booleans() | inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
        },
    ),
    max_leaves=4,
)


@given(VALUES, SCHEMAS)
def test_random_values_and_schemas_are_judged_as_the_reference_does(value: Any, schema: Any):
    both(value, schema)
