"""Proving that a row is among those that a certificate says were removed, and no more than that.

The holder of the certificate's key makes a proof for one row; anyone with the certificate checks
it. A proof opens that row's entry alone: it holds its salt, not the key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from traceprop.audit import merkle
from traceprop.audit.commitments import row_message
from traceprop.audit.folder import load_key
from traceprop.errors import CertificateError


def prove_row(
    statement: dict[str, Any], key: str | Path, source: str, row: int
) -> dict[str, Any] | None:
    """Make a proof that a source row is among a certificate's removed rows.

    Parameters
    ----------
    statement : dict
        The certificate's content: `Verdict.statement`, or `Report.to_dict()`.
    key : path-like
        The certificate's key, `<store>.audit/keys/<serial>.json`.
    source : str
        The source's uri, name or SHA-256, as in the certificate.
    row : int
        The data row, from 0.

    Returns
    -------
    dict or None
        A proof for `check_proof`, all JSON; None if the row is not among them.

    Raises
    ------
    CertificateError
        The key belongs to another certificate, or the certificate has no such source.

    Examples
    --------
    >>> verdict = verify("certificate.json", "signing.key.pub")  # doctest: +SKIP
    >>> prove_row(verdict.statement, key_file, "credit_scores.csv", 4821)  # doctest: +SKIP
    """
    predicate = statement["predicate"]
    secret = load_key(key, predicate["serial"])
    entries = _entries(predicate)
    for described in _named(predicate["sources"], source):
        message = row_message(described["uri"], described["sha256"], row)
        salt = merkle.salt_of(secret, message)
        entry = merkle.seal(salt, message)
        if entry in entries:
            index = entries.index(entry)
            return {
                "serial": predicate["serial"],
                "uri": described["uri"],
                "sha256": described["sha256"],
                "row": row,
                "salt": salt.hex(),
                "index": index,
                "size": len(entries),
                "path": [digest.hex() for digest in merkle.inclusion_path(entries, index)],
            }
    return None


def check_proof(statement: dict[str, Any], proof: dict[str, Any]) -> bool:
    """Tell whether a proof shows that its row is among the certificate's removed rows.

    Parameters
    ----------
    statement : dict
        The content of a certificate that was verified: `Verdict.statement`.
    proof : dict
        What `prove_row` made. It may come from anyone: a damaged one is no proof.
    """
    predicate = statement["predicate"]
    tree = predicate["forget_set"]["tree"]
    try:
        entry = merkle.seal(
            bytes.fromhex(proof["salt"]),
            row_message(proof["uri"], proof["sha256"], proof["row"]),
        )
        path = [bytes.fromhex(digest) for digest in proof["path"]]
        reached = merkle.root_from_path(entry, proof["index"], tree["size"], path)
        named = proof["serial"] == predicate["serial"] and proof["size"] == tree["size"]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return False
    return named and reached is not None and reached.hex() == tree["root"]


def _entries(predicate: dict[str, Any]) -> list[bytes]:
    return [bytes.fromhex(leaf) for leaf in predicate["forget_set"]["tree"]["leaves"]]


def _named(sources: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    found = [s for s in sources if name in (s["uri"], s["name"], s["sha256"])]
    if not found:
        known = ", ".join(s["name"] for s in sources) or "none"
        raise CertificateError(f"The certificate has no source {name!r}; it names: {known}.")
    return found
