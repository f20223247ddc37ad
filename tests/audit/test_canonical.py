"""RFC 8785 out and strict JSON in."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from traceprop.audit.canonical import canonical, jsonable, parse

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_bytes_of_the_rfc_example():
    """RFC 8785 section 3.2.2 to 3.2.4."""
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(value) == expected.encode()


@given(st.text() | st.text(st.characters(max_codepoint=0xFF)) | st.integers(0, 9).map(str))
def test_texts_have_the_bytes_that_the_package_gives(text: str):
    try:
        expected = rfc8785.dumps(text)
    except rfc8785.CanonicalizationError:
        return
    assert canonical(text) == expected


@given(VALUES)
def test_what_is_parsed_has_the_same_bytes_again(value: object):
    written = canonical(jsonable(value))
    assert canonical(parse(written)) == written


@pytest.mark.parametrize("number", [1e16, 1e20, 123456789012345680000.0, 2.0**53, 1e21, 5e-324])
def test_doubles_that_look_like_integers_come_back_as_doubles(number: float):
    assert parse(canonical([number])) == [number]
    assert canonical(parse(canonical([number]))) == canonical([number])


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        "NaN",
        "[Infinity]",
        "[-Infinity]",
        "{",
        "",
        "\ufeff{}",
        "[" * 100_000,
        "[01]",
        "'a'",
        "[1,]",
    ],
)
def test_loose_json_is_refused(text: str):
    with pytest.raises(ValueError, match=r".*"):
        parse(text.encode())


def test_bytes_that_are_not_utf_8_are_refused():
    for data in (b'"\xff"', '"é"'.encode("latin-1"), '{"a":1}'.encode("utf-16")):
        with pytest.raises(ValueError, match=r".*"):
            parse(data)


def test_records_become_plain_json():
    record = {
        "array": np.arange(3),
        "scalar": np.float32(0.5),
        "tuple": (1, "a"),
        "path": Path("a/b"),
        "big": 2**53,
        "edge": 2**53 - 1,
        "yes": np.bool_(True),
        "odd": [math.nan, math.inf, -math.inf],
        3: None,
    }
    assert jsonable(record) == {
        "array": [0, 1, 2],
        "scalar": 0.5,
        "tuple": [1, "a"],
        "path": "a/b",
        "big": "9007199254740992",
        "edge": 2**53 - 1,
        "yes": True,
        "odd": ["NaN", "Infinity", "-Infinity"],
        "3": None,
    }
