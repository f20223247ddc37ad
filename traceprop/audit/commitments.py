"""Rows and samples as evidence shows them: sealed entries of a Merkle tree, and nothing in clear.

Evidence may be read by anyone, so it holds no row number and no sample number. Each row (of a named
source) and each sample is sealed under a random key. Whoever holds the key can prove that a row is
among the entries; destroying it cuts the tie for good, with no certificate or log to edit.

Promise: the functions here are pure, and know no store, no model and no file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from traceprop.audit import merkle
from traceprop.audit.canonical import canonical

TREE = "RFC 6962 tree, SHA-256, over HMAC-SHA-256 commitments"


def row_message(uri: str, sha256: str, row: int) -> bytes:
    """Name a source row as it is sealed: 56 bytes, the same on every machine.

    The text `traceprop row 1` and a zero byte; the SHA-256 of the RFC 8785 bytes of
    `{"sha256": …, "uri": …}`, as the certificate's `sources` has them; the row as 8 bytes,
    big-endian.
    """
    source = hashlib.sha256(canonical({"sha256": sha256, "uri": uri})).digest()
    return b"traceprop row 1\0" + source + row.to_bytes(8, "big")


def sample_message(sample: int) -> bytes:
    """Name a training sample as it is sealed.

    The text `traceprop sample 1` and a zero byte, and the sample as 8 bytes, big-endian.
    """
    return b"traceprop sample 1\0" + sample.to_bytes(8, "big")


def sealed_entries(key: bytes, messages: Iterable[bytes]) -> list[bytes]:
    """Seal messages; sorted, so that their places say nothing.

    Parameters
    ----------
    key : bytes
        The secret of this one certificate or log entry, `merkle.KEY_BYTES` long.
    messages : iterable of bytes
        What `row_message` and `sample_message` give.
    """
    return sorted(merkle.seal(merkle.salt_of(key, message), message) for message in messages)
