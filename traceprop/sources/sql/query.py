"""What was asked of a database: the query, its parameters, the columns chosen and the key.

Promise: it can be saved as JSON and asked again, and its digest is that of text and parameters.
"""

from __future__ import annotations

import datetime
import decimal
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from traceprop.errors import SourceError
from traceprop.sources.inputs.arguments import column_selection
from traceprop.sources.sql.result import Params
from traceprop.sources.sql.text import QueryText, parse_query

Columns = str | Sequence[str | int] | None
Key = str | Sequence[str] | None

# Parameters that JSON doesn't have: how they are written and read again.
_WRITTEN: dict[type, tuple[str, Callable[[Any], str], Callable[[str], Any]]] = {
    datetime.datetime: ("datetime", str, datetime.datetime.fromisoformat),
    datetime.date: ("date", str, datetime.date.fromisoformat),
    datetime.time: ("time", str, datetime.time.fromisoformat),
    decimal.Decimal: ("decimal", str, decimal.Decimal),
    bytes: ("bytes", bytes.hex, bytes.fromhex),
}


@dataclass(frozen=True, slots=True)
class SqlQuery:
    """A query and how its result is read.

    Attributes
    ----------
    text : QueryText
    params : sequence, mapping or None
        What its placeholders stand for.
    key : tuple of str
        The columns whose values identify a row; empty where a row is its ordinal.
    selection : tuple of str or int, or None
        The columns chosen, by name or position; None for all that `numeric` leaves.
    numeric : bool
        Whether it is loaded as one float64 matrix, of which the key's columns are no part unless
        chosen; else column by column.
    """

    text: QueryText
    params: Params
    key: tuple[str, ...]
    selection: tuple[str | int, ...] | None
    numeric: bool

    @classmethod
    def make(
        cls, query: str, params: Params, key: Key, columns: Columns, *, numeric: bool
    ) -> SqlQuery:
        """Check what the user asked for.

        Raises
        ------
        SourceError
            Where the text is no single query that reads, or a parameter can't be kept.
        """
        if not isinstance(query, str):
            raise SourceError(f"the query must be a str, not a {type(query).__name__}")
        names = (key,) if isinstance(key, str) else tuple(key) if isinstance(key, Sequence) else ()
        if key is not None and (not names or not all(isinstance(each, str) for each in names)):
            raise SourceError(f"key={key!r} names no column; give a column's name or several")
        selection = column_selection(columns)
        _write_params(params)  # refuses those that can't be kept
        chosen = None if selection is None else tuple(selection)
        return cls(parse_query(query), params, names, chosen, numeric)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of text and parameters, as hexadecimal."""
        asked = [self.text.text, _write_params(self.params)]
        text = json.dumps(asked, separators=(",", ":"), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def choose(self, columns: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the chosen of a result's columns, and those with the key's columns that they lack.

        Raises
        ------
        SourceError
            Where there is no such column, one is chosen twice, or none is left.
        """
        for name in self.key:
            self._find(name, columns, "key=")
        if self.selection is None:
            left_out = self.key if self.numeric else ()
            chosen = tuple(name for name in columns if name not in left_out)
        else:
            chosen = tuple(self._find(each, columns, "columns=") for each in self.selection)
        twice = next((name for name in chosen if chosen.count(name) > 1), None)
        if twice is not None or not chosen:
            problem = f"names {twice!r} twice" if chosen else "leaves no column to load"
            raise SourceError(
                f"columns= {problem}; {self.text.first_words!r} gives {_listed(columns)}"
            )
        return chosen, (*chosen, *(name for name in self.key if name not in chosen))

    def _find(self, column: str | int, columns: Sequence[str], argument: str) -> str:
        known = column in columns if isinstance(column, str) else 0 <= column < len(columns)
        if not known:
            raise SourceError(
                f"{self.text.first_words!r} gives no column {column!r}, which {argument} names; it "
                f"gives {_listed(columns)}"
            )
        return column if isinstance(column, str) else columns[column]

    def to_json(self) -> dict[str, Any]:
        """Return what a saved lineage keeps; `from_json` takes it back."""
        return {
            "text": self.text.text,
            "params": _write_params(self.params),
            "key": list(self.key),
            "selection": None if self.selection is None else list(self.selection),
            "numeric": self.numeric,
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> SqlQuery:
        """Make the query that `to_json` described; one that doesn't only read is refused."""
        return cls.make(
            stored["text"],
            _read_params(stored["params"]),
            stored["key"] or None,
            stored["selection"],
            numeric=bool(stored["numeric"]),
        )


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(columns)


def _write_params(params: Params) -> Any:
    """Return parameters as JSON has them."""
    if params is None:
        return None
    if isinstance(params, Mapping):
        return {str(name): _write(value) for name, value in params.items()}
    if isinstance(params, str | bytes) or not isinstance(params, Sequence):
        raise SourceError(f"params= must be a list, tuple or dict, not a {type(params).__name__}")
    return [_write(value) for value in params]


def _write(value: object) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    written = _WRITTEN.get(type(value))
    if written is None:
        raise SourceError(
            f"params= holds a {type(value).__name__}, which can't be kept to run the query again; "
            "give a number, text, date, time, Decimal, bytes or None"
        )
    return {written[0]: written[1](value)}


def _read_params(stored: Any) -> Params:
    if isinstance(stored, dict):
        return {name: _read(value) for name, value in stored.items()}
    return None if stored is None else [_read(value) for value in stored]


def _read(stored: Any) -> Any:
    if not isinstance(stored, dict):
        return stored
    ((name, text),) = stored.items()
    return next(read(text) for known, _, read in _WRITTEN.values() if known == name)
