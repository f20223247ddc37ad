"""A certificate in plain words says what weakens it."""

from __future__ import annotations

from tests.compliance import standins
from traceprop.compliance.summary import describe


def test_data_that_nobody_recorded_are_named_as_such():
    said = [
        "held against nothing" in describe(standins.statement(signer=standins.key(), origin=origin))
        for origin in ("store", "given")
    ]
    assert said == [False, True]


def test_the_copies_that_are_still_there_are_among_the_limits():
    text = describe(standins.statement(signer=standins.key()))
    assert "copies of the rows, which are still there: gradient store.\n" in text


def test_a_source_cannot_write_lines_of_its_own():
    statement = standins.statement(signer=standins.key())
    lines = len(describe(statement).splitlines())
    statement["predicate"]["sources"][0]["name"] = "a.csv\n\x1b[2JClass  exact"
    text = describe(statement)
    assert len(text.splitlines()) == lines
    assert "a.csv\\n\\x1b[2JClass" in text
