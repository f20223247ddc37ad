"""Which clause asks for what, and which part of a certificate speaks to it: one file a regulation.

The files beside this module are meant to be read and corrected by lawyers: clause, what it asks in
plain words, the parts of a certificate that bear on it (JSON pointers into the predicate), and a
status. A clause is `evidenced` only if its rule holds *and* each part it points to is there;
otherwise it has the file's own status. The files are an engineering aid and not legal advice.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from traceprop.compliance.schema_check import first_error, load_schema
from traceprop.errors import CertificateError

_FOLDER = Path(__file__).parent


def known_regulations() -> list[str]:
    """Return the names that `regulation=` takes."""
    return sorted(path.stem for path in _FOLDER.glob("*.json"))


def load_regulation(name: str) -> dict[str, Any]:
    """Read the map of a regulation, with `map_sha256`, the digest of its file.

    Raises
    ------
    CertificateError
        There is no such map; the message lists those that there are.
    """
    if name not in known_regulations():
        raise CertificateError(
            f"There is no map of clauses for the regulation {name!r}. Known are: "
            f"{', '.join(known_regulations())}."
        )
    content = (_FOLDER / f"{name}.json").read_bytes()
    regulation: dict[str, Any] = json.loads(content)
    problem = first_error(regulation, load_schema("regulation.schema.json"))
    if problem is not None:
        raise CertificateError(
            f"The map {name}.json is damaged: {problem}. Install Traceprop anew."
        )
    return {**regulation, "map_sha256": hashlib.sha256(content).hexdigest()}


def assess(regulation: dict[str, Any], predicate: dict[str, Any]) -> dict[str, Any]:
    """Hold a certificate's content against a regulation's clauses.

    Parameters
    ----------
    regulation : dict
        As `load_regulation` gives it.
    predicate : dict
        The certificate's content, all but `regulation` itself.

    Returns
    -------
    dict
        The regulation with a status for each clause; the rules are left out, the evidence is
        narrowed to the parts that this certificate has.
    """
    clauses = [_assess_clause(clause, predicate) for clause in regulation["clauses"]]
    return {**regulation, "clauses": clauses}


def resolve(predicate: dict[str, Any], pointer: str) -> Any:
    """Follow a JSON pointer (RFC 6901, names only); None where there is nothing."""
    found: Any = predicate
    for name in pointer.removeprefix("/").split("/"):
        if not isinstance(found, dict) or name not in found:
            return None
        found = found[name]
    return found


def _assess_clause(clause: dict[str, Any], predicate: dict[str, Any]) -> dict[str, Any]:
    evidence = clause.get("evidence", [])
    # An empty list or object is no evidence; False and 0 are values.
    there = [pointer for pointer in evidence if resolve(predicate, pointer) not in (None, [], {})]
    rule = clause.get("evidenced_when")
    holds = (
        rule is not None
        and there == evidence
        and all(resolve(predicate, test["field"]) in test["one_of"] for test in rule)
    )
    assessed = {name: value for name, value in clause.items() if name != "evidenced_when"}
    assessed["status"] = "evidenced" if holds else clause["status"]
    assessed["evidence"] = there
    return assessed
