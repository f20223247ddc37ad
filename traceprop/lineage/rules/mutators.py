"""Writes into an argument: what the written rows are made of afterwards.

One rule serves them all: do the same write on row numbers, and see which cells still hold their
own. Rows that are written whole forget what they held before.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from traceprop.lineage.graph.edge import CONTROL, DIRECT, STATISTIC, Edge, opaque
from traceprop.lineage.graph.edges import MANY_ROWS, SINGLE_ROWS, made_of
from traceprop.lineage.graph.node import CONSTANT, FIRST, Held, Node, Op, Recipe, make_node
from traceprop.lineage.graph.template import named, shape_of, slots
from traceprop.lineage.recording.calls import Captured, call, capture, door_name, in_order, renumber
from traceprop.lineage.recording.escapes import escape
from traceprop.lineage.recording.plain_targets import PART, adopt, adopted
from traceprop.lineage.recording.tracked import (
    KIND,
    MEANWHILE,
    OVERWRITE,
    UNFINISHED,
    Tracked,
    before_write,
    spoil,
    wrap,
    write,
)
from traceprop.lineage.registry import EXACT, handles, implements, rule_of
from traceprop.lineage.rowmap import All, Identity, Outside, Patch, RowMap, Spans
from traceprop.lineage.rules.elementwise import aligned
from traceprop.lineage.rules.indexing import names_fields
from traceprop.lineage.rules.movement import FIELD, VIEW, same_bytes
from traceprop.lineage.rules.row_numbers import (
    RowNumbers,
    decode,
    flatten,
    parameters,
    write_numbers,
)

SETITEM: Final = Op("setitem", operator.setitem)

# These read what they have just written when such an argument is on the target's memory.
_READ_LATE: Final[dict[Callable[..., Any], tuple[int, ...]]] = {
    np.copyto: (2,),
    np.place: (1, 2),
    np.fill_diagonal: (1,),
}
SETITEM_LATE: Final = Op("setitem of shared memory", operator.setitem)
SHARED: Final = {
    function: Op(f"{function.__name__} of shared memory", function) for function in _READ_LATE
}


@implements(SETITEM, family="mutators", written=2)
@implements(np.copyto, family="mutators", written=1, values=(3, "where"))
@implements(np.fill_diagonal, family="mutators", written=1)
@implements(np.put, np.place, np.putmask, np.put_along_axis, family="mutators", written=2,
            values=(1,))  # fmt: skip
def rewritten(node: Node) -> list[Edge]:
    """Rule of every mutator: what was there, what was written, and what decided where."""
    position = written_at(node)
    values = set(slots(node.args[position])) if len(node.args) > position else set()
    maps = _field_rows(node) or _simple_rows(node) or _numbered_rows(node, position)
    if maps is None:
        return opaque(node)
    edges = []
    for i, parent in enumerate(node.inputs):
        if i == 0:
            edges.append(Edge(0, maps[0]))
        elif i in values:
            edges.append(Edge(i, maps[i], _kind_written(node.inputs[0], parent)))
        else:
            edges.append(Edge(i, _decided(node, i, parent, position), CONTROL))
    return edges


def written_at(node: Node) -> int:
    """Return the position of the value that a mutator writes."""
    position = rule_of(node.op).written
    assert position is not None, node.op
    return position


def _decided(node: Node, i: int, chooser: Node, position: int) -> RowMap:
    """Which rows of a mask or an index decided about each row of the target."""
    target = node.inputs[0]
    if _decides_in_place(node, i, chooser, position) and chooser.n_rows == target.n_rows:
        return Identity(target.n_rows)
    return All(node.n_rows, chooser.n_rows)


def _decides_in_place(node: Node, i: int, chooser: Node, position: int) -> bool:
    """Whether a chooser's row i decides about the target's row i, and no other."""
    target = node.inputs[0]
    if node.op is np.copyto or node.op is np.putmask:
        return len(chooser.shape) == len(target.shape)
    if node.op is np.put_along_axis:
        return named(node, "axis") not in (None, 0, -len(target.shape))
    key = node.args[1]
    if node.op is not SETITEM or not isinstance(key, Held) or key.index != i:
        return False
    # A mask, and a value that is the same for all that it chose; else rows are assigned in order.
    value_ndim = len(shape_of(node, node.args[position]))
    return chooser.dtype == bool and value_ndim <= len(target.shape) - len(chooser.shape)


def _kind_written(target: Node, value: Node) -> int:
    """A mean that is written among single values is a statistic of them."""
    statistic = made_of(value) == MANY_ROWS and made_of(target) == SINGLE_ROWS
    return STATISTIC if statistic else DIRECT


def _field_rows(node: Node) -> list[RowMap] | None:
    """Fields of structured cells: the others stay."""
    key = node.args[1]
    if node.op is not SETITEM or not names_fields(key):
        return None
    each: Any = node.dtype[key].shape if isinstance(key, str) else ()  # a field of several numbers
    values = (aligned(value.shape, (*node.shape, *each)) for value in node.inputs[1:])
    return [Identity(node.n_rows), *values]


def _simple_rows(node: Node) -> list[RowMap] | None:
    """Whole rows written by number or slice: no row numbers needed."""
    if node.op is not SETITEM or len(node.inputs) > 2:
        return None
    target, key = node.inputs[0], node.args[1]
    n = target.n_rows
    if isinstance(key, (int, np.integer)) and not isinstance(key, (bool, np.bool_)):
        low = int(key) % max(n, 1)
        high = low + 1
    elif isinstance(key, slice) and key.step in (None, 1) and target.shape:
        low, high, _ = key.indices(n)
        high = max(low, high)
    else:
        return None
    maps: list[RowMap] = [Outside(low, high, n)]
    for value in node.inputs[1:]:
        if (
            isinstance(key, slice)
            and len(value.shape) == len(target.shape)
            and (value.n_rows == high - low)
        ):
            maps.append(Patch(low, high, n, value.n_rows))
        elif high - low == 1:
            maps.append(_one_row(low, n, value.n_rows))
        else:
            return None
    return maps


def _one_row(low: int, n: int, n_in: int) -> RowMap:
    """Row `low` came from all of the value, the others from nowhere."""
    below = np.zeros(n, dtype=np.int64)
    above = below.copy()
    above[low] = n_in
    return Spans(below, above, n_in) if n_in != 1 else Patch(low, low + 1, n, 1)


def _numbered_rows(node: Node, position: int) -> list[RowMap] | None:
    numbers = RowNumbers(node)
    cells = np.array(numbers.cells(0))
    try:
        write_numbers(node, numbers, cells, position)
    except LookupError:
        return None
    return decode(cells, numbers, node.n_rows)


implements(SETITEM_LATE, *SHARED.values(), family="mutators")(opaque)


@handles(
    np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal,
    family="mutators", status=EXACT,
)  # fmt: skip
def mutate(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Run a mutator and give the array that it wrote a node."""
    args, kwargs = in_order(function, args, kwargs)
    captured = capture(args, kwargs, rule_of(function).values)
    if function in SHARED and _shares_memory(function, captured):
        function = SHARED[function]
    record_write(function, captured, args[0])


def _shares_memory(function: Callable[..., Any], captured: Captured) -> bool:
    """Whether an argument that is read late is on the memory of what is written."""
    target, *others = captured.args
    late = [others[i - 1] for i in _READ_LATE[function] if i <= len(others)]
    late.append(captured.kwargs.get("where"))
    return any(isinstance(each, np.ndarray) and np.may_share_memory(each, target) for each in late)


@handles(np.nan_to_num, family="elementwise")
def without_nan(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`nan_to_num(X, copy=False)` writes into X and returns it."""
    args, kwargs = in_order(function, args, kwargs)
    copies = args[1] if len(args) > 1 else kwargs.get("copy", True)
    if copies or not isinstance(args[0], Tracked) or not isinstance(args[0]._array, np.ndarray):
        return call(function, args, kwargs)
    target: Any = args[0]
    options = {name: value for name, value in kwargs.items() if name != "copy"}
    target[...] = call(function, (target, True, *args[2:]), options)
    return target


def record_write(function: Callable[..., Any], captured: Captured, target: Any) -> None:
    """Run a write whose first argument is `target` and move its node on."""
    if not isinstance(target, Tracked):
        escape(captured.inputs[-1], f"{door_name(function)} into a plain array")
        known = adopted(target, KIND[0])
        target = _plain_target(captured, target) if known is None else known
    nodes = captured.nodes
    before_write(target)
    try:
        function(*captured.args, **captured.kwargs)
    except BaseException:
        spoil(target, nodes, nodes[0])
        raise
    array = target._array
    args, kwargs = captured.template, captured.template_kwargs
    write(target, make_node(function, nodes, args, kwargs, array.shape, array.dtype), nodes[0])


def _plain_target(captured: Captured, array: Any) -> Tracked:
    """Make a tensor of a plain array that is about to be written, and put it in front."""
    tensor: Tracked = wrap(
        KIND[0], array, make_node(CONSTANT, (), (), None, array.shape, array.dtype)
    )
    adopt(array, tensor)
    order = {old: old + 1 for old in range(len(captured.inputs))}
    captured.template = (FIRST, *renumber(captured.template[1:], order))
    captured.template_kwargs = renumber(captured.template_kwargs, order)
    captured.inputs.insert(0, tensor)
    captured.nodes = (tensor.node, *captured.nodes)
    return tensor


@implements(PART, family="mutators")
def part_rows(node: Node) -> list[Edge]:
    """Which part of the plain array it is isn't known."""
    return [Edge(0, All(node.n_rows, node.inputs[0].n_rows))]


@implements(MEANWHILE, family="mutators")
def meanwhile_rows(node: Node) -> list[Edge]:
    """Each cell was written by one of two."""
    return [Edge(i, Identity(node.n_rows)) for i in range(2)]


implements(UNFINISHED, family="mutators")(opaque)


@implements(OVERWRITE, family="mutators", quiet=True)
def overwritten(node: Node) -> list[Edge]:
    """Rows of a tensor after its view was written: the view's cells are the view's."""
    view: Recipe = node.args[2]
    whole, part = node.inputs
    if type(key := view.args[1] if len(view.args) > 1 else None) is slice and whole.shape:
        low, high, step = key.indices(whole.n_rows)
        if step == 1 and view.op.__class__ is Op:
            high = max(low, high)
            return [
                Edge(0, Outside(low, high, whole.n_rows)),
                Edge(1, Patch(low, high, whole.n_rows, part.n_rows)),
            ]
    if getattr(view.op, "by_memory", False):
        return opaque(node)
    if view.op is VIEW:
        return [Edge(1, same_bytes(whole.shape, whole.dtype, part.shape, part.dtype))]
    if view.op is PART:
        return [Edge(0, Identity(whole.n_rows)), Edge(1, All(whole.n_rows, part.n_rows))]
    if part.dtype != whole.dtype and part.n_rows != whole.n_rows:
        return opaque(node)
    if part.dtype != whole.dtype or view.op is FIELD:
        # A field of each cell, or its real part: the rest stays.
        return [Edge(0, Identity(whole.n_rows)), Edge(1, Identity(part.n_rows))]
    places = seen_cells(view, whole)
    if places is None or places.shape != part.shape:
        return opaque(node)
    numbers = RowNumbers(node)
    cells = numbers.cells(0).flatten()
    cells[places] = numbers.cells(1)
    maps = decode(cells.reshape(whole.shape), numbers, node.n_rows)
    return [Edge(i, row_map) for i, row_map in enumerate(maps)]


def seen_cells(view: Recipe, whole: Node) -> Any:
    """Which cells of `whole`, counted row by row, the view shows where; None if unknown."""
    options = dict(view.kwargs or {})
    options.pop("copy", None)
    orders = [value for value in (*view.args[1:], *options.values()) if isinstance(value, str)]
    if getattr(view.op, "by_memory", False):
        return None  # it shows memory as it lies
    if view.op in (np.trim_zeros, PART, FIELD) or {"A", "K"} & set(orders):
        return None  # it depends on the values, on what isn't known, or on the order in memory
    cells = np.arange(math.prod(whole.shape)).reshape(whole.shape)
    try:
        result = view.op(cells, *parameters(view.args[1:]), **parameters(options))
    except LookupError:
        return None
    return result if view.item is None else list(flatten(result))[view.item]
