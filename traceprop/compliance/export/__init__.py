"""A certificate in forms that other tools read: W3C PROV-JSON, OpenLineage, CycloneDX.

Each is made by its format's own library (extra `[report]`). Promise: an export names the
certificate by number and digest, and holds no row, no person and no sealed entry (see `facts`). It
is not signed: the proof is the certificate.
"""

from __future__ import annotations

import importlib
from typing import Any

from traceprop.lazy import needing_extras

FORMATS = ("prov", "openlineage", "cyclonedx")
"""Names of the formats; each is a module here, with a function `convert`."""


def export_statement(name: str, statement: dict[str, Any], certificate: bytes) -> dict[str, Any]:
    """Say what a certificate says in another format.

    Parameters
    ----------
    name : {"prov", "openlineage", "cyclonedx"}
        Which one.
    statement : dict
        The content of a certificate that was verified: `Verdict.statement`.
    certificate : bytes
        The certificate's file, which the export names by its SHA-256.

    Returns
    -------
    dict
        All JSON.

    Raises
    ------
    CertificateError
        The certificate is a draft.
    MissingExtraError
        The format's library is not installed.
    """
    from traceprop.compliance.export.facts import facts_of

    with needing_extras():
        module = importlib.import_module(f"{__name__}.{name}")
    converted: dict[str, Any] = module.convert(facts_of(statement, certificate))
    return converted
