"""Making a plan of a recorded tensor: its row-wise steps, and the statistics that they take.

The recorded pipeline is run again once, from its sources, for the statistics; then the plan is
tried on some recorded rows. Promise: where it doesn't give the tensor's own rows there, to the bit
or within the tolerance of a replay, it is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import LineageError, SourceError
from traceprop.lineage.answers.columns import columns
from traceprop.lineage.answers.origins import origins_of
from traceprop.lineage.graph.escaped import escapes_of
from traceprop.lineage.graph.node import (
    SOURCE,
    Held,
    Node,
    Slot,
    inputs_first,
    make_held,
    make_node,
    slot,
)
from traceprop.lineage.graph.template import places, transform
from traceprop.lineage.rerun import why_not
from traceprop.lineage.rules.indexing import GETITEM, names_fields
from traceprop.lineage.source import MemorySource, Source
from traceprop.replays.compare import distance, same_bits
from traceprop.replays.leaves import Given
from traceprop.replays.pipeline.plan import Filter, Leaf, Plan, Statistic, Step, named
from traceprop.replays.replaying import recorded_values
from traceprop.replays.rowwise.alignment import Order
from traceprop.replays.rowwise.analysis import Analysis
from traceprop.replays.rowwise.keys import rests_on_values

Array = NDArray[Any]

_TRIED: Final = 64  # recorded rows that a plan is tried on


class Compiled:
    """A plan, and how it was checked.

    Attributes
    ----------
    plan : Plan
    columns : tuple of str, or None
    off : float or None
        The largest difference from the recorded rows, over their largest value; 0.0 where all
        equal to the bit, None where no row could be tried.
    tried : int
    escapes : list of str
        Where values left the lineage: numbers of the program may be statistics too.
    """

    __slots__ = ("columns", "escapes", "off", "plan", "tried")

    def __init__(self, plan: Plan, root: Node) -> None:
        self.plan = plan
        self.columns = columns(root)
        self.off: float | None = None
        self.tried = 0
        self.escapes = [str(each) for each in escapes_of(root)]


def compiled(root: Node, sources: Collection[Source], given: Given) -> Compiled:
    """Compile the pipeline of a node for new rows of some sources.

    Raises
    ------
    LineageError
        When a step isn't row-wise, or can't be run again.
    SourceError
        When a source can't be read again, for the statistics.
    """
    analysis = Analysis(root, sources)
    if root not in analysis.found:
        raise analysis.refusal()
    work = _Work(analysis)
    for node in work.live:
        why = why_not(node)
        if why is not None:
            raise LineageError(f"{node.name} {list(node.shape)} can't be applied: {why}.")
    wanted = [*work.frozen, *work.leaves, root]
    needs = bool(work.frozen) or any(_may_be_text(leaf) for leaf in work.leaves)
    try:
        found = recorded_values(wanted, given)
    except SourceError:
        if needs or not all(isinstance(leaf.args[0], MemorySource) for leaf in work.leaves):
            raise
        found = []  # it was in memory, and no statistic is needed
    made = Compiled(work.plan(dict(zip(wanted, found, strict=False))), root)
    if found:
        _try(made, work, found[len(work.frozen) :])
    return made


def _may_be_text(leaf: Node) -> bool:
    return isinstance(leaf.args[2], str) and leaf.dtype == np.int32


class _Work:
    """The nodes that a plan is made of."""

    def __init__(self, analysis: Analysis) -> None:
        self.root = analysis.root
        self._analysis = analysis
        self.filters = _masks(analysis.found[self.root].order)
        live: set[Node] = set()
        frozen: dict[Node, None] = {}
        stack = [self.resolved(self.root), *map(self.resolved, self.filters)]
        while stack:
            node = stack.pop()
            if node in live:
                continue
            live.add(node)
            if node.op is SOURCE:
                continue
            for parent, is_frozen in self._inputs(node):
                if is_frozen:
                    frozen[parent] = None
                else:
                    stack.append(self.resolved(parent))
        ordered = [node for node in analysis.nodes if node in live]
        self.leaves = [node for node in ordered if node.op is SOURCE]
        self.live = [node for node in ordered if node.op is not SOURCE]
        known = [node for node in analysis.nodes if node in frozen]
        self.frozen = list(dict.fromkeys([*known, *frozen]))  # a rule's own nodes too

    def resolved(self, node: Node) -> Node:
        """Return the node whose rows a node has as they are."""
        outcome = self._analysis.outcomes.get(node)
        while outcome is not None and outcome.passes is not None:
            node = node.inputs[outcome.passes]
            outcome = self._analysis.outcomes.get(node)
        return node

    def _inputs(self, node: Node) -> list[tuple[Node, bool]]:
        """Return the inputs that a live node's call takes, and whether each is frozen."""
        outcome = self._analysis.outcomes[node]
        inputs = outcome.inputs or node.inputs
        args, kwargs = self._template(node)
        used = sorted({place.index for place in places((args, kwargs)) if place.index >= 0})
        return [
            (inputs[i], i in outcome.frozen or inputs[i] not in self._analysis.found) for i in used
        ]

    def _template(self, node: Node) -> tuple[Any, Any]:
        outcome = self._analysis.outcomes[node]
        args = node.args if outcome.args is None else outcome.args
        return args, node.kwargs if outcome.kwargs is None else (outcome.kwargs or None)

    def plan(self, values: dict[Node, Any]) -> Plan:
        """Return the plan, with the values of the frozen nodes and of the leaves."""
        register: dict[Any, int] = {}
        for node in self.leaves:
            register[node] = len(register)
        for node in self.frozen:
            register["frozen", node] = len(register)
        steps = []
        for node in self.live:
            register[node] = len(register)
            steps.append(self._step(node, register))
        names = named(each.name for each in self.frozen)
        statistics = [
            Statistic(name, columns(node), np.asarray(values[node]), rests_on_values(node))
            for name, node in zip(names, self.frozen, strict=True)
        ]
        return Plan(
            self._described_leaves(values),
            statistics,
            steps,
            [Filter(register[self.resolved(mask)], _filter_name(mask)) for mask in self.filters],
            register[self.resolved(self.root)],
            self._analysis.found[self.root].axis,
        )

    def _step(self, node: Node, register: dict[Any, int]) -> Step:
        outcome = self._analysis.outcomes[node]
        inputs = outcome.inputs or node.inputs
        args, kwargs = self._template(node)
        taken: dict[int, int] = {}
        registers: list[int] = []

        def place(old: Any) -> Any:
            if old.index < 0:
                return old.read() if isinstance(old, Held) else old
            if old.index not in taken:
                parent = inputs[old.index]
                is_frozen = old.index in outcome.frozen or parent not in self._analysis.found
                key = ("frozen", parent) if is_frozen else self.resolved(parent)
                taken[old.index] = len(registers)
                registers.append(register[key])
            number = taken[old.index]
            return slot(number) if isinstance(old, Slot) else make_held(number, None)

        call = make_node(
            outcome.op or node.op,
            (),
            transform(args, place),
            None if kwargs is None else transform(kwargs, place),
            node.shape,
            node.dtype,
            node.item,
        )
        return Step(call, tuple(registers), outcome.rows.axis)

    def _described_leaves(self, values: dict[Node, Any]) -> list[Leaf]:
        texts: dict[Source, dict[str, tuple[str, ...] | None]] = {}
        for leaf in self.leaves:
            if _may_be_text(leaf):
                texts.setdefault(leaf.args[0], {})[leaf.args[2]] = None
        for source, names in texts.items():
            texts[source] = source.categories(names)
        return [self._described(leaf, texts.get(leaf.args[0], {}), values) for leaf in self.leaves]

    def _described(
        self,
        leaf: Node,
        texts: dict[str, tuple[str, ...] | None],
        values: dict[Node, Any],
    ) -> Leaf:
        source, _, column = leaf.args
        is_column = isinstance(column, str)
        categories = texts.get(column) if is_column else None
        return Leaf(
            source.uri,
            source.name,
            column if is_column else None,
            source.columns if is_column else leaf.leaf_columns,
            leaf.shape[1:],
            leaf.dtype,
            categories,
            categories is not None and bool(np.min(values[leaf], initial=0) < 0),
            None if is_column else self._needed(leaf),
        )

    def _needed(self, leaf: Node) -> tuple[int, ...] | None:
        """Return the columns of an array of two axes that any step reads; None for all."""
        if len(leaf.shape) != 2 or self.resolved(self.root) is leaf:
            return None
        needed: set[int] = set()
        for node in self.live:
            for parent, is_frozen in self._inputs(node):
                if is_frozen or self.resolved(parent) is not leaf:
                    continue
                read = _columns_read(node, self._template(node)[0], leaf.shape[1])
                if read is None:
                    return None
                needed |= read
        return tuple(sorted(needed))


def _columns_read(node: Node, args: Any, width: int) -> set[int] | None:
    """Return which columns of its first input a step reads; None if perhaps all."""
    if node.op is not GETITEM or names_fields(args[1]):
        return None
    key = args[1]
    parts = key if type(key) is tuple else (key,)
    if any(part is None or part is Ellipsis for part in parts) or len(parts) < 2:
        return None
    part = parts[1]
    if isinstance(part, Held):
        if part.index >= 0:
            return None
        part = part.read()
    return set(np.ravel(np.arange(width)[part]).tolist())


def _masks(order: Order) -> list[Node]:
    """Return the masks that chose a tensor's rows, the first one first."""
    masks = []
    step: Order | None = order
    while step is not None:
        if step.mask is not None:
            masks.append(step.mask)
        step = step.parent
    return masks[::-1]


def _filter_name(mask: Node) -> str:
    """Say which mask it is: its operation, and the columns that it is made of where known."""
    names: list[str] = []
    for node in inputs_first(mask):
        if node.op is SOURCE and isinstance(node.args[2], str) and node.args[2] not in names:
            names.append(node.args[2])
        if node.op is GETITEM and type(node.args[1]) is tuple and len(node.args[1]) == 2:
            known, part = columns(node.inputs[0]), node.args[1][1]
            if known is not None and isinstance(part, int) and known[part] not in names:
                names.append(known[part])
    return f"{mask.name} of {', '.join(names)}" if names else mask.name


def _try(made: Compiled, work: _Work, found: list[Any]) -> None:
    """Apply a plan to some recorded rows, and compare with what was recorded.

    Raises
    ------
    LineageError
        When they are others.
    """
    leaf_values, recorded = found[: len(work.leaves)], found[-1]
    axis = made.plan.axis
    places = _places(work.root, work.leaves, recorded.shape[axis])
    if places is None or not len(places[0]):
        return
    chosen, rows = places
    expected = np.take(recorded, chosen, axis=axis)
    new = [values[numbers] for values, numbers in zip(leaf_values, rows, strict=True)]
    values, kept, _ = made.plan.run(new, len(chosen))
    if len(kept) < len(chosen) or values.shape != expected.shape:
        raise LineageError(
            f"{work.root.name} {list(work.root.shape)} can't be applied to new rows: its steps "
            "leave out rows that the tensor has, so that they don't describe how it was made."
        )
    made.tried = len(chosen)
    made.off = 0.0 if same_bits(values, expected) else distance(values, expected)
    exact = values.dtype.kind not in "fc"
    if made.off > (0.0 if exact else np.sqrt(np.finfo(values.dtype).eps)):
        raise LineageError(
            f"{work.root.name} {list(work.root.shape)} can't be applied to new rows: its own rows "
            f"come out otherwise, by up to {made.off:.1g} of the largest value."
        )


def _places(root: Node, leaves: list[Node], n: int) -> tuple[Array, list[Array]] | None:
    """Return some rows of a tensor, and where in each leaf the row stands that each is made of."""
    if not root.shape or root.shape[0] != n:
        return None
    origins = {origin.source: origin for origin in origins_of(root)}
    chosen = np.unique(np.linspace(0, n - 1, min(n, _TRIED)).astype(np.intp)) if n else None
    if chosen is None:
        return None
    rows = []
    first = next((origins[leaf.args[0]] for leaf in leaves if leaf.args[0] in origins), None)
    for leaf in leaves:
        origin = origins.get(leaf.args[0], first)
        if origin is None:
            return None
        counts = np.diff(origin.indptr)[chosen]
        if not np.all(counts == 1):
            return None
        numbers = origin.rows[origin.indptr[chosen]]
        held = leaf.args[1]
        if held is not None:
            numbers = np.searchsorted(held, numbers)
        rows.append(np.asarray(numbers))
    return chosen, rows
