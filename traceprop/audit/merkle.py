"""Merkle trees over secret commitments: name rows to those who hold the key, and to nobody else.

A plain hash of a row number is found again by trying all numbers. So each message is first sealed
with a salt of its own, `salt = HMAC(key, message)`, and `commitment = HMAC(salt, message)`; opening
one commitment (message and salt) says nothing about the others. The commitments, sorted so that
their places say nothing either, are the entries of an RFC 6962 tree: SHA-256, leaves prefixed with
0x00 and inner nodes with 0x01, so that no leaf can pass as a node.

Promise: the functions here are pure, and know nothing of rows, files or certificates.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

KEY_BYTES = 32

# Keeps these HMACs apart from any other use of the same key.
_SALT_LABEL = b"traceprop/removal/v1 salt\0"


def salt_of(key: bytes, message: bytes) -> bytes:
    """Derive a message's salt (32 bytes) from the certificate's secret key."""
    return hmac.digest(key, _SALT_LABEL + message, "sha256")


def seal(salt: bytes, message: bytes) -> bytes:
    """Return the commitment (32 bytes) to a message under its salt."""
    return hmac.digest(salt, message, "sha256")


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry as RFC 6962 section 2.1 hashes a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees as RFC 6962 section 2.1 hashes a node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(entries: Sequence[bytes]) -> bytes:
    """Return the RFC 6962 tree hash of the entries; of none, the hash of the empty string."""
    if not entries:
        return hashlib.sha256(b"").digest()
    level = [leaf_hash(entry) for entry in entries]
    while len(level) > 1:
        level = _next_level(level)
    return level[0]


def inclusion_path(entries: Sequence[bytes], index: int) -> list[bytes]:
    """Return the siblings from a leaf up to the root (RFC 6962 section 2.1.1).

    Raises
    ------
    IndexError
        There is no entry of that index.
    """
    if not 0 <= index < len(entries):
        raise IndexError(f"no entry {index} among {len(entries)}")
    level, path = [leaf_hash(entry) for entry in entries], []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level, index = _next_level(level), index // 2
    return path


def root_from_path(entry: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that an inclusion path leads to, or None if the path can't be one.

    Parameters
    ----------
    entry : bytes
        The entry whose inclusion is claimed.
    index, size : int
        Its place, and how many entries the tree has.
    path : sequence of bytes
        Siblings from the leaf upwards, as `inclusion_path` gives them.
    """
    if not 0 <= index < size:
        return None
    digest, siblings, last = leaf_hash(entry), iter(path), size - 1
    while last > 0:
        # The last node of an odd level has no sibling and moves up as it is.
        if index % 2 == 1 or index < last:
            sibling = next(siblings, None)
            if sibling is None:
                return None
            digest = node_hash(sibling, digest) if index % 2 else node_hash(digest, sibling)
        index, last = index // 2, last // 2
    return digest if next(siblings, None) is None else None


def _next_level(level: list[bytes]) -> list[bytes]:
    pairs = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return pairs + level[-1:] if len(level) % 2 else pairs
