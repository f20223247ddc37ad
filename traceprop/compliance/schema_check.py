"""Checking a JSON value against a schema, for the part of JSON Schema 2020-12 that ours use.

Why not the `jsonschema` package here: importing it takes 55 ms, more than a whole verification may.
It is what a certificate is held against before it is signed, and what the tests compare this module
with. Promise: a keyword that this module doesn't know raises, so a schema can't ask for more than
is checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

SCHEMA_FOLDER = Path(__file__).parent / "schema"

Schema = dict[str, Any]

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool)
        and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
}
# Checked together, by `_object_errors`.
_OF_OBJECTS = {"required", "additionalProperties"}
_UNCHECKED = {"$schema", "$id", "$defs", "title", "description"}


@cache
def load_schema(name: str) -> Schema:
    """Read a schema that ships with the package, by its file name."""
    schema: Schema = json.loads((SCHEMA_FOLDER / name).read_bytes())
    return schema


def first_error(value: Any, schema: Schema) -> str | None:
    """Return where and how a value breaks a schema, or None if it keeps to it.

    Parameters
    ----------
    value : JSON value
        As `json.loads` gives it.
    schema : dict
        A whole schema; its `$ref` lead into its own `$defs`.

    Raises
    ------
    ValueError
        The schema uses a keyword that is not known here.
    """
    return next(_errors(value, schema, schema, "$"), None)


def _errors(value: Any, schema: Schema, whole: Schema, where: str) -> Iterator[str]:
    for keyword, rule in schema.items():
        if keyword not in KEYWORDS:
            raise ValueError(f"the schema keyword {keyword!r} is not known")
        if keyword in _CHECKS:
            yield from _CHECKS[keyword](value, rule, whole, where)
    if isinstance(value, dict):
        yield from _object_errors(value, schema, whole, where)


def _object_errors(
    value: dict[str, Any], schema: Schema, whole: Schema, where: str
) -> Iterator[str]:
    """Check `required` and `additionalProperties`, which look at the keys as a whole."""
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{where} has no {name!r}"
    others = schema.get("additionalProperties", True)
    for name in value.keys() - schema.get("properties", {}).keys():
        if others is False:
            yield f"{where} has an unknown field {name!r}"
        elif others is not True:
            yield from _errors(value[name], others, whole, f"{where}[{name!r}]")


def _type(value: Any, rule: Any, _: Schema, where: str) -> Iterator[str]:
    names = [rule] if isinstance(rule, str) else rule
    if not any(_TYPES[name](value) for name in names):
        yield f"{where} is not of type {' or '.join(names)}"


def _same(value: Any, expected: Any) -> bool:
    # In JSON, true is not 1.
    return bool(value == expected) and isinstance(value, bool) == isinstance(expected, bool)


def _const(value: Any, rule: Any, _: Schema, where: str) -> Iterator[str]:
    if not _same(value, rule):
        yield f"{where} is not {rule!r}"


def _enum(value: Any, rule: Any, _: Schema, where: str) -> Iterator[str]:
    if not any(_same(value, expected) for expected in rule):
        yield f"{where} is none of {rule!r}"


def _pattern(value: Any, rule: Any, _: Schema, where: str) -> Iterator[str]:
    if isinstance(value, str) and not re.search(rule, value):
        yield f"{where} doesn't look like {rule}"


def _length(value: Any, rule: Any, _: Schema, where: str) -> Iterator[str]:
    if isinstance(value, str) and len(value) > rule:
        yield f"{where} is longer than {rule} characters"


def _minimum(value: Any, rule: Any, _: Schema, where: str) -> Iterator[str]:
    if _TYPES["number"](value) and value < rule:
        yield f"{where} is below {rule}"


def _min_items(value: Any, rule: Any, _: Schema, where: str) -> Iterator[str]:
    if isinstance(value, list) and len(value) < rule:
        yield f"{where} has fewer than {rule} items"


def _max_items(value: Any, rule: Any, _: Schema, where: str) -> Iterator[str]:
    if isinstance(value, list) and len(value) > rule:
        yield f"{where} has more than {rule} items"


def _items(value: Any, rule: Any, whole: Schema, where: str) -> Iterator[str]:
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _errors(item, rule, whole, f"{where}[{i}]")


def _properties(value: Any, rule: Any, whole: Schema, where: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, part in rule.items():
            if name in value:
                yield from _errors(value[name], part, whole, f"{where}.{name}")


def _ref(value: Any, rule: Any, whole: Schema, where: str) -> Iterator[str]:
    yield from _errors(value, whole["$defs"][rule.removeprefix("#/$defs/")], whole, where)


def _any_of(value: Any, rule: Any, whole: Schema, where: str) -> Iterator[str]:
    if not any(next(_errors(value, part, whole, where), None) is None for part in rule):
        yield f"{where} has none of the forms that it may have"


_CHECKS: dict[str, Callable[[Any, Any, Schema, str], Iterator[str]]] = {
    "$ref": _ref,
    "anyOf": _any_of,
    "const": _const,
    "enum": _enum,
    "items": _items,
    "maxItems": _max_items,
    "maxLength": _length,
    "minItems": _min_items,
    "minimum": _minimum,
    "pattern": _pattern,
    "properties": _properties,
    "type": _type,
}

KEYWORDS = _CHECKS.keys() | _OF_OBJECTS | _UNCHECKED
"""The part of JSON Schema that this module knows."""
