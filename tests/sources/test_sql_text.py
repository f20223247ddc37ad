"""What is told of a query from its text: one statement that reads, ordered or not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceprop.errors import SourceError
from traceprop.sources.sql.text import parse_query


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM loans ORDER BY id",
        "select * from loans\norder\tby id;",
        "SELECT * FROM loans ORDER /* by what? */ BY id -- the key\n",
        "(SELECT a FROM loans ORDER BY a)",
        "(SELECT 1) UNION (SELECT 2) ORDER BY 1",
        "WITH x AS (SELECT 1 AS a) SELECT * FROM x ORDER BY a",
        "SELECT a FROM t WHERE b IN (SELECT b FROM u) ORDER BY a LIMIT 5",
        "SELECT array[1, 2], a[1] FROM t ORDER BY a[1]",
        "TABLE loans ORDER BY id",
        "VALUES (1), (2) ORDER BY 1",
        "SELECT replace(a, 'x', 'y') FROM t ORDER BY 1 ; ;",
    ],
)
def test_ordered_queries(text: str) -> None:
    assert parse_query(text).ordered


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM loans",
        "SELECT * FROM (SELECT * FROM loans ORDER BY id) AS x",
        "SELECT row_number() OVER (ORDER BY a) FROM loans",
        "SELECT 'x ORDER BY a' FROM loans",
        "SELECT 'it''s ORDER BY a' FROM loans",
        "SELECT a FROM loans -- ORDER BY a",
        "SELECT a FROM loans /* ORDER BY a */",
        'SELECT a AS "ORDER BY a" FROM loans',
        "SELECT a AS `ORDER BY a` FROM loans",
        "SELECT a AS [ORDER BY a] FROM loans",
        "SELECT $$ ORDER BY a $$ FROM loans",
        "SELECT $q$ $$ ORDER BY a $q$ FROM loans",
        r"SELECT E'\' ORDER BY a' FROM loans",
        "SELECT array_agg(a ORDER BY a) FROM loans",
        "WITH x AS (SELECT 1 AS a ORDER BY 1) SELECT * FROM x",
        "(SELECT a FROM t ORDER BY a) UNION (SELECT a FROM u ORDER BY a)",
        "SELECT reorder by_x FROM t",
    ],
)
def test_unordered_queries(text: str) -> None:
    assert not parse_query(text).ordered


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" -- nothing\n;", "empty"),
        ("DELETE FROM loans", "no query"),
        ("EXPLAIN SELECT 1", "no query"),
        ("CREATE TABLE x AS SELECT 1", "no query"),
        ("PRAGMA user_version", "no query"),
        ("SELECT 1; DROP TABLE loans", "more than one statement"),
        ("SELECT 1 /* a */ ; -- b\n SELECT 2", "more than one statement"),
        ("WITH d AS (DELETE FROM loans RETURNING *) SELECT * FROM d", "also writes"),
        ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", "also writes"),
        ("WITH a AS MATERIALIZED (UPDATE t SET a = 1 RETURNING a) TABLE a", "also writes"),
        ("SELECT a INTO b FROM t", "INTO a table"),
        ("SELECT 'x", "never closed"),
        ('SELECT "x', "never closed"),
        ("SELECT 1 /* x", "never closed"),
        ("SELECT (1", "inside a parenthesis"),
        ("SELECT 1)", "didn't open"),
        ("SELECT 1 /* /* */ ; DROP TABLE t */", "comment inside a comment"),
        ("SELECT 1\0", "NUL"),
    ],
)
def test_what_is_no_single_reading_query(text: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        parse_query(text)


@pytest.mark.parametrize(
    "text", ["SELECT ';'", 'SELECT ";" FROM t', "SELECT $$;$$", "SELECT 1 --;"]
)
def test_semicolons_that_end_nothing(text: str) -> None:
    assert parse_query(text).text == text


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("SELECT * FROM loans", "loans"),
        ('SELECT * FROM "my loans" WHERE a', "my loans"),
        ("SELECT * FROM bank.loans AS l ORDER BY a, b", "bank.loans"),
        ("SELECT * FROM loans, people", None),
        ("SELECT * FROM loans l, people p", None),
        ("SELECT * FROM loans JOIN people USING (id)", None),
        ("SELECT * FROM generate_series(1, 3)", None),
        ("SELECT * FROM (SELECT * FROM loans) AS x", None),
        ("SELECT 1", None),
    ],
)
def test_the_one_table_that_is_read(text: str, table: str | None) -> None:
    assert parse_query(text).table == table


PIECES = st.sampled_from(
    [
        "'a;b'",
        '"x y"',
        "-- c\n",
        "/* ; */",
        "(a)",
        "a",
        ",",
        "1.5",
        "$$;$$",
        "$t$ ' $t$",
        "[q]",
        "\n",
    ]
)


@given(st.lists(PIECES, max_size=12), st.booleans())
def test_nothing_that_is_quoted_changes_what_is_told(pieces: list[str], ordered: bool) -> None:
    end = " ORDER BY 1" if ordered else ""
    text = f"SELECT {' '.join(pieces)} FROM t{end}"
    parsed = parse_query(text)
    assert parsed.ordered == ordered
    with pytest.raises(SourceError, match="more than one"):
        parse_query(f"{text}; SELECT 1")


@given(st.text(alphabet="sel()'\"`[]$;-/*\\ eE\nfrom1,", max_size=40))
def test_any_text_is_read_or_refused(tail: str) -> None:
    try:
        parsed = parse_query(f"SELECT 1 {tail}")
    except SourceError:
        return
    assert parsed.text.startswith("SELECT 1")
