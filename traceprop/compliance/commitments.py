"""The forget set as a certificate shows it: sealed entries of a Merkle tree, and their key's file.

A certificate may be read by anyone, so it holds no row number and no sample number. Each row (of a
named source) and each sample is sealed under a random key of this certificate's own. The key lies
beside the store, readable by its owner alone; whoever holds it can prove that a row is in the
certificate (`traceprop.compliance.inclusion`), and destroying it cuts the tie for good, with no
certificate or log to edit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traceprop.compliance import merkle
from traceprop.compliance.canonical import canonical, parse
from traceprop.errors import CertificateError
from traceprop.files import write_file

if TYPE_CHECKING:
    from traceprop.attribution.store.forget import ForgetSet

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


def sealed_entries(key: bytes, forget_set: ForgetSet, uris: dict[Any, str]) -> list[bytes]:
    """Seal every row and every sample of a forget set; sorted, so that places say nothing.

    Parameters
    ----------
    key : bytes
        This certificate's secret, `merkle.KEY_BYTES` long.
    forget_set : ForgetSet
        What was removed.
    uris : dict of Source to str
        How the certificate names each source.
    """
    return sorted(
        merkle.seal(merkle.salt_of(key, message), message)
        for message in _messages(forget_set, uris)
    )


def _messages(forget_set: ForgetSet, uris: dict[Any, str]) -> Iterator[bytes]:
    for source, rows in forget_set.rows.items():
        for row in rows:
            yield row_message(uris[source], source.sha256, int(row))
    for sample in forget_set.samples:
        yield sample_message(int(sample))


def key_path(store: Path, serial: str) -> Path:
    """Where a certificate's key lies: in `<store>.audit/keys/`, beside the store, not in it.

    So a store that is handed on, erased or written anew takes no key with it.
    """
    folder = store.resolve()
    return folder.with_name(folder.name + ".audit") / "keys" / f"{serial}.json"


def save_key(path: Path, serial: str, key: bytes) -> None:
    """Write a certificate's key, mode 0600, in folders of mode 0700.

    Raises
    ------
    CertificateError
        The place beside the store can't be written.
    """
    content = canonical(
        {
            "about": "Secret: shows which rows a certificate names. Destroy it to cut the tie.",
            "certificate": serial,
            "key": key.hex(),
        }
    )
    try:
        for folder in (path.parent.parent, path.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        write_file(path, content, mode=0o600, replace=False)
    except OSError as failed:
        raise CertificateError(
            f"The certificate's key can't be written beside the store, to {path} "
            f"({failed.strerror}): make the store's parent folder writable."
        ) from failed


def load_key(path: str | Path, serial: str) -> bytes:
    """Read the key of the certificate with this serial.

    Raises
    ------
    CertificateError
        The file is missing, is no such key, or belongs to another certificate.
    """
    try:
        content = parse(Path(path).read_bytes())
        key, owner = bytes.fromhex(content["key"]), content["certificate"]
    except OSError as failed:
        raise CertificateError(
            f"The certificate's key {path} can't be read ({failed.strerror}): it lies in the "
            "folder <store>.audit/keys of whoever made the certificate."
        ) from failed
    except (ValueError, KeyError, TypeError) as damaged:
        raise CertificateError(
            f"{path} is not a certificate's key: give the file of <store>.audit/keys that is named "
            "by the certificate's serial."
        ) from damaged
    if owner != serial or len(key) != merkle.KEY_BYTES:
        raise CertificateError(
            f"{path} is the key of certificate {owner}, not of {serial}: give the file named by "
            "that serial."
        )
    return key
