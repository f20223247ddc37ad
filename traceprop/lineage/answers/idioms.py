"""Readable steps: what a data scientist would call the operations on the way from the source.

`(X - X.mean(axis=0)) / X.std(axis=0)` is four operations and one step, `normalize`. An idiom is a
function from a node to an `Idiom`: its name, and the node at which the walk goes on below it. What
no idiom knows keeps its operation's own name; picking columns or single rows is no step at all.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np

from traceprop.lineage.graph.counted import count_asked
from traceprop.lineage.graph.edge import DIRECT
from traceprop.lineage.graph.edges import MANY_ROWS, edges, made_of
from traceprop.lineage.graph.memo import memo
from traceprop.lineage.graph.node import (
    CONSTANT,
    SOURCE,
    Constant,
    Held,
    Node,
    Slot,
    UfuncMethod,
    in_numpy,
    plain_name,
)
from traceprop.lineage.graph.template import slots
from traceprop.lineage.recording.kept_arrays import is_unchanged
from traceprop.lineage.registry import rule_of
from traceprop.lineage.rowmap import Take
from traceprop.lineage.rowset import distinct
from traceprop.lineage.rules.indexing import GETITEM
from traceprop.lineage.rules.mutators import SETITEM


class Step(str):
    """The name of a step, with the node that ends it. Prints without quotes."""

    __slots__ = ("_node",)

    _node: Node

    def __new__(cls, name: str, node: Node) -> Step:
        """Make the name of the step that ends in `node`."""
        step = super().__new__(cls, name)
        step._node = node
        return step

    @property
    def node(self) -> Node:
        """The operation that ends the step."""
        count_asked((self._node,), "node")
        return self._node

    def __repr__(self) -> str:
        return str(self)


class Idiom(NamedTuple):
    """A recognised step: its name ("" where it is none), and where the walk goes on."""

    name: str
    below: tuple[Node, ...]


Recogniser = Callable[[Node], Idiom | None]

_MEANS: Final = frozenset({np.mean, np.nanmean, np.median, np.nanmedian, np.average})
_SPREADS: Final = frozenset({np.std, np.nanstd, np.var, np.nanvar})
_LOWEST: Final = frozenset({np.min, np.nanmin, np.amin})
_RANGES: Final = frozenset({np.ptp, np.max, np.nanmax, np.amax})
_JOINS: Final = frozenset(
    {np.concatenate, np.stack, np.hstack, np.vstack, np.column_stack, np.append, np.dstack}
)
_LOGS: Final = frozenset({np.log, np.log1p, np.log2, np.log10})
_REDUCED: Final[dict[Any, Any]] = {np.minimum: np.min, np.maximum: np.max, np.add: np.sum}
_DEPTH: Final = 6  # operations between a scaling step and the statistic it uses


def steps(node: Node, raw: bool = False, reached: Container[Node] | None = None) -> list[Step]:
    """Return the steps from the sources to `node`, in order.

    Parameters
    ----------
    raw : bool
        Name every operation, those on statistics and masks included.
    reached : container of Node, optional
        Walk through these nodes alone: those that some rows of interest passed.
    """
    if raw:
        from traceprop.lineage.graph.node import inputs_first

        return [Step(each.name, each) for each in inputs_first(node) if each.op is not SOURCE]
    kept = memo(node)
    if reached is None and kept.ops is not None:
        before, last = kept.ops
        return [*before, Step(last, node)] if last else list(before)
    found = _walk(node, reached)
    if reached is None:
        # A node that held itself would wait for the garbage collector: its own step, which is the
        # last, is kept as a name.
        own = bool(found) and found[-1].node is node
        kept.ops = (tuple(found[:-1]), str(found[-1])) if own else (tuple(found), "")
    return found


def _walk(root: Node, reached: Container[Node] | None) -> list[Step]:
    """Depth first along direct edges; a step is named when all beneath it are."""
    found: list[Step] = []
    seen: set[Node] = set()
    stack: list[Node | Step] = [root]  # nodes to go down from; steps to name on the way back
    while stack:
        node = stack.pop()
        if isinstance(node, Step):
            found.append(node)
            continue
        while node not in seen and (reached is None or node in reached):
            seen.add(node)
            name, below = recognise(node)
            if name:
                stack.append(Step(name, node))
            if len(below) != 1:
                stack.extend(reversed(below))
                break
            node = below[0]
    return found


def recognise(node: Node) -> Idiom:
    """Return the idiom that ends in `node`."""
    for recogniser in _BY_OP.get(_function(node), ()):
        idiom = recogniser(in_numpy(node))
        if idiom is not None:
            return idiom
    return Idiom(_own_name(node.op), direct_inputs(node))


@lru_cache(maxsize=1024)
def _own_name(op: Callable[..., Any]) -> str:
    """Return the name of an operation without an idiom, "" for one that is no step."""
    return "" if op is SOURCE or op is CONSTANT or rule_of(op).quiet else plain_name(op)


def direct_inputs(node: Node) -> tuple[Node, ...]:
    """Return the inputs whose own values flow into the node, in order, each once."""
    found = edges(node)
    if len(found) == 1:
        return () if found[0].kind != DIRECT else (node.inputs[found[0].input],)
    return tuple({node.inputs[edge.input]: None for edge in found if edge.kind == DIRECT})


def rests_on(node: Node, functions: frozenset[Any], depth: int = _DEPTH) -> bool:
    """Whether one of `functions` is within `depth` operations of `node`."""
    level = [node]
    for _ in range(depth):
        if any(_function(each) in functions for each in level):
            return True
        level = [parent for each in level for parent in each.inputs]
    return False


def _function(node: Node) -> Any:
    op: Any = getattr(node.op, "stands_for", node.op)
    if isinstance(op, UfuncMethod) and op.method == "reduce":
        return _REDUCED.get(op.ufunc, op)
    return op


def _operand(node: Node, position: int) -> Node | None:
    """Return the tracked operand at a position of the call, None where it is plain."""
    if len(node.args) <= position:
        return None
    place = node.args[position]
    return (
        node.inputs[place.index] if isinstance(place, (Slot, Held)) and place.index >= 0 else None
    )


def _scale(node: Node) -> Idiom | None:
    """(X - centre) / spread, (X - lowest) / range, and their halves."""
    data, divisor = _operand(node, 0), _operand(node, 1)
    if data is None or divisor is None or made_of(divisor) != MANY_ROWS:
        return None  # a quotient of two columns is no scaling, whatever they were scaled by
    if _function(data) is np.subtract:
        inner, taken = _operand(data, 0), _operand(data, 1)
        if inner is not None and taken is not None and made_of(taken) == MANY_ROWS:
            if rests_on(taken, _MEANS) and rests_on(divisor, _SPREADS):
                return Idiom("normalize", (inner,))
            if rests_on(taken, _LOWEST) and rests_on(divisor, _RANGES):
                return Idiom("min_max_scale", (inner,))
    if rests_on(divisor, _SPREADS):
        return Idiom("scale", (data,))
    return None


def _centre(node: Node) -> Idiom | None:
    """X - mean."""
    data, taken = _operand(node, 0), _operand(node, 1)
    if data is not None and taken is not None and _function(taken) in _MEANS:
        return Idiom("center", (data,))
    return None


def _pick(node: Node) -> Idiom | None:
    """X[key]: rows by mask, by index, by slice; columns and single rows are no step."""
    key = node.args[1]
    first = key[0] if type(key) is tuple and key else key
    data = (node.inputs[0],)
    if isinstance(first, slice):
        return Idiom("" if first == slice(None) else "row_slice", data)
    if isinstance(first, Held):
        parent = node.inputs[0]
        row_map = edges(node)[0].map
        same_number = isinstance(row_map, Take) and node.n_rows == parent.n_rows
        if same_number and len(distinct(row_map.index(), parent.n_rows)) == parent.n_rows:
            return Idiom("shuffle", data)
        return Idiom("row_filter" if _is_mask(node, first) else "row_select", data)
    return Idiom("", data)


def _is_mask(node: Node, key: Held) -> bool:
    """Whether a key filters: a tracked mask, or rows chosen once each and in order."""
    if key.index >= 0:
        return node.inputs[key.index].dtype == bool
    if key.array is None or key.array.dtype == bool:
        return True
    if not is_unchanged(key):
        return False
    rows = key.array
    return len(rows) < node.inputs[0].n_rows and bool(np.all(np.diff(rows) > 0))


def _compress(node: Node) -> Idiom | None:
    data = _operand(node, 1)
    return None if data is None else Idiom("row_filter", (data,))


def _impute(node: Node) -> Idiom | None:
    """where(isnan(X), fill, X), and X[isnan(X)] = fill."""
    deciding = node.inputs[slots(node.args[:1])[0]] if slots(node.args[:1]) else None
    if _function(node) is SETITEM:
        mask = _operand(node, 1)
        if mask is not None and _tells_gaps(mask):
            return Idiom("impute", (node.inputs[0],))
        return None
    if deciding is not None and _tells_gaps(deciding):
        return Idiom("impute", direct_inputs(node))
    return None


def _tells_gaps(mask: Node) -> bool:
    """Whether a mask says of each of its rows whether something is missing in that row."""
    level = {mask}
    for _ in range(_DEPTH):
        if any(_function(each) is np.isnan for each in level):
            return True
        level = {below for each in level for below in direct_inputs(each)}
    return False


def _one_hot(node: Node) -> Idiom | None:
    """codes[:, None] == arange(k)."""
    if len(node.inputs) != 1 or len(node.shape) != 2 or node.shape[0] != node.inputs[0].n_rows:
        return None
    codes = node.inputs[0]
    if codes.shape != (node.shape[0], 1):
        return None
    other = node.args[1] if isinstance(node.args[0], Slot) else node.args[0]
    plain = isinstance(other, (np.ndarray, Constant))
    if plain and other.ndim >= 1 and other.shape[-1] == node.shape[1]:
        return Idiom("one_hot", (codes,))
    return None


def _named(name: str) -> Recogniser:
    return lambda node: Idiom(name, direct_inputs(node))


def _clip(node: Node) -> Idiom | None:
    """minimum(maximum(X, low), high), either way round, with plain limits."""
    opposite = np.maximum if _function(node) is np.minimum else np.minimum
    if (
        len(node.inputs) != 1
        or len(node.inputs[0].inputs) != 1
        or _function(node.inputs[0]) is not opposite
    ):
        return None
    return Idiom("clip", node.inputs[0].inputs)


_BY_OP: Final[dict[Any, tuple[Recogniser, ...]]] = {
    np.true_divide: (_scale,),
    np.subtract: (_centre,),
    GETITEM: (_pick,),
    np.take: (_named("row_select"),),
    np.compress: (_compress,),
    np.where: (_impute,),
    SETITEM: (_impute,),
    np.nan_to_num: (_named("impute"),),
    np.equal: (_one_hot,),
    np.clip: (_named("clip"),),
    np.minimum: (_clip,),
    np.maximum: (_clip,),
    **dict.fromkeys(_LOGS, (_named("log"),)),
    **dict.fromkeys(_JOINS, (_named("concat"),)),
}
