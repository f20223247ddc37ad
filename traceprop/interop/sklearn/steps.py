"""What scikit-learn's estimators do, as recorded operations: their rows, and running them again.

A call of an estimator is one operation, called as its class. What it learned is a value like any
other, an array of no axes that holds the fitted estimator: the result of the call that fitted it,
and an input of the calls that use it. So that the rows which it learned from are among what its
results rest on, however far apart `fit` and `transform` stand. In a replay the estimator is made
anew from its description and fitted on the replayed rows.

The template of a call is ``(mode, kind, method, estimator, note, *arguments)``: `FITS` has an
estimator's description there and returns the fitted one last; `USES` has the fitted one, or, where
it was never fitted, its description too. `note` is None, or says why this can't be run again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from traceprop.interop.sklearn.described import made, refusals
from traceprop.interop.sklearn.frames import COLUMNS
from traceprop.interop.sklearn.kinds import HOMES, NEIGHBOURS, OPAQUE, STATELESS
from traceprop.interop.sklearn.scope import inside
from traceprop.lineage.cells.table import wide
from traceprop.lineage.graph.edge import (
    CONTROL,
    DIRECT,
    STATISTIC,
    Edge,
    Edges,
    extent_of,
    opaque_in_extent,
)
from traceprop.lineage.graph.node import Node, Op
from traceprop.lineage.graph.template import slots
from traceprop.lineage.registry import CONSERVATIVE, implements
from traceprop.lineage.rerun import arrays_in
from traceprop.lineage.rowmap import All, Identity

FITS: Final = "fits"
USES: Final = "uses"
GOES_ON: Final = "goes on"
ARGUMENTS: Final = 5
"""Where the arguments of the call itself begin."""

FAMILY: Final = "estimators"


def boxed(estimator: Any) -> np.ndarray[Any, Any]:
    """Return an array of no axes that holds an estimator."""
    box = np.empty((), dtype=object)
    box[()] = estimator
    return box


def _run(mode: str, *call: Any, **kwargs: Any) -> list[Any]:
    """Do a call again, on an estimator made anew or on the fitted one."""
    kind, method, estimator, _, *args = call
    with inside():
        if isinstance(estimator, tuple):
            own = made(estimator)
            if mode == USES and kind == STATELESS:
                own.fit(args[0])  # it learns how many columns there are
        else:
            own = estimator[()]
            if mode == GOES_ON:
                own = copy.deepcopy(own)  # another call may need it as it was
        result = getattr(own, method)(*args, **kwargs)
    found = [] if result is own else [as_array(each) for each in results_in(result)]
    return found if mode == USES else [*found, boxed(own)]


def results_in(result: Any) -> list[Any]:
    """Return the arrays and numbers in a call's result, in order."""
    return [result] if isinstance(result, float) else list(arrays_in(result))


def as_array(value: Any) -> Any:
    """Return a number as one of NumPy's, an array as it is."""
    return np.float64(value) if type(value) is float else value


def _why_not(node: Node) -> str | None:
    """Return the reason that stands in a call's template why it can't be run again."""
    return next(refusals(node.args), None)


def call_rows(node: Node) -> Edges:
    """Row by row where that is known of the estimator; what it learned goes into every row."""
    mode, kind, _, estimator, _, *arguments = node.args
    if node.dtype == object and not node.shape:
        return opaque_in_extent(node)  # the fitted estimator itself
    first = slots(arguments[:1])
    is_frame = bool(arguments) and type(arguments[0]) is tuple and arguments[0][:1] == (COLUMNS,)
    learned = slots(estimator) if mode == USES else list(range(len(node.inputs)))
    aligned = (len(first) == 1 or is_frame) and bool(node.shape) and all(
        node.shape[:1] == node.inputs[i].shape[:1] for i in first
    )  # fmt: skip
    if kind == OPAQUE or mode == GOES_ON or (first and not aligned):
        return opaque_in_extent(node)
    edges = [Edge(i, Identity(node.n_rows)) for i in first]
    if kind == STATELESS:
        return edges
    statistic = kind != NEIGHBOURS
    for i in learned:
        everything = All(node.n_rows, node.inputs[i].n_rows)
        kind_of_edge = STATISTIC if statistic else DIRECT
        edges.append(Edge(i, everything, kind_of_edge, aggregates=not statistic))
    if not statistic:  # which rows miss a value decides who is worked on together
        edges += [Edge(i, All(node.n_rows, node.inputs[i].n_rows), CONTROL) for i in first]
    return [*edges, *extent_of(node, learned)]


def _learned(estimator: Any, path: tuple[tuple[str, Any], ...]) -> Any:
    with inside():
        return as_array(follow(estimator[()], path))


def follow(value: Any, path: tuple[tuple[str, Any], ...]) -> Any:
    """Go from an estimator to what is learned in it, by attributes and items."""
    for how, name in path:
        value = getattr(value, name) if how == "attribute" else value[name]
    return value


def _part(estimator: Any, path: tuple[tuple[str, Any], ...]) -> Any:
    return boxed(follow(estimator[()], path))


LEARNED: Final = Op("learned by an estimator", _learned)
"""`learned(estimator, path)`: an array that an estimator learned, as ``scaler.mean_``."""

PART: Final = Op("part of an estimator", _part)
"""`part(estimator, path)`: a fitted estimator in another one, as a pipeline's step."""

implements(
    LEARNED, family=FAMILY, status=CONSERVATIVE, reason="all that was learned rests on all rows"
)(opaque_in_extent)
implements(
    PART, family=FAMILY, quiet=True, status=CONSERVATIVE,
    reason="a part may have learned from all that the whole did",
)(opaque_in_extent)  # fmt: skip
wide(family=FAMILY, reason="an estimator works on whole rows, with what it learned from all cells")

_UNKNOWN_CLASS: Final = "estimator"


def _operation(name: str) -> Op:
    op = Op(name, _run, _why_not)
    implements(
        op, family=FAMILY, status=CONSERVATIVE,
        reason="what an estimator learned goes into every row of its result",
    )(call_rows)  # fmt: skip
    return op


_CALLS: Final = {name: _operation(name) for name in (*HOMES, _UNKNOWN_CLASS)}


def operation_of(estimator: Any, known: Callable[[Any], bool]) -> Op:
    """Return the operation that a call of an estimator is recorded as."""
    return _CALLS[type(estimator).__name__ if known(estimator) else _UNKNOWN_CLASS]
