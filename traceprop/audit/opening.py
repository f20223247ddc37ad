"""What opens an entry of the audit log: its key and its facts, which lie beside the log.

Promise: an opening names its entry by number and SHA-256, so that one that a crash left without its
entry is never taken for another's. Destroying openings is all it takes to make entries say nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traceprop.audit.canonical import canonical, parse
from traceprop.audit.entry import Entry, seal_facts


@dataclass(frozen=True, slots=True)
class Opening:
    """An entry's key and facts.

    Parameters
    ----------
    serial : int
        The entry's number.
    sha256 : str
        Its SHA-256.
    key : bytes
        Its secret.
    facts : mapping of str to JSON value
        What it seals.
    """

    serial: int
    sha256: str
    key: bytes
    facts: Mapping[str, Any]

    def to_line(self) -> bytes:
        """Return the line of the file of openings, with its end."""
        fields = {
            "entry": self.serial,
            "entry_sha256": self.sha256,
            "facts": dict(self.facts),
            "key": self.key.hex(),
        }
        return canonical(fields) + b"\n"

    def fits(self, entry: Entry) -> bool:
        """Tell whether the facts are those that the entry seals."""
        try:
            return seal_facts(self.key, self.facts) == dict(entry.commitments)
        except (ValueError, RecursionError):
            return False  # what JSON can't write was never sealed


def read_openings(path: Path, entries: Iterable[Entry]) -> dict[int, Opening]:
    """Read the openings that are left of some entries, by their numbers."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    wanted = {entry.serial: entry.sha256 for entry in entries}
    found = {}
    for line in data.splitlines():
        try:
            fields = parse(line)
            opening = Opening(
                int(fields["entry"]),
                str(fields["entry_sha256"]),
                bytes.fromhex(fields["key"]),
                dict(fields["facts"]),
            )
        except (ValueError, KeyError, TypeError, OverflowError):
            continue  # a crash cut it short; the entry says nothing then
        if wanted.get(opening.serial) == opening.sha256:
            found[opening.serial] = opening
    return found
