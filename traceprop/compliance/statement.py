"""The in-toto Statement that a certificate signs, from gathered evidence.

See https://github.com/in-toto/attestation, spec v1. The predicate's type is our own; its fields are
explained in `schema/removal-v1.md` and checked against `schema/statement.schema.json`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from traceprop.audit import merkle
from traceprop.audit.commitments import TREE
from traceprop.compliance.evidence import Evidence
from traceprop.compliance.limits import limits
from traceprop.compliance.regulations import assess
from traceprop.compliance.schema_check import load_schema
from traceprop.errors import CertificateError

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://traceprop.dev/attestation/removal/v1"


def build_statement(
    evidence: Evidence,
    entries: list[bytes],
    regulation: dict[str, Any],
    *,
    serial: str,
    keyid: str | None,
    responsible: dict[str, str | None],
    log: dict[str, Any],
) -> dict[str, Any]:
    """Put a statement together.

    Parameters
    ----------
    evidence : Evidence
        What was gathered from the removal.
    entries : list of bytes
        The forget set's sealed entries.
    regulation : dict
        A map of clauses, as `load_regulation` gives it.
    serial : str
        The certificate's number, 32 hex digits.
    keyid : str or None
        The signer's fingerprint; None makes a draft.
    responsible : dict of str to str or None
        What the user stated: `requester`, `approver`, `legal_hold`.
    log : dict
        The audit log as it is now, from `log_link.log_state`.

    Returns
    -------
    dict
        All JSON; keeps to the schema.
    """
    draft = keyid is None
    parts = evidence.parts
    predicate = {
        "serial": serial,
        "draft": draft,
        "issued": {"time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "proof": "asserted"},
        "signer": None if draft else {"keyid": keyid},
        **parts,
        "forget_set": {**parts["forget_set"], "tree": _tree(entries)},
        "responsible": responsible,
        "log": log,
        "limits": limits(parts["removal"]["removal_class"], parts["left"], draft=draft),
    }
    predicate["regulation"] = assess(regulation, predicate)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "model after the removal", "digest": parts["models"]["after"]}],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }


def check_before_signing(statement: dict[str, Any]) -> None:
    """Hold a statement against its schema with the reference implementation.

    Checking a certificate later uses a validator of our own (`schema_check`); what is signed has
    passed an independent one first.

    Raises
    ------
    CertificateError
        The statement doesn't keep to the schema: a fault in Traceprop, nothing is signed.
    """
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(load_schema("statement.schema.json"))
    problem = next(iter(validator.iter_errors(statement)), None)
    if problem is not None:
        raise CertificateError(
            f"The certificate doesn't keep to its own schema at {problem.json_path}: "
            f"{problem.message}. Nothing was signed; please report this as a fault in Traceprop."
        )


def _tree(entries: list[bytes]) -> dict[str, Any]:
    return {
        "kind": TREE,
        "size": len(entries),
        "root": merkle.root(entries).hex(),
        "leaves": [entry.hex() for entry in entries],
    }
