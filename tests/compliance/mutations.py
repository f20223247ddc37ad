"""Certificates with something changed, by the thousand: all to be refused, none to be feared.

Edits of bytes (flipped, dropped, doubled, put in, cut off, spliced with another certificate), of
the envelope's JSON (other fields, spellings, signatures) and of the signed statement. Every result
differs from the original, and none is signed by its key.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from typing import Any

TOKENS = (
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\0", b"\n", b"\xff", b"=", b"_", b"-"),
    *(b"null", b"true", b"1e999", b"-0", b"NaN", b"\\u0000", b"\\ud800", b"\xef\xbb\xbf"),
    *(b'"payload":', b'"signatures":[', b'"keyid":""', b'"sig":', b"application/vnd.in-toto+json"),
    *(b"[" * 2_000, b'{"a":' * 500, b"9" * 5_000, b"DRAFT", b'{\n  "DRAFT": '),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**53, 1e300, 0.5, "", "x", "ab" * 32, [], {}, [[]], {"a": {}}),
    *("\ud800", "é" * 10, [0] * 50, "0" * 64, "2026-13-01T00:00:00Z", "Infinity"),
)


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + int(rng.expovariate(1 / 40)) + 1)


def _flip(data: bytes, _: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    if changed:
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _drop(data: bytes, _: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _double(data: bytes, _: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:]


def _put(data: bytes, _: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + rng.choice(TOKENS) + data[start if rng.random() < 0.5 else end :]


def _cut(data: bytes, _: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _splice(data: bytes, other: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + other[at:]


BYTE_EDITS: tuple[Callable[[bytes, bytes, random.Random], bytes], ...] = (
    *(_flip, _flip, _flip, _drop, _double, _put, _cut, _splice),
)


def edited_json(value: Any, rng: random.Random) -> Any:
    """A JSON value with one part somewhere in it changed, dropped, moved or put in."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(sorted(value))
        kind = rng.random()
        if kind < 0.1:
            return {key: item for key, item in value.items() if key != name}
        if kind < 0.2:
            return {**value, rng.choice(["row", "a", name.upper()]): rng.choice(VALUES)}
        return {**value, name: edited_json(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        kind = rng.random()
        if kind < 0.15:
            return value[:at] + value[at + 1 :]
        if kind < 0.3:
            return [*value, value[at]]
        return [*value[:at], edited_json(value[at], rng), *value[at + 1 :]]
    return rng.choice(VALUES)


def _dump(value: Any, rng: random.Random) -> bytes:
    separators = rng.choice([(",", ":"), (",", ":"), (", ", ": ")])
    return json.dumps(value, separators=separators, sort_keys=rng.random() < 0.7).encode()


def _envelope_edit(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Change the envelope's JSON, or what is signed in it; the signature stays as it was."""
    envelope, strange = json.loads(data), json.loads(other)
    kind = rng.random()
    if kind < 0.4:
        statement = edited_json(json.loads(base64.b64decode(envelope["payload"])), rng)
        envelope["payload"] = base64.b64encode(_dump(statement, rng)).decode()
    elif kind < 0.6:
        name = rng.choice(["keyid", "sig"])
        envelope["signatures"][0][name] = strange["signatures"][0][name]
    elif kind < 0.7:
        envelope["signatures"] = rng.choice(
            [[], envelope["signatures"] * 2, envelope["signatures"] + strange["signatures"]]
        )
    else:
        envelope = edited_json(envelope, rng)
    return _dump(envelope, rng)


def mutated(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Change a certificate in a random way.

    Parameters
    ----------
    data : bytes
        A certificate.
    other : bytes
        One by another signer, to take parts from.
    rng : random.Random
        What decides.
    """
    changed = _envelope_edit(data, other, rng) if rng.random() < 0.35 else data
    while changed == data or rng.random() < 0.3:
        changed = rng.choice(BYTE_EDITS)(changed, other, rng)
    return changed
