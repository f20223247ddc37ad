"""The part of a certificate that may leave in other forms: no row, no person, no sealed entry.

Catalogues and bills of material are read by many more people than a certificate. Promise: exporters
get these facts and nothing else, so what is not here can't leak: no names of people, no paths or
addresses of sources, no leaves or root of the sealed entries, no losses or margins (which are about
few people when few rows were removed), no free text from callers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from traceprop.errors import CertificateError


@dataclass(frozen=True)
class SourceFacts:
    """A source of the training data: its file name, digest, columns, and counts of rows."""

    name: str
    kind: str
    sha256: str
    columns: tuple[str, ...]
    n_rows: int
    n_rows_removed: int


@dataclass(frozen=True)
class Facts:
    """What a certificate says about a removal, as far as it may be handed on.

    Parameters
    ----------
    serial, certificate_sha256 : str
        The certificate's number, and the digest of its file: where the proof is.
    predicate_type : str
        What kind of statement it is.
    issued : str
        Its own time, in UTC.
    keyid : str
        Fingerprint of the key that signed it.
    model_before, model_after : str
        Digests of the weights.
    sources : tuple of SourceFacts
        What the training data was read from.
    lineage : str or None
        Digest of the recorded way from the sources to the training data.
    n_samples, n_rows : int
        How many samples, and how many source rows, were removed.
    method, removal_class : str
        How, and with what guarantee.
    bound : float or None
        On the distance to the retrained weights.
    unaudited : bool
        Whether nobody compared the result with retrained models.
    software : dict of str to str
        Versions of what computed it, by name.
    regulation : str
        Whose clauses it was held against.
    clauses : dict of str to str
        Status by clause.
    limits : tuple of str
        What it does not claim.
    """

    serial: str
    certificate_sha256: str
    predicate_type: str
    issued: str
    keyid: str
    model_before: str
    model_after: str
    sources: tuple[SourceFacts, ...]
    lineage: str | None
    n_samples: int
    n_rows: int
    method: str
    removal_class: str
    bound: float | None
    unaudited: bool
    software: dict[str, str]
    regulation: str
    clauses: dict[str, str]
    limits: tuple[str, ...]


def facts_of(statement: dict[str, Any], certificate: bytes) -> Facts:
    """Take from a certificate what may be handed on.

    Parameters
    ----------
    statement : dict
        Its content.
    certificate : bytes
        Its file.

    Raises
    ------
    CertificateError
        It is a draft, and a draft is no evidence to hand on.
    """
    predicate = statement["predicate"]
    if predicate["draft"]:
        raise CertificateError(
            "A draft is not exported, since the export would not show that it proves nothing: "
            "sign the certificate first."
        )
    removal, software = predicate["removal"], predicate["software"]
    return Facts(
        serial=predicate["serial"],
        certificate_sha256=hashlib.sha256(certificate).hexdigest(),
        predicate_type=statement["predicateType"],
        issued=predicate["issued"]["time"],
        keyid=predicate["signer"]["keyid"],
        model_before=predicate["models"]["before"]["sha256"],
        model_after=predicate["models"]["after"]["sha256"],
        sources=tuple(_source(source) for source in predicate["sources"]),
        lineage=predicate["lineage"] and predicate["lineage"]["sha256"],
        n_samples=predicate["forget_set"]["n_samples"],
        n_rows=predicate["forget_set"]["n_rows"],
        method=removal["method"],
        removal_class=removal["removal_class"],
        bound=removal["bound"],
        unaudited=removal["unaudited"],
        software={
            "traceprop": software["traceprop"],
            "python": software["python"],
            **software["packages"],
        },
        regulation=predicate["regulation"]["id"],
        clauses={c["clause"]: c["status"] for c in predicate["regulation"]["clauses"]},
        limits=(*predicate["limits"], *removal["limits"]),
    )


def _source(source: dict[str, Any]) -> SourceFacts:
    return SourceFacts(
        # A name may be a path or an address, which may name a person or a machine.
        name=source["name"].replace("\\", "/").rstrip("/").rpartition("/")[2],
        kind=source["kind"],
        sha256=source["sha256"],
        columns=tuple(source["columns"]),
        n_rows=source["n_rows"],
        n_rows_removed=source["n_rows_removed"],
    )
