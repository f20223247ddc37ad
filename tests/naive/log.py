"""The audit log as one sits down and writes it: a list, hashed entry by entry, no files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

import rfc8785


@dataclass
class NaiveLog:
    """Lines of a log, and what they are to say."""

    kinds: list[str] = field(default_factory=list)

    def add(self, kind: str) -> None:
        self.kinds.append(kind)


def first_wrong(lines: list[bytes]) -> int | None:
    """The first entry of a whole log that isn't the one that was written, or None."""
    previous = "0" * 64
    for serial, line in enumerate(lines):
        try:
            entry = json.loads(line)
            own = entry.pop("sha256")
            good = hashlib.sha256(rfc8785.dumps(entry)).hexdigest() == own
        except (ValueError, TypeError, KeyError, AttributeError, rfc8785.CanonicalizationError):
            return serial
        if not good or entry["serial"] != serial:
            return serial
        if entry["previous"] != previous:
            return serial - 1
        previous = own
    return None
