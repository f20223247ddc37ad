"""Which steps beneath a tensor are done on new rows, which are frozen, and why a tensor can't be.

`analyse` walks a recorded pipeline from its sources up. Promise: a step is done on new rows only
where a rule of this folder says that it makes each row of its own; whatever no rule knows is
frozen.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Any, Final

import numpy as np

import traceprop.replays.rowwise.axes as _axes
import traceprop.replays.rowwise.estimators as _estimators
import traceprop.replays.rowwise.joins as _joins
import traceprop.replays.rowwise.keys as _keys
import traceprop.replays.rowwise.tables as _tables
from traceprop.errors import LineageError
from traceprop.lineage.graph.escaped import escapes_of
from traceprop.lineage.graph.node import SOURCE, Constant, Held, Node, Op, Slot, inputs_first
from traceprop.lineage.source import Source
from traceprop.replays.rowwise.alignment import (
    NAMED_RULES,
    OF_AN_OPERAND,
    RULES,
    STATISTIC,
    Call,
    NotRowwise,
    Order,
    Outcome,
    Rows,
)
from traceprop.replays.rowwise.cells import cell_by_cell, is_cell_by_cell

# Loaded, so that their rules are registered.
_FAMILIES: Final = (_axes, _estimators, _joins, _keys, _tables)


class Analysis:
    """What is known of each node beneath a root.

    Parameters
    ----------
    root : Node
    sources : collection of Source
        Those of which new rows are given.

    Attributes
    ----------
    found : dict of Node to Rows
        The nodes that hold rows.
    outcomes : dict of Node to Outcome
        How each of those is done; not of sources.
    why : dict of Node to str
        Why a step on rows is frozen.
    """

    def __init__(self, root: Node, sources: Collection[Source]) -> None:
        self.root = root
        self.nodes = inputs_first(root)
        self.found: dict[Node, Rows] = {}
        self.outcomes: dict[Node, Outcome] = {}
        self.why: dict[Node, str] = {}
        self._chosen: dict[Node, Node] = {}
        self._numbers = numbered(self.nodes)
        self._escape = next(iter(escapes_of(root)), None)
        for node in self.nodes:
            if node.op is SOURCE:
                self._leaf(node, sources)
            elif any(parent in self.found for parent in node.inputs):
                self._step(node)

    def _leaf(self, node: Node, sources: Collection[Source]) -> None:
        source, rows = node.args[0], node.args[1]
        if source not in sources or not node.shape:
            return
        key: Hashable = ("rows", source.n_rows)
        if rows is not None:
            key = ("rows", source.n_rows, np.asarray(rows).tobytes())
        self.found[node] = Rows(Order(key), -len(node.shape))

    def _step(self, node: Node) -> None:
        self._note_chosen(node)
        call = Call(node, self.found, self._numbers, self._chosen, self._escape)
        try:
            outcome = _rule(node)(call)
        except NotRowwise as reason:
            self.why[node] = str(reason)
            return
        self.outcomes[node] = outcome
        self.found[node] = outcome.rows

    def _note_chosen(self, node: Node) -> None:
        """Note where true places are taken from a mask that holds rows."""
        if node.op in (np.flatnonzero, np.nonzero) or (node.op is np.where and len(node.args) == 1):
            mask = node.inputs[0]
            rows = self.found.get(mask)
            if rows is not None and len(mask.shape) == 1 and mask.dtype == bool:
                self._chosen[node] = mask

    def refusal(self) -> LineageError:
        """Return why the root holds no rows: the first step on the way that isn't row by row."""
        culprit = self._culprit()
        if culprit is None:
            return LineageError(
                f"{self.root.name} {list(self.root.shape)} can't be applied to new rows: it holds "
                "none of the source's rows."
            )
        return LineageError(
            f"{culprit.name} {list(culprit.shape)} can't be applied to new rows: "
            f"{self.why[culprit]}."
        )

    def _culprit(self) -> Node | None:
        """Return the nearest step beneath the root that took rows and gave something frozen.

        Where that is because of an operand that has a value for each recorded row, the step that
        made the operand so is the better answer.
        """
        seen, level = {self.root}, [self.root]
        first: Node | None = None
        while level:
            for node in level:
                if node in self.why and node is not first:
                    if first is None:
                        first = node
                    elif self.why[node] != STATISTIC:
                        return node
            if first is not None and self.why[first] not in OF_AN_OPERAND:
                return first
            level = [
                parent
                for node in level
                for parent in node.inputs
                if parent not in seen and parent not in self.found
            ]
            seen.update(level)
        return first


def _rule(node: Node) -> Any:
    op = node.op
    rule = RULES.get(op) or _axes.rule_of_method(op)
    if rule is None and isinstance(op, Op):
        rule = NAMED_RULES.get(op.name)
    if rule is None and is_cell_by_cell(op):
        rule = cell_by_cell
    return rule or _unknown


def _unknown(call: Call) -> Outcome:
    raise NotRowwise(
        "it isn't known to make each row of its own; keep to operations on columns, or prepare "
        "new rows together with the old ones by tp.replay"
    )


def numbered(nodes: list[Node]) -> dict[Node, int]:
    """Give numbers to nodes, equal ones to equal calls on equal inputs."""
    numbers: dict[Node, int] = {}
    known: dict[Hashable, int] = {}
    for node in nodes:
        inputs = tuple(numbers[parent] for parent in node.inputs)
        if node.op is SOURCE:
            key: Hashable = (SOURCE, node.args[0].uri, node.args[0].sha256, _frozen(node.args[1:]))
        else:
            key = (node.op, inputs, _frozen(node.args), _frozen(node.kwargs), node.item, node.shape)
        numbers[node] = known.setdefault(key, len(known))
    return numbers


def _frozen(value: Any) -> Hashable:
    """Return what is hashable, and equal only for equal values."""
    if isinstance(value, (Slot, Held)) and value.index >= 0:
        return type(value).__name__, value.index
    if isinstance(value, (Held, Constant)):
        return "plain", id(value.array)
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            return "objects", id(value)
        return "array", value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, (tuple, list)):
        return type(value).__name__, *map(_frozen, value)
    if isinstance(value, dict):
        return "dict", *((name, _frozen(each)) for name, each in value.items())
    if isinstance(value, slice):
        return "slice", _frozen((value.start, value.stop, value.step))
    try:
        hash(value)
    except TypeError:
        return "object", id(value)
    return type(value), value
