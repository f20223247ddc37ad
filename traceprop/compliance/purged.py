"""Holding a certificate's purge against the store: the rows it names must not be there any more.

Promise: no row is named; the certificate's own key tells whether a number that the store has is one
of those sealed, and without that key the answer says that nobody can tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traceprop.audit import merkle
from traceprop.audit.commitments import row_message, sample_message
from traceprop.audit.folder import key_path, load_key
from traceprop.compliance.evidence import public_uri
from traceprop.errors import CertificateError

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore


def check_purged(predicate: dict[str, Any], store: GradientStore) -> str:
    """Make sure that a store no longer has the rows of a purge; return what was found.

    Parameters
    ----------
    predicate : dict
        Of a verified certificate with a proof of a purge.
    store : GradientStore

    Raises
    ------
    CertificateError
        The store had no erasure, or still has a sample or a row that the certificate names.
    """
    if not store.info()["erasures"]:
        raise CertificateError(
            "the certificate says that its rows were purged, and nothing was ever erased from this "
            "store: another copy of it, or put back from a backup"
        )
    serial = predicate["serial"]
    try:
        secret = load_key(key_path(store.path, serial), serial)
    except CertificateError:
        return (
            "whether the purged rows are gone from it can't be told, since the certificate's key "
            "is not beside the store"
        )
    leaves = {bytes.fromhex(leaf) for leaf in predicate["forget_set"]["tree"]["leaves"]}

    def is_named(message: bytes) -> bool:
        return merkle.seal(merkle.salt_of(secret, message), message) in leaves

    samples = sum(is_named(sample_message(n)) for n in store.sample_ids.tolist())
    rows = sum(
        is_named(row_message(public_uri(source.uri), source.sha256, row))
        for source, used in store.rows_used().items()
        for row in used.tolist()
    )
    if samples or rows:
        raise CertificateError(
            f"the store still has {samples} samples and {rows} rows of those that the certificate "
            f"says were purged: put back from a backup, or recorded again"
        )
    return "the purged rows are not in it"
