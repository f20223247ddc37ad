"""What a recorded step says about rows, when it is to be done on new ones.

A tensor of the recording either *holds rows* (one of its axes has a row of the source in each
place, and new rows can stand there instead) or is *frozen* (its recorded values are used as they
were: a mean, a sorted column, a table to look things up in). Two tensors that hold rows fit
together only where they hold the same rows in the same order, which an `Order` says. A rule takes a
`Call` and answers with an `Outcome`, or raises `NotRowwise`: then the result is frozen, and it is
an error only where rows of it are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from traceprop.lineage.answers.query import sources
from traceprop.lineage.graph.escaped import Escape
from traceprop.lineage.graph.node import Constant, Held, Node, Slot, slot
from traceprop.lineage.graph.template import slots
from traceprop.lineage.recording.methods import ASTYPE

STATISTIC: Final = "it is a statistic of all rows"
A_VALUE_EACH: Final = (
    "one of its operands has a value for each row of the recording, and none for a new row"
)
A_COLUMN: Final = (
    "a column that it puts beside the rows has a value for each row of the recording, and none for "
    "a new row"
)
OF_AN_OPERAND: Final = frozenset({A_VALUE_EACH, A_COLUMN})


class NotRowwise(Exception):
    """A step that doesn't make each row of its own; the text says why, and the way out."""


class Order:
    """Which rows a tensor holds, in which order: those of its source, then what was chosen of them.

    Attributes
    ----------
    key : hashable
        Equal for equal orders.
    parent : Order or None
        What was chosen from.
    mask : Node or None
        The mask that decided, row by row; None where places decided, as those of a slice: new rows
        have no place, and pass.
    ranked : bool
        Whether the rows' values, compared with one another, put them in order.
    """

    __slots__ = ("key", "mask", "parent", "ranked")

    def __init__(
        self,
        key: Hashable,
        parent: Order | None = None,
        mask: Node | None = None,
        ranked: bool = False,
    ) -> None:
        self.key = key
        self.parent = parent
        self.mask = mask
        self.ranked: bool = ranked or (parent is not None and parent.ranked)

    def filtered(self, mask: Node, number: int) -> Order:
        """Return the order of the rows that a mask, of the same rows, keeps."""
        return Order((self.key, "filter", number), self, mask)

    def by_place(self, what: Hashable, ranked: bool = False) -> Order:
        """Return the order of rows that were chosen, or moved, by their places."""
        return Order((self.key, what), self, None, ranked)


class Rows(NamedTuple):
    """That a tensor holds rows.

    Attributes
    ----------
    order : Order
    axis : int
        The axis on which they are, counted from the end: -1 is the last.
    numbers : hashable, optional
        The tensor's values are the places of its rows in the order of that key.
    """

    order: Order
    axis: int
    numbers: Hashable = None


class Outcome(NamedTuple):
    """How a step is done on new rows.

    Attributes
    ----------
    rows : Rows
    passes : int or None
        The input whose rows the result has as they are: nothing is to be done.
    op, args, kwargs
        What is called instead of the recorded call, where that names how many rows there were.
    frozen : frozenset of int
        Inputs that hold rows, but are taken as they were recorded.
    inputs : tuple of Node, optional
        Other inputs than the recorded ones.
    """

    rows: Rows
    passes: int | None = None
    op: Any = None
    args: tuple[Any, ...] | None = None
    kwargs: dict[str, Any] | None = None
    frozen: frozenset[int] = frozenset()
    inputs: tuple[Node, ...] | None = None


class Call:
    """A node with what is known of its inputs.

    Attributes
    ----------
    node : Node
    held : list of (Rows or None)
        For each input the rows that it holds, None for a frozen one.
    n : int
        How many rows those are in the recording.
    escape : Escape or None
        Where values left the lineage first.
    """

    __slots__ = ("_chosen", "_found", "_numbers", "escape", "held", "n", "node")

    def __init__(
        self,
        node: Node,
        found: dict[Node, Rows],
        numbers: dict[Node, int],
        chosen: dict[Node, Node],
        escape: Escape | None = None,
    ) -> None:
        self.node = node
        self.escape = escape
        self.held = [found.get(parent) for parent in node.inputs]
        self._found = found
        self._numbers = numbers
        self._chosen = chosen
        self.n = 0
        for parent, rows in zip(node.inputs, self.held, strict=True):
            if rows is not None:
                self.n = parent.shape[rows.axis]
                break

    def number(self, node: Node) -> int:
        """Return a number that equal steps on equal inputs share."""
        return self._numbers[node]

    def chosen_by(self, node: Node) -> Node | None:
        """Return the mask whose true places a node holds, as `np.flatnonzero` gives them."""
        return self._chosen.get(node)

    def order_of(self, node: Node) -> Order:
        """Return the order of the rows that a node, known to hold rows, holds."""
        return self._found[node].order

    def is_made_of(self, i: int, other: int) -> bool:
        """Whether two inputs are made of rows of one source directly."""
        mine, others = (sources(self.node.inputs[k]) for k in (i, other))
        return any(source in others for source in mine)

    def main(self, position: int = 0) -> tuple[int, Rows]:
        """Return the input that stands at a position, and its rows.

        Raises
        ------
        NotRowwise
            When no single tensor stands there, or it holds no rows.
        """
        args = self.node.args
        place = args[position] if position < len(args) else None
        if isinstance(place, (Slot, Held)) and place.index >= 0:
            rows = self.held[place.index]
            if rows is not None:
                return place.index, rows
        raise NotRowwise("it takes the rows in a place where a table of fixed size belongs")

    def others_frozen(self, but: Sequence[int]) -> None:
        """Refuse other inputs that hold rows."""
        for i, rows in enumerate(self.held):
            if rows is not None and i not in but:
                raise NotRowwise("it mixes rows with rows")

    def outcome(self, rows: Rows, **more: Any) -> Outcome:
        """Return that the step is done as it was recorded, with `rows` in its result."""
        return Outcome(rows, **more)


def passed(call: Call, i: int, rows: Rows) -> Outcome:
    """Return that the result has the rows of an input as they are, in the result's type."""
    dtype = call.node.dtype
    if call.node.inputs[i].dtype == dtype:
        return Outcome(rows, passes=i)
    return Outcome(rows, op=ASTYPE, args=(slot(i), dtype), kwargs={})


Rule = Callable[[Call], Outcome]
RULES: Final[dict[Any, Rule]] = {}
NAMED_RULES: Final[dict[str, Rule]] = {}
"""Rules of operations that belong to parts which are loaded on use, by the operation's name."""


def rowwise(*functions: Any) -> Callable[[Rule], Rule]:
    """Register how functions are done on new rows."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(functions, rule))
        return rule

    return register


def rowwise_named(*names: str) -> Callable[[Rule], Rule]:
    """Register how operations of a part that may not be loaded are done on new rows."""

    def register(rule: Rule) -> Rule:
        NAMED_RULES.update(dict.fromkeys(names, rule))
        return rule

    return register


def operand_shapes(call: Call, values: Any) -> list[tuple[int | None, tuple[int, ...]]]:
    """Return the input number (None where plain) and the shape of each array in a template."""
    found: list[tuple[int | None, tuple[int, ...]]] = []
    for value in values:
        if isinstance(value, (Slot, Held)) and value.index >= 0:
            found.append((value.index, call.node.inputs[value.index].shape))
        elif isinstance(value, Constant):
            found.append((None, value.shape))
        elif isinstance(value, Held):
            found.append((None, np.shape(value.array)))
        elif isinstance(value, (list, tuple)):
            if slots(value):
                found += operand_shapes(call, value)
            else:
                found.append((None, np.shape(value)))
        elif isinstance(value, np.ndarray):
            found.append((None, value.shape))
    return found


def together(call: Call, operands: list[tuple[int | None, tuple[int, ...]]]) -> Outcome:
    """Return the outcome of operands that broadcast: rows beside rows, all else beside each row."""
    rows, frozen = beside(call, operands)
    if len(call.node.shape) < -rows.axis or call.node.shape[rows.axis] != call.n:
        raise NotRowwise("its result isn't made row by row")
    return Outcome(Rows(rows.order, rows.axis), frozen=frozenset(frozen))


def beside(call: Call, operands: list[tuple[int | None, tuple[int, ...]]]) -> tuple[Rows, set[int]]:
    """Check that operands can stand beside one another on new rows.

    Returns
    -------
    rows : Rows
        Which rows they hold.
    frozen : set of int
        Inputs of one row that goes with each of several.
    """
    rows, frozen = _first_rows(call, operands)
    for i, shape in operands:
        own = None if i is None or i in frozen else call.held[i]
        if own is not None and own.axis != rows.axis and shape[own.axis] < call.n:
            assert i is not None
            frozen.add(i)  # a few rows along another axis, that each row is set against
        elif own is not None:
            same_rows(rows, own)
            continue
        extent = shape[rows.axis] if len(shape) >= -rows.axis else None
        if extent is not None and (extent != 1 or call.n == 1):
            raise NotRowwise(A_VALUE_EACH)
    return rows, frozen


def _first_rows(
    call: Call, operands: list[tuple[int | None, tuple[int, ...]]]
) -> tuple[Rows, set[int]]:
    """Return the rows of the result, and the inputs of one row that go with each of several."""
    held = [(i, call.held[i], shape) for i, shape in operands if i is not None]
    lengths = [shape[rows.axis] for _, rows, shape in held if rows is not None]
    if not lengths:
        raise NotRowwise("no rows stand among its operands")
    most = max(lengths)
    frozen: set[int] = set()
    first: Rows | None = None
    for i, rows, shape in held:
        if rows is None:
            continue
        if shape[rows.axis] == 1 and most != 1:
            assert i is not None
            frozen.add(i)
        elif first is None or shape[rows.axis] > call.n:
            first, call.n = rows, shape[rows.axis]
    assert first is not None
    return first, frozen


def same_rows(one: Rows, other: Rows) -> None:
    """Refuse tensors that hold other rows, in another order, or along another axis."""
    if one.axis != other.axis:
        raise NotRowwise("it sets every row against every row")
    if one.order.key != other.order.key:
        raise NotRowwise(
            "it sets rows beside rows of another choice or order, as X[1:] - X[:-1] does"
        )
