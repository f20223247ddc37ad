"""A certificate in plain words: what was removed, how, with what guarantee, and what is left."""

from __future__ import annotations

from typing import Any

from traceprop.compliance.limits import DRAFT


def describe(statement: dict[str, Any]) -> str:
    """Return a statement as text, a few dozen lines.

    Parameters
    ----------
    statement : dict
        `Report.to_dict()`, or the `statement` of a verdict.
    """
    predicate = statement["predicate"]
    lines = [
        *_head(predicate),
        "",
        *_removed(predicate),
        "",
        "What is left",
        *(f"  {item['what']}: {item['state']}. {item['note']}" for item in predicate["left"]),
        "",
        *_clauses(predicate["regulation"]),
        "",
        "What this certificate does not claim",
        *(f"  - {limit}" for limit in predicate["limits"]),
    ]
    return "\n".join(lines)


def _head(predicate: dict[str, Any]) -> list[str]:
    if predicate["draft"]:
        return [f"DRAFT removal certificate {predicate['serial']}", DRAFT]
    return [
        f"Removal certificate {predicate['serial']}",
        f"Issued {predicate['issued']['time']} ({predicate['issued']['proof']}), signed with the "
        f"key {predicate['signer']['keyid']}",
    ]


def _removed(predicate: dict[str, Any]) -> list[str]:
    forgotten, removal = predicate["forget_set"], predicate["removal"]
    lines = [
        f"Model before  {predicate['models']['before']['sha256']}",
        f"Model after   {predicate['models']['after']['sha256']}",
        f"Removed       {forgotten['n_samples']} samples ({forgotten['n_rows']} source rows)",
    ]
    for source in predicate["sources"]:
        lines.append(
            f"  {source['name']}: {source['n_rows_removed']} of {source['n_rows']} rows "
            f"(sha256 {source['sha256']})"
        )
    lines += [f"Method        {removal['method']}: {removal['removal_class']}", *_bound(removal)]
    lines += [f"  {removal['reason']}"]
    steps = " → ".join(predicate["preprocessing"]["steps"]) or "none recorded"
    lines += [f"Preprocessing {steps}", f"  {predicate['preprocessing']['after_removal']}"]
    responsible = predicate["responsible"]
    for role in ("requester", "approver"):
        lines.append(f"{role.capitalize():<13} {responsible[role] or 'not given'}")
    return lines


def _bound(removal: dict[str, Any]) -> list[str]:
    bound = removal.get("bound")
    return [] if bound is None else [f"Bound         {bound}"]


def _clauses(regulation: dict[str, Any]) -> list[str]:
    lines = [f"{regulation['instrument']}: {regulation['title']}"]
    lines += [f"  {line}" for line in regulation["about"]]
    for clause in regulation["clauses"]:
        lines.append(
            f"  {clause['clause']}: {clause['status']}. {clause.get('part', clause['asks'])}"
        )
    return lines
