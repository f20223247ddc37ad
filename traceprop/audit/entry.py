"""One entry of the audit log: a line of JSON that follows the line before it and says nothing.

An entry has a number, a time, a kind and commitments: each fact is sealed under the entry's own
key, which lies elsewhere. Promise: a line has one form, RFC 8785 JSON in ASCII; `read_line` refuses
any other bytes; the entry's own SHA-256 is part of the line: a changed line is known by itself.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from traceprop.audit.canonical import canonical

FIRST = "0" * 64
"""What the first entry of a log names as the entry before it."""

KINDS = (
    "begin", "query", "removal", "erasure", "hold", "export", "verification", "settings", "cut",
    "checkpoint",
)  # fmt: skip

_LABEL = b"traceprop log 1\0"
_FIELDS = {"commitments", "kind", "log", "plain", "previous", "serial", "sha256", "time"}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as its line has it.

    Parameters
    ----------
    log : str
        The log's own number, 32 hex digits.
    serial : int
        The entry's number, from 0, without gaps.
    time : str
        When it was written, in UTC, by the writer's clock.
    kind : str
        One of `KINDS`.
    commitments : dict of str to str
        Sealed facts by name, each 64 hex digits.
    plain : dict of str to int, str or bool
        What is nobody's secret: settings, and what a checkpoint or a cut says of the log itself.
    previous : str
        SHA-256 of the entry before, `FIRST` for the first.
    sha256 : str
        SHA-256 of the line without this field.
    """

    log: str
    serial: int
    time: str
    kind: str
    commitments: Mapping[str, str]
    plain: Mapping[str, Any]
    previous: str
    sha256: str

    def to_line(self) -> bytes:
        """Return the line, with its end."""
        return _form(self._body() | {"sha256": self.sha256}) + b"\n"

    def _body(self) -> dict[str, Any]:
        return {
            "commitments": dict(self.commitments),
            "kind": self.kind,
            "log": self.log,
            "plain": dict(self.plain),
            "previous": self.previous,
            "serial": self.serial,
            "time": self.time,
        }


def make_entry(
    log: str,
    serial: int,
    time: str,
    kind: str,
    previous: str,
    *,
    commitments: Mapping[str, str] | None = None,
    plain: Mapping[str, Any] | None = None,
) -> Entry:
    """Make an entry; the arguments are `Entry`'s fields."""
    unsigned = Entry(log, serial, time, kind, commitments or {}, plain or {}, previous, "")
    sha256 = hashlib.sha256(_form(unsigned._body())).hexdigest()
    return Entry(log, serial, time, kind, unsigned.commitments, unsigned.plain, previous, sha256)


def read_line(line: bytes) -> Entry:
    """Read a line, with or without its end.

    Raises
    ------
    ValueError
        It is no entry, is not in the one form of its content, or was changed.
    """
    line = line.removesuffix(b"\n")
    try:
        fields = json.loads(line)
        whole = fields.keys() == _FIELDS and _well_formed(fields)
    except (ValueError, TypeError, AttributeError, RecursionError) as damaged:
        raise ValueError("it is no entry of a log") from damaged
    if not whole or _form(fields) != line:
        raise ValueError("it is no entry of a log in its one form")
    entry = Entry(**fields)
    if hashlib.sha256(_form(entry._body())).hexdigest() != entry.sha256:
        raise ValueError("its content doesn't have the SHA-256 that it says")
    return entry


def seal_facts(key: bytes, facts: Mapping[str, Any]) -> dict[str, str]:
    """Seal facts under an entry's key: 64 hex digits for each.

    Each fact has a salt of its own, derived from the key and its name, so that showing one says
    nothing about the others. Without the key, not even trying all values tells which it was.

    Parameters
    ----------
    key : bytes
        The entry's secret.
    facts : mapping of str to JSON value
        What is to be sealed; `canonical` must be able to write it.
    """
    return {name: _seal(key, name, value) for name, value in facts.items()}


def _seal(key: bytes, name: str, value: Any) -> str:
    salt = hmac.digest(key, _LABEL + name.encode(), "sha256")
    return hmac.digest(salt, canonical(value), "sha256").hex()


def _form(value: Mapping[str, Any]) -> bytes:
    # RFC 8785's form of objects of ASCII text and whole numbers, six times as fast to write.
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _well_formed(fields: dict[str, Any]) -> bool:
    sealed = fields["commitments"]
    datetime.fromisoformat(fields["time"])  # raises for a moment that there is not
    return bool(
        type(fields["serial"]) is int
        and fields["serial"] >= 0
        and fields["kind"] in KINDS
        and re.fullmatch("[0-9a-f]{32}", fields["log"])
        and _TIME.fullmatch(fields["time"])
        and all(_HEX.fullmatch(text) for text in (fields["previous"], fields["sha256"]))
        and all(_HEX.fullmatch(text) for text in sealed.values())
        and all(type(value) in (int, str, bool) for value in fields["plain"].values())
    )
