"""Which cell rule answers for which operation, and which operations are answered widely, and why.

A cell rule refines the row rule: it says for some of a node's inputs which *cells* flow into which
cells. Whether an input is direct, a statistic or a control stays with the row rule, and inputs that
no cell rule speaks of are answered by their rows. `wide` lists the operations for which that is
more than there is; the completeness test fails for an operation that is neither.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from traceprop.lineage.cells.maps import Refined
from traceprop.lineage.graph.node import Node, UfuncMethod
from traceprop.lineage.registry import rule_of

CellRule = Callable[[Node], Refined]

_RULES: Final[dict[Callable[..., Any], CellRule]] = {}
_FAMILY_RULES: Final[dict[str, CellRule]] = {}
_METHOD_RULES: Final[dict[str, CellRule]] = {}
_WIDE: Final[dict[Callable[..., Any], str]] = {}
_WIDE_FAMILIES: Final[dict[str, str]] = {}
_MODULES: Final = (
    "elementwise",
    "lines",
    "running",
    "contraction",
    "matrices",
    "movement",
    "writes",
    "records",
    "wholly",
)


def refines(
    *functions: Callable[..., Any], family: str | None = None, method: str | None = None
) -> Callable[[CellRule], CellRule]:
    """Register a cell rule for functions, for the rest of a family, or for a ufunc's method."""

    def register(rule: CellRule) -> CellRule:
        for function in functions:
            _RULES[function] = rule
        if family is not None:
            _FAMILY_RULES[family] = rule
        if method is not None:
            _METHOD_RULES[method] = rule
        return rule

    return register


def wide(*functions: Callable[..., Any], reason: str, family: str | None = None) -> None:
    """State that cells of functions, or of a family, are given too many cells, and why.

    A function with a cell rule of its own can be among them: the reason then says when.
    """
    for function in functions:
        _WIDE[function] = reason
    if family is not None:
        _WIDE_FAMILIES[family] = reason


def by_rows(node: Node) -> Refined:
    """Rule of what works on whole rows, or on vectors: the rows that flow in are all there is."""
    return {}


def refined(node: Node) -> Refined:
    """Return the cell maps of a node's inputs, as far as a rule knows them."""
    rule = rule_for(node.op)
    return rule(node) if rule is not None else {}


def rule_for(op: Callable[..., Any]) -> CellRule | None:
    """Return the cell rule that answers for an operation, None where its rows do."""
    load_rules()
    rule = _RULES.get(op)
    if rule is None and isinstance(op, UfuncMethod):
        return _METHOD_RULES.get(op.method)
    if rule is None:
        rule = _FAMILY_RULES.get(rule_of(op).family)
    return rule


def wideness(op: Callable[..., Any]) -> str | None:
    """Return why an operation's cells are given more cells than they rest on; None if not."""
    load_rules()
    return _WIDE.get(op) or _WIDE_FAMILIES.get(rule_of(op).family)


@cache
def load_rules() -> None:
    """Import every module of cell rules, so that the tables are full: when cells are asked for."""
    for module in _MODULES:
        importlib.import_module(f"traceprop.lineage.cells.{module}")
