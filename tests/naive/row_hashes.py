"""XXH64 in plain Python, after its specification (xxHash, doc/xxhash_spec.md), and typed rows."""

from __future__ import annotations

import datetime
import decimal
import math
import struct
from collections.abc import Sequence
from typing import Any

P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P4, P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
MASK = (1 << 64) - 1


def rotate(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & MASK


def step(lane: int, word: int) -> int:
    return rotate((lane + word * P2) & MASK, 31) * P1 & MASK


def xxh64(message: bytes, seed: int = 0) -> int:
    rest = message
    if len(message) < 32:
        value = (seed + P5) & MASK
    else:
        lanes = [(seed + P1 + P2) & MASK, (seed + P2) & MASK, seed, (seed - P1) & MASK]
        while len(rest) >= 32:
            lanes = [
                step(a, w) for a, w in zip(lanes, struct.unpack("<4Q", rest[:32]), strict=True)
            ]
            rest = rest[32:]
        value = sum(rotate(a, b) for a, b in zip(lanes, (1, 7, 12, 18), strict=True)) & MASK
        for lane in lanes:
            value = ((value ^ step(0, lane)) * P1 + P4) & MASK
    value = (value + len(message)) & MASK
    while len(rest) >= 8:
        value = (rotate(value ^ step(0, struct.unpack("<Q", rest[:8])[0]), 27) * P1 + P4) & MASK
        rest = rest[8:]
    if len(rest) >= 4:
        value = (
            rotate(value ^ (struct.unpack("<I", rest[:4])[0] * P1 & MASK), 23) * P2 + P3
        ) & MASK
        rest = rest[4:]
    for byte in rest:
        value = rotate(value ^ (byte * P5 & MASK), 11) * P1 & MASK
    value = (value ^ (value >> 33)) * P2 & MASK
    value = (value ^ (value >> 29)) * P3 & MASK
    return value ^ (value >> 32)


def hash_of_words(words: Sequence[int]) -> int:
    """The hash of one row of a table of words."""
    return xxh64(struct.pack(f"<{len(words)}Q", *words))


EPOCH = datetime.date(1970, 1, 1)
NULL = xxh64(b"null")


def word(value: Any) -> int:
    """The word of one typed value; times are whole microseconds at least."""
    if value is None:
        return NULL
    if isinstance(value, bool | int):
        return int(value) & MASK
    if isinstance(value, float):
        plain = value if value == value else math.nan
        return int(struct.unpack("<Q", struct.pack("<d", plain))[0])
    if isinstance(value, str | decimal.Decimal):
        return xxh64(str(value).encode())
    if isinstance(value, bytes):
        return xxh64(value)
    if isinstance(value, datetime.datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return word(moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC))
    if isinstance(value, datetime.date):
        return (value - EPOCH).days & MASK
    if isinstance(value, datetime.time):
        midnight = datetime.datetime.combine(EPOCH, datetime.time())
        return word(datetime.datetime.combine(EPOCH, value) - midnight)
    assert isinstance(value, datetime.timedelta)
    return value // datetime.timedelta(microseconds=1) * 1000 & MASK


def hash_of_row(values: Sequence[Any]) -> int:
    """The hash of one row of typed values."""
    return hash_of_words([word(value) for value in values])
