"""Which cell rule answers for which operation.

A cell rule refines the row rule: it says for some of a node's inputs which *cells* flow into which
cells. Whether an input is direct, a statistic or a control stays with the row rule, and inputs that
no cell rule speaks of are answered by their rows.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from traceprop.lineage.cells.maps import Refined
from traceprop.lineage.node import Node, UfuncMethod
from traceprop.lineage.registry import rule_of

CellRule = Callable[[Node], Refined]

_RULES: Final[dict[Callable[..., Any], CellRule]] = {}
_FAMILY_RULES: Final[dict[str, CellRule]] = {}
_METHOD_RULES: Final[dict[str, CellRule]] = {}
_MODULES: Final = ("elementwise", "lines", "contraction", "movement", "writes")
_loaded: Final[list[bool]] = []


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


def refined(node: Node) -> Refined:
    """Return the cell maps of a node's inputs, as far as a rule knows them."""
    if not _loaded:
        for module in _MODULES:
            importlib.import_module(f"traceprop.lineage.cells.{module}")
        _loaded.append(True)
    op = node.op
    rule = _RULES.get(op)
    if rule is None and isinstance(op, UfuncMethod):
        rule = _METHOD_RULES.get(op.method)
    elif rule is None:
        family = rule_of(op).family
        if isinstance(op, np.ufunc):
            family = "elementwise" if op.signature is None else "gufunc"
        rule = _FAMILY_RULES.get(family)
    return rule(node) if rule is not None else {}
