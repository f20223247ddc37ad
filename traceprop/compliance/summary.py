"""A certificate in plain words: what was removed, how, with what guarantee, and what is left."""

from __future__ import annotations

from typing import Any

from traceprop.compliance.draft import DRAFT
from traceprop.printable import one_line


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
        f"  purge: {predicate['purge']['note']}",
        "",
        *_clauses(predicate["regulation"]),
        "",
        "What this certificate does not claim",
        *(f"  - {limit}" for limit in (*predicate["limits"], *predicate["removal"]["limits"])),
    ]
    return "\n".join(one_line(line) for line in lines)


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
        f"Removed       samples: {forgotten['n_samples']}, source rows: {forgotten['n_rows']}",
    ]
    for source in predicate["sources"]:
        lines.append(
            f"  {source['name']}: {source['n_rows_removed']} of {source['n_rows']} rows "
            f"(sha256 {source['sha256']})"
        )
    lines += [
        f"Method        {removal['method']} (asked for: {removal['asked_method']})",
        f"Class         {removal['removal_class']}",
    ]
    lines += [f"  {removal['reason']}", *_worth(removal)]
    steps = " → ".join(predicate["preprocessing"]["steps"]) or "none recorded"
    lines += [f"Preprocessing {steps}", f"  {predicate['preprocessing']['after_removal']}"]
    responsible = predicate["responsible"]
    for role in ("requester", "approver"):
        lines.append(f"{role.capitalize():<13} {responsible[role] or 'not given'}")
    lines.append(f"{'Legal hold':<13} {responsible['legal_hold'] or 'nothing stated'}")
    lines.append(f"{'Audit log':<13} {_log(predicate['log'])}")
    return lines


def _log(log: dict[str, Any]) -> str:
    if log["state"] == "off":
        return "switched off: queries, removals and exports were not recorded"
    if log["head"] is None:
        return "on, without an entry before this certificate's own"
    return f"on, at entry {log['head']['serial']}, kept for {log['retention_days']} days at least"


def _worth(removal: dict[str, Any]) -> list[str]:
    """Say how good the result is, as far as its record does."""
    bound, lines = removal["bound"], []
    if bound is None:
        lines.append("Bound         none: nothing limits how far this is from retraining")
    else:
        lines.append(f"Bound         {bound} on the distance to the retrained weights")
    called = {"forget": "removed", "retain": "remaining"}
    for rows, loss in removal["loss"].items():
        change = f"{loss['before']} before, {loss['after']} after"
        lines.append(f"  mean loss on the {called[rows]} samples: {change}")
    if removal["data"]["origin"] != "store":
        lines.append("Data          given for the removal, and held against nothing")
    if removal["unaudited"]:
        lines.append("Audit         none: nobody compared it with retrained models")
    return lines


def _clauses(regulation: dict[str, Any]) -> list[str]:
    lines = [f"{regulation['instrument']}: {regulation['title']}"]
    lines += [f"  {line}" for line in regulation["about"]]
    for clause in regulation["clauses"]:
        lines.append(
            f"  {clause['clause']}: {clause['status']}. {clause.get('part', clause['asks'])}"
        )
    return lines
