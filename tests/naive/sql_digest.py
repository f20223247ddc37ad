"""The digest of a query's result and its rows' hashes, value by value in plain Python."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import struct
from collections.abc import Sequence
from typing import Any

from tests.naive.row_hashes import hash_of_words, xxh64

EPOCH = datetime.datetime(1970, 1, 1)


def cell(value: Any) -> tuple[str | None, int, bytes, bytes]:
    """Kind, presence, word and text of one value."""
    if value is None:
        return None, 0, bytes(8), b""
    if isinstance(value, bool):
        return "boolean", 1, struct.pack("<q", value), b""
    if isinstance(value, int):
        return "number", 1, struct.pack("<q", value), b""
    if isinstance(value, float):
        negative_zero = value == 0 and math.copysign(1, value) < 0
        if value.is_integer() and -(2**63) < value < 2**63 and not negative_zero:
            return "number", 1, struct.pack("<q", int(value)), b""
        return "number", 2, struct.pack("<d", math.nan if math.isnan(value) else value), b""
    if isinstance(value, str):
        text = value.encode()
        return "text", 1, struct.pack("<q", len(text)), text
    if isinstance(value, datetime.datetime):
        zone = "" if value.tzinfo is None else " UTC"
        if zone:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        since = (value - EPOCH) // datetime.timedelta(microseconds=1)
        return f"timestamp{zone}", 1, struct.pack("<q", since), b""
    if isinstance(value, datetime.date):
        return "date", 1, struct.pack("<q", (value - EPOCH.date()).days), b""
    assert isinstance(value, datetime.time)
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return "time", 1, struct.pack("<q", seconds * 10**6 + value.microsecond), b""


def digest(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    columns: list[list[str]] = []
    for j, name in enumerate(names):
        cells = [cell(row[j]) for row in rows]
        kind = next((each[0] for each in cells if each[0] is not None), "nothing")
        parts = [bytes(each[1] for each in cells), b"".join(each[2] for each in cells)]
        if kind == "text":
            parts.append(b"".join(each[3] for each in cells))
        columns.append([name, kind, *(hashlib.sha256(part).hexdigest() for part in parts)])
    header = ["traceprop.sql-result.v1", len(rows), columns]
    return hashlib.sha256(json.dumps(header, separators=(",", ":")).encode()).hexdigest()


def row_hash(row: Sequence[Any]) -> int:
    words: list[int] = []
    for value in row:
        kind, presence, word, text = cell(value)
        words += [presence, xxh64(text) if kind == "text" else struct.unpack("<Q", word)[0]]
    return hash_of_words(words)
