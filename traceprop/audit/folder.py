"""A store's audit folder, `<store>.audit/`: where the keys of its evidence lie.

It is beside the store, not in it, so that a store that is handed on, erased or written anew takes
no key with it. Promise: folders are made with mode 0700, keys with mode 0600, readable by their
owner alone.
"""

from __future__ import annotations

from pathlib import Path

from traceprop.audit import merkle
from traceprop.audit.canonical import canonical, parse
from traceprop.errors import CertificateError
from traceprop.files import PRIVATE_FILE, make_private_folder, write_file


def audit_folder(store: Path) -> Path:
    """Return where the audit folder of the store at a path is; it need not be there yet."""
    folder = store.resolve()
    return folder.with_name(folder.name + ".audit")


def key_path(store: Path, serial: str) -> Path:
    """Return where the key of a certificate of this store lies: `<store>.audit/keys/`."""
    return audit_folder(store) / "keys" / f"{serial}.json"


def save_key(path: Path, serial: str, key: bytes) -> None:
    """Write a certificate's key.

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
            make_private_folder(folder)
        write_file(path, content, mode=PRIVATE_FILE, replace=False)
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
