"""Which rule answers for which operation, and what is known about the rest.

A family of row rules is a module in `traceprop.lineage.rules` that registers each function it
answers for::

    @implements(np.cumsum, np.cumprod, family="scan")
    def scan_rows(node: Node) -> list[Edge]: ...

`handles` registers how a call is *executed* where recording "the result" isn't enough: functions
that write into an argument, that tell only shapes, or that can't be made to work and say so.
`classify` lists functions with what we promise about them; the completeness test fails for any
overridable NumPy function that isn't in the table.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from traceprop.lineage.graph.edge import Edge, Rule, opaque_in_extent
from traceprop.lineage.graph.node import Node, UfuncMethod

EXACT: Final = "exact"
CONSERVATIVE: Final = "conservative"
REFUSED: Final = "refused"


class RowRule(NamedTuple):
    """A row rule as registered.

    Attributes
    ----------
    rows : callable
        Node → its edges.
    mixes : bool
        The operation combines its inputs into each value, so that one of them can be a statistic
        of another; False where it only moves values.
    family : str
    """

    rows: Rule
    mixes: bool
    family: str


class Classified(NamedTuple):
    """What is promised about a function: `exact`, `conservative` or `refused`, and why."""

    status: str
    family: str
    reason: str


Function = Callable[..., Any]
Handler = Callable[[Function, tuple[Any, ...], dict[str, Any]], Any]

_RULES: Final[dict[Function, RowRule]] = {}
_HANDLERS: Final[dict[Function, Handler]] = {}
_CLASSIFIED: Final[dict[Function, Classified]] = {}
_VALUES: Final[dict[Function, tuple[int | str, ...]]] = {}
_UFUNC_RULES: Final[dict[str, RowRule]] = {}
UNKNOWN: Final = "unknown"
_UNKNOWN: Final = RowRule(opaque_in_extent, True, UNKNOWN)
_FAMILIES: Final = (
    "elementwise",
    "reduction",
    "contraction",
    "scan",
    "sorting",
    "searching",
    "movement",
    "joining",
    "broadcasting",
    "indexing",
    "choosing",
    "mutators",
    "creation",
    "alltoall",
    "polynomials",
    "structured",
    "metadata",
    "text",
    "ufunc_methods",
    "doors",
)


def load_rules() -> None:
    """Import every family, so that the tables are full: done where the package is imported."""
    for family in _FAMILIES:
        importlib.import_module(f"traceprop.lineage.rules.{family}")


def implements(
    *functions: Function,
    family: str,
    mixes: bool = False,
    values: tuple[int | str, ...] = (),
    status: str = EXACT,
    reason: str = "",
) -> Callable[[Rule], Rule]:
    """Register a row rule for `functions`, with what it promises.

    `values` are the positions and names of arguments that choose rows by their values (masks,
    indices): recording holds them, and the rule finds a `Held` in the template.
    """

    def register(rule: Rule) -> Rule:
        for function in functions:
            _RULES[function] = RowRule(rule, mixes, family)
            if values:
                _VALUES[function] = values
        classify(*functions, family=family, status=status, reason=reason)
        return rule

    return register


def implements_ufuncs(how: str, *, family: str, mixes: bool = False) -> Callable[[Rule], Rule]:
    """Register a row rule for every ufunc without one of its own.

    `how` is how it is called: by one of its methods, as "reduce", or "call"; "gufunc" is the call
    of one with a signature.
    """

    def register(rule: Rule) -> Rule:
        _UFUNC_RULES[how] = RowRule(rule, mixes, family)
        return rule

    return register


def handles(
    *functions: Function, family: str, status: str = EXACT, reason: str = ""
) -> Callable[[Handler], Handler]:
    """Register how calls of `functions` are executed, by `handler(function, args, kwargs)`."""

    def register(handler: Handler) -> Handler:
        for function in functions:
            _HANDLERS[function] = handler
        classify(*functions, family=family, status=status, reason=reason)
        return handler

    return register


def classify(*functions: Function, family: str, status: str, reason: str = "") -> None:
    """State what is promised about `functions`."""
    for function in functions:
        _CLASSIFIED[function] = Classified(status, family, reason)


def rule_of(op: Function) -> RowRule:
    """Return the rule that answers for an operation; the opaque one for the unknown."""
    rule = _RULES.get(op)
    if rule is None:
        if isinstance(op, np.ufunc):
            rule = _UFUNC_RULES["call" if op.signature is None else "gufunc"]
        elif isinstance(op, UfuncMethod):
            rule = _UFUNC_RULES.get(op.method, _UNKNOWN)
        else:
            return _UNKNOWN
        _RULES[op] = rule
    return rule


def values_of(function: Function) -> tuple[int | str, ...]:
    """Return the positions and names of a function's arguments whose values choose rows."""
    return _VALUES.get(function, ())


def handler_of(function: Function) -> Handler | None:
    """Return how calls of `function` are executed, None for the ordinary way."""
    return _HANDLERS.get(function)


def classification() -> dict[Function, Classified]:
    """Return the table of what is promised about each function."""
    return dict(_CLASSIFIED)


__all__ = [
    "CONSERVATIVE",
    "EXACT",
    "REFUSED",
    "UNKNOWN",
    "Classified",
    "Edge",
    "Node",
    "RowRule",
    "classification",
    "classify",
    "handler_of",
    "handles",
    "implements",
    "implements_ufuncs",
    "load_rules",
    "rule_of",
    "values_of",
]
