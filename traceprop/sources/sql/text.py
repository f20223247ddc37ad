"""What can be told of a query from its text alone, for any database.

Promise: words in strings, quoted names and comments are never taken for SQL. What databases read
differently (a comment within a comment) is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from traceprop.errors import SourceError

_SHOWN_WORDS = 6
_READS = ("SELECT", "WITH", "VALUES", "TABLE")
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"})
_OPENING, _CLOSING = "([", ")]"

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<comment>--[^\n]*)
  | (?P<block>/\*.*?\*/)
  | (?P<escaped>\b[eE]'(?:[^'\\]|''|\\.)*')                # PostgreSQL's backslash escapes
  | (?P<string>'(?:[^']|'')*')
  | (?P<dollar>(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
  | (?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`)
  | (?P<word>[^\W\d][\w$]*)
  | (?P<number>\d[\w.]*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_BRACKET_NAME = re.compile(r"\[[^\]]*\]")  # a quoted name of SQLite and SQL Server


@dataclass(frozen=True, slots=True)
class QueryText:
    """A query that was found to be one statement that reads.

    Attributes
    ----------
    text : str
        As given, less a final semicolon.
    ordered : bool
        Whether it ends in an ORDER BY of its own, not only one of a subquery or a window.
    table : str or None
        The one table that it reads, where it reads no more; for people.
    """

    text: str
    ordered: bool
    table: str | None

    @property
    def first_words(self) -> str:
        """The beginning of the query, for messages."""
        return first_words(self.text)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    depth: int

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.upper() in words


def first_words(text: str) -> str:
    """Return the first words of a text, followed by … where there are more."""
    words = text.split(maxsplit=_SHOWN_WORDS)
    return " ".join(words[:_SHOWN_WORDS]) + (" …" if len(words) > _SHOWN_WORDS else "")


def parse_query(text: str) -> QueryText:
    """Check that a text is one query that only reads, and see whether it is ordered.

    Raises
    ------
    SourceError
        Where it is empty, breaks off, holds more than one statement, or does anything but read.
    """
    tokens = _tokens(text)
    while tokens and tokens[-1].text == ";":
        text = text[: tokens.pop().start]
    if not tokens:
        raise SourceError("the query is empty; give one SELECT statement")
    if any(token.kind == "other" and token.text == ";" for token in tokens):
        raise SourceError(
            f"{first_words(text)!r} holds more than one statement (there is a ';' inside); give "
            "one SELECT"
        )
    _check_reads(text, tokens)
    outer = _outer(tokens)
    return QueryText(text.strip(), _is_ordered(outer), _only_table(tokens))


def _tokens(text: str) -> list[_Token]:
    """Split a query into tokens and their depth in parentheses, less white space and comments."""
    found: list[_Token] = []
    depth = position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match is not None  # `other` takes any character
        kind, token = match.lastgroup or "other", match.group()
        if match["dollar"] is not None:
            kind = "string"
        if kind == "other" and token == "[" and _names(found, position):
            match = _BRACKET_NAME.match(text, position)
            if match is None:
                raise _broken(text, "[", position)
            kind, token = "name", match.group()
        _check_whole(text, kind, token, position)
        if kind in ("escaped", "dollar"):
            kind = "string"
        if kind == "other" and token in _CLOSING:
            depth -= 1
        if depth < 0:
            raise SourceError(
                f"{first_words(text)!r} closes a parenthesis that it didn't open, at character "
                f"{position + 1}; check the query"
            )
        if kind not in ("space", "comment", "block"):
            found.append(_Token(kind, token, position, depth))
        if kind == "other" and token in _OPENING:
            depth += 1
        position += len(token)
    if depth:
        raise SourceError(
            f"{first_words(text)!r} ends inside a parenthesis; close it, or check its quotes"
        )
    return found


def _names(before: list[_Token], position: int) -> bool:
    """Whether a `[` at `position` begins a quoted name, not an array or one's element."""
    if not before:
        return True
    last = before[-1]
    if last.start + len(last.text) == position:  # a[1], f(x)[1], ARRAY[…]
        return last.kind == "other" and last.text not in ")][:"
    return not last.is_word("ARRAY")


def _check_whole(text: str, kind: str, token: str, position: int) -> None:
    """Refuse a quote or comment that never ends, and a comment within a comment."""
    if kind == "other" and (token in "'\"`" or text.startswith("/*", position)):
        raise _broken(text, "/*" if token == "/" else token, position)
    if kind == "block" and "/*" in token[2:]:
        raise SourceError(
            f"{first_words(text)!r} has a comment inside a comment, which databases read "
            "differently; take the inner one out"
        )
    if "\0" in token:
        raise SourceError(f"{first_words(text)!r} holds a NUL character; take it out")


def _broken(text: str, opening: str, position: int) -> SourceError:
    return SourceError(
        f"{first_words(text)!r}: the {opening} at character {position + 1} is never closed; "
        "check the query's quotes"
    )


def _check_reads(text: str, tokens: list[_Token]) -> None:
    first = next((token for token in tokens if token.text != "("), tokens[0])
    if not first.is_word(*_READS):
        raise SourceError(
            f"{first_words(text)!r} is no query: only a SELECT, WITH, VALUES or TABLE statement "
            "can be loaded"
        )
    main = False  # whether WITH's list is over
    for before, token in zip([None, *tokens], tokens, strict=False):
        begins = before is None or before.text in ("(", ")")
        if begins and token.is_word(*_WRITES) and not _is_call(tokens, token):
            raise SourceError(
                f"{first_words(text)!r} also writes ({token.text.upper()}); load from a query that "
                "only reads"
            )
        main = main or token.is_word("SELECT")
        if main and token.is_word("INTO"):
            raise SourceError(
                f"{first_words(text)!r} writes its result INTO a table; leave that out"
            )


def _is_call(tokens: list[_Token], token: _Token) -> bool:
    """Whether a word is a function's name, as in `(replace(a, 'x', 'y'))`."""
    after = tokens.index(token) + 1
    return after < len(tokens) and tokens[after].text == "("


def _outer(tokens: list[_Token]) -> list[_Token]:
    """Return the tokens of the outermost query, out of parentheses that hold all of it."""
    while tokens[0].text == "(" and tokens[-1].text == ")":
        inside = tokens[1:-1]
        if not inside or any(token.depth <= tokens[0].depth for token in inside):
            break
        tokens = inside
    return [token for token in tokens if token.depth == tokens[0].depth]


def _is_ordered(outer: list[_Token]) -> bool:
    """Whether the words ORDER BY stand at the outermost level."""
    return any(token.is_word("ORDER") and after.is_word("BY") for token, after in pairwise(outer))


def _only_table(tokens: list[_Token]) -> str | None:
    """Return the name after the only FROM, where no join, comma or set operation follows it."""
    starts = [i for i, token in enumerate(tokens) if token.is_word("FROM")]
    joins = ("JOIN", "UNION", "INTERSECT", "EXCEPT", "WITH", "VALUES")
    if len(starts) != 1 or any(token.is_word(*joins) for token in tokens):
        return None
    after = tokens[starts[0] + 1 :]
    parts, expects_name = [], True
    for token in after:
        if expects_name and token.kind in ("word", "name"):
            parts.append(token.text.strip('"`[]') if token.kind == "name" else token.text)
        elif expects_name or token.text != ".":
            break
        expects_name = not expects_name
    behind = after[2 * len(parts) - 1 :] if parts else []
    several = any(token.text in (",", "(") for token in behind[:1])
    several = several or _lists_tables(behind)
    return None if not parts or several else ".".join(parts)


def _lists_tables(behind: list[_Token]) -> bool:
    """Whether a comma follows a table, an alias between them or not: `FROM a x, b y`."""
    alias = [token for token in behind[:3] if not token.is_word("AS")]
    return len(alias) > 1 and alias[0].kind in ("word", "name") and alias[1].text == ","
