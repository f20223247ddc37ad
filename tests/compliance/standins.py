"""Certificates made without a training run: the evidence is invented, all the rest is real."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from traceprop.audit.canonical import canonical
from traceprop.audit.commitments import sealed_entries
from traceprop.compliance.envelope import sign
from traceprop.compliance.evidence import Evidence, forget_messages
from traceprop.compliance.keys import SigningKey
from traceprop.compliance.regulations import load_regulation
from traceprop.compliance.statement import build_statement

SERIAL = "0123456789abcdef" * 2
SECRET = bytes(range(32))
# Long enough that no digest holds it by chance.
ROWS = (918_273_645, 192_837_465)
SAMPLES = (564_738_291, 651_928_374, 736_455_463)


@dataclass(frozen=True)
class StandInSource:
    uri: str = "data/credit_scores.csv"
    name: str = "credit_scores.csv"
    kind: str = "csv"
    sha256: str = "ab" * 32
    columns: tuple[str, ...] = ("income", "debt", "label")
    n_rows: int = 1_000_000_000


SOURCE = StandInSource()


def forget_set() -> Any:
    return SimpleNamespace(samples=np.array(SAMPLES), rows={SOURCE: list(ROWS)})


def evidence(removal_class: str = "exact-convex", origin: str = "store") -> Evidence:
    parts = {
        "models": {
            "before": {"sha256": "be" * 32},
            "after": {"sha256": "af" * 32},
            "encoding": "a stand-in",
        },
        "forget_set": {"n_samples": len(SAMPLES), "n_rows": len(ROWS)},
        "sources": [
            {
                "name": SOURCE.name,
                "uri": SOURCE.uri,
                "kind": SOURCE.kind,
                "sha256": SOURCE.sha256,
                "columns": list(SOURCE.columns),
                "n_rows": SOURCE.n_rows,
                "n_rows_removed": len(ROWS),
            }
        ],
        "lineage": {"sha256": "11" * 32},
        "preprocessing": {
            "steps": ["normalize", "row_filter"],
            "after_removal": "The statistics were kept and still hold a trace of the rows.",
        },
        "training": {"penalty": 0.01},
        "removal": {
            "method": "exact-convex",
            "asked_method": "auto",
            "removal_class": removal_class,
            "reason": "The objective is strictly convex: λ = 0.01.",
            "bound": 1.5e-9,
            "data": {"origin": origin, "sha256": "da" * 32},
            "loss": {
                "forget": {"before": 0.25, "after": 0.5},
                "retain": {"before": 0.125, "after": None},
            },
            "preprocessing": "Not replayed.",
            "unaudited": True,
            "limits": [],
            "seconds": 0.031,
        },
        "left": [
            {
                "kind": "gradient_store",
                "what": "gradient store",
                "state": "not removed",
                "note": "It is as it was.",
            }
        ],
        "purge": {"proof": None, "note": "None was made."},
        "software": {
            "traceprop": "0.1.0",
            "python": "3.11.7",
            "platform": "Linux",
            "packages": {"numpy": "2.0.0"},
        },
        "rerun": {"needs": ["the sources"], "seeds": {"training": 0, "projection": None}},
    }
    return Evidence(parts, {SOURCE: SOURCE.uri})


def key(seed: int = 0) -> SigningKey:
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))
    return SigningKey(private, path=None)


def statement(
    regulation: str = "GDPR_ART17",
    signer: SigningKey | None = None,
    removal_class: str = "exact-convex",
    origin: str = "store",
) -> dict[str, Any]:
    found = evidence(removal_class, origin)
    return build_statement(
        found,
        sealed_entries(SECRET, forget_messages(forget_set(), found.uris)),
        load_regulation(regulation),
        serial=SERIAL,
        keyid=signer and signer.fingerprint,
        responsible={"requester": "A. Person", "approver": None, "legal_hold": None},
        log={
            "state": "on",
            "id": "10" * 16,
            "head": {"serial": 7, "sha256": "1e" * 32},
            "retention_days": 184,
        },
    )


def certificate(signer: SigningKey | None = None) -> bytes:
    signer = signer or key()
    return sign(canonical(statement(signer=signer)), signer).to_bytes()
