"""Which rule answers for which operation, and what is known about the rest.

A family of row rules is a module in `traceprop.lineage.rules` that registers each function it
answers for::

    @implements(np.cumsum, np.cumprod, family="scan")
    def scan_rows(node: Node) -> list[Edge]: ...

What is known of a function beside its rule (`Facts`) is registered with it, so that row rules, cell
rules, recording and the names of steps read one entry, and operations of other packages say the
same of themselves.
`handles` registers how a call is *executed* where recording "the result" isn't enough: functions
that write into an argument, that return only shapes, or that can't be made to work and say so.
`classify` lists functions with what we promise about them; the completeness test fails for any
overridable NumPy function that isn't in the table.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypedDict, Unpack

import numpy as np

from traceprop.lineage.graph.edge import Rule, opaque_in_extent
from traceprop.lineage.graph.node import UfuncMethod

EXACT: Final = "exact"
CONSERVATIVE: Final = "conservative"
REFUSED: Final = "refused"


class Facts(TypedDict, total=False):
    """What can be said of a function with its rule; see `RowRule`."""

    mixes: bool
    values: tuple[int | str, ...]
    data: tuple[int, ...]
    axis: str | None
    written: int | None
    quiet: bool
    returns_argument: bool
    returns_by_shape: bool
    shape_from_values: int | None


class RowRule(NamedTuple):
    """A row rule as registered, and what is known of the function.

    Attributes
    ----------
    rows : callable
        Node → its edges.
    family : str
    mixes : bool
        The operation combines its inputs into each value, so that one of them can be a statistic
        of another; False where it only moves values.
    values : tuple of (int or str)
        Positions and names of arguments that choose rows by their values (masks, indices):
        recording holds them, and the rule finds a `Held` in the template.
    data : tuple of int
        Positions of the arguments whose cells are moved, where moving is all that happens.
    axis : str or None
        The parameter that names the axis, or the axes, along which lines of cells are worked on.
    written : int or None
        Position of the value that is written into the first argument, where one is.
    quiet : bool
        A reader of `ops()` would not call it a step.
    returns_argument : bool
        It returns its argument, or a part of it, as the values decide.
    returns_by_shape : bool
        It returns its argument itself where the shape leaves nothing to do, so that over another
        number of rows it may do something.
    shape_from_values : int or None
        Number of the first input whose values may decide the shape or the type of the result; None
        where shapes, types and plain arguments decide it.
    """

    rows: Rule
    family: str
    mixes: bool = False
    values: tuple[int | str, ...] = ()
    data: tuple[int, ...] = (0,)
    axis: str | None = None
    written: int | None = None
    quiet: bool = False
    returns_argument: bool = False
    returns_by_shape: bool = False
    shape_from_values: int | None = 0


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
_UFUNC_RULES: Final[dict[str, RowRule]] = {}
UNKNOWN: Final = "unknown"
_UNKNOWN: Final = RowRule(opaque_in_extent, UNKNOWN, mixes=True)
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
    status: str = EXACT,
    reason: str = "",
    **facts: Unpack[Facts],
) -> Callable[[Rule], Rule]:
    """Register a row rule for `functions`, with what it promises and what is known of them."""

    def register(rule: Rule) -> Rule:
        for function in functions:
            _RULES[function] = RowRule(rule, family, **facts)
        classify(*functions, family=family, status=status, reason=reason)
        return rule

    return register


def implements_ufuncs(how: str, *, family: str, mixes: bool = False) -> Callable[[Rule], Rule]:
    """Register a row rule for every ufunc without one of its own.

    `how` is how it is called: by one of its methods, as "reduce", or "call"; "gufunc" is the call
    of one with a signature.
    """

    def register(rule: Rule) -> Rule:
        _UFUNC_RULES[how] = RowRule(rule, family, mixes)
        return rule

    return register


def add_rule(op: Function, rule: RowRule) -> None:
    """Register the rule of an operation of another package, which keeps a table of its own."""
    _RULES[op] = rule


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
    "RowRule",
    "add_rule",
    "classification",
    "classify",
    "handler_of",
    "handles",
    "implements",
    "implements_ufuncs",
    "load_rules",
    "rule_of",
]
