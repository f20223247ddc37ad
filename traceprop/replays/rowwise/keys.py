"""Steps with a key: parts of rows, rows that a mask keeps, and what is written into either."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np

from traceprop.lineage.graph.edges import edges
from traceprop.lineage.graph.node import SOURCE, Held, Node, Slot
from traceprop.lineage.graph.template import places
from traceprop.lineage.recording.tracked import OVERWRITE
from traceprop.lineage.rules.indexing import GETITEM, names_fields
from traceprop.lineage.rules.mutators import SETITEM
from traceprop.replays.rowwise.alignment import (
    Call,
    NotRowwise,
    Order,
    Outcome,
    Rows,
    operand_shapes,
    passed,
    rowwise,
    same_rows,
    together,
)
from traceprop.replays.rowwise.cells import gathered

_ALL = slice(None)


class _Part(NamedTuple):
    """A part of a key with the axes that it stands for."""

    value: Any
    axis: int
    used: int


def _spelt(key: Any, call: Call, ndim: int) -> list[_Part]:
    """Return all parts of a key, `...` written out."""
    parts = key if type(key) is tuple else (key,)
    if sum(part is Ellipsis for part in parts) == 0:
        parts = (*parts, Ellipsis)
    widths = [_width(part, call) for part in parts]
    spelt: list[_Part] = []
    axis = 0
    for part, width in zip(parts, widths, strict=True):
        if part is Ellipsis:
            for _ in range(ndim - sum(widths)):
                spelt.append(_Part(_ALL, axis, 1))
                axis += 1
        else:
            spelt.append(_Part(part, axis, width))
            axis += width
    return spelt


def _width(part: Any, call: Call) -> int:
    if part is None or part is Ellipsis:
        return 0
    if isinstance(part, Held):
        if part.index >= 0:
            node = call.node.inputs[part.index]
            return len(node.shape) if node.dtype == bool else 1
        if part.array is None:
            raise NotRowwise("its mask or index wasn't kept; record at granularity 'row'")
        return np.ndim(part.array) if part.array.dtype == bool else 1
    if isinstance(part, (slice, int, np.integer)) and not isinstance(part, (bool, np.bool_)):
        return 1
    raise NotRowwise("its key is of a kind that isn't followed; index by slices, numbers or a mask")


def _is_whole(part: Any) -> bool:
    return isinstance(part, slice) and part.start in (None, 0) and part.stop is None and (
        part.step in (None, 1)
    )  # fmt: skip


@rowwise(GETITEM)
def _chosen(call: Call) -> Outcome:
    node, key = call.node, call.node.args[1]
    base = call.held[0]
    if base is None:
        return _looked_up(call, key)
    ndim = len(node.inputs[0].shape)
    own = ndim + base.axis
    if names_fields(key):
        return call.outcome(Rows(base.order, own - len(node.shape)))
    parts = _spelt(key, call, ndim)
    (row_part,) = (each for each in parts if each.axis <= own < each.axis + max(each.used, 1)
                   and each.used)  # fmt: skip
    others = [each for each in parts if each is not row_part]
    _check_others(call, others)
    place = _place(parts, own, call)
    rows = Rows(base.order, place - len(node.shape), base.numbers)
    part = row_part.value
    if _is_whole(part):
        return call.outcome(rows)
    if isinstance(part, (int, np.integer)):
        raise NotRowwise("it takes one row by its place")
    if row_part.used > 1:
        raise NotRowwise("its mask chooses cells, not rows")
    if isinstance(part, Held) and any(
        isinstance(each.value, Held) or (own and not isinstance(each.value, slice))
        for each in others
    ):
        raise NotRowwise("several parts of its key are arrays; index one axis at a time")
    if isinstance(part, Held) and part.index >= 0:
        mask = call.chosen_by(node.inputs[part.index])
        if mask is None and call.held[part.index] is not None:
            mask = node.inputs[part.index]
        if mask is not None:
            return _filtered(call, base, rows, part, mask)
    order = _by_place(call, base.order, part)
    keys = tuple(_ALL if each is row_part else each.value for each in parts)
    rows = rows._replace(order=order)
    if all(_is_whole(each) for each in keys):
        return Outcome(rows, passes=0)
    return call.outcome(rows, args=(node.args[0], keys))


def _check_others(call: Call, others: list[_Part]) -> None:
    """Refuse keys of which more than one part is an array, whose axes move."""
    arrays = [each.value for each in others if isinstance(each.value, Held)]
    numbers = [each for each in others if isinstance(each.value, (int, np.integer))]
    if len(arrays) > 1 or (arrays and numbers):
        raise NotRowwise("several parts of its key are arrays; index one axis at a time")
    for each in arrays:
        if each.index >= 0 and call.held[each.index] is not None:
            raise NotRowwise("each row has cells of its own chosen; use np.take_along_axis")


def _place(parts: list[_Part], own: int, call: Call) -> int:
    """Return the axis of rows in the result, counted from the first."""
    place = 0
    for part in parts:
        if part.used and part.axis <= own < part.axis + part.used:
            return place
        if part.value is None or isinstance(part.value, slice):
            place += 1
        elif isinstance(part.value, Held):
            array = part.value.array
            place += 1 if array is None or array.dtype == bool else np.ndim(array)
    raise NotRowwise("its key leaves the rows out")


def _filtered(call: Call, base: Rows, rows: Rows, part: Held, mask: Node) -> Outcome:
    """Rows that a mask of the same rows keeps."""
    node, index = call.node, part.index
    chosen = node.inputs[index] is not mask
    own = None if chosen else call.held[index]
    if not chosen and (node.inputs[index].dtype != bool or own is None):
        raise NotRowwise("each row has another row chosen by a value of its own")
    if own is not None and (own.axis != -1 or own.order.key != base.order.key):
        raise NotRowwise("its mask is of rows of another choice or order")
    if chosen and call.order_of(mask).key != base.order.key:
        raise NotRowwise("its mask is of rows of another choice or order")
    order = base.order.filtered(mask, call.number(mask))
    inputs = list(node.inputs)
    inputs[index] = mask
    return Outcome(rows._replace(order=order), inputs=tuple(inputs))


def _by_place(call: Call, order: Order, part: Any) -> Order:
    """Return the order of rows that their places chose."""
    what: Hashable
    if isinstance(part, slice):
        whole = part.start is None and part.stop is None and part.step in (None, 1, -1)
        if order.ranked and not whole:
            raise _ranked()
        what = ("slice", part.start, part.stop, part.step)
        return order.by_place(what)
    assert isinstance(part, Held)
    array = part.read()
    if array.ndim != 1:
        raise NotRowwise("its index has several axes, and makes groups of rows")
    if part.index < 0:
        if call.escape is not None:
            raise NotRowwise(
                "it took a plain mask or index, which may come of values that left the lineage "
                f"through {call.escape}, so that nobody can say whether it would keep a new row; "
                "make it of the tensor"
            )
        if order.ranked and not _is_permutation(array, call.n):
            raise _ranked()
        return order.by_place(("plain", array.dtype.str, array.tobytes()))
    node = call.node.inputs[part.index]
    return by_index(call, order, node, array)


def by_index(call: Call, order: Order, node: Node, array: Any) -> Order:
    """Return the order of rows that a frozen index moved, or chose by their places.

    Raises
    ------
    NotRowwise
        When it chose by what the rows are beside others: a new row might be among them, or not.
    """
    by_values = rests_on_values(node)
    if array.dtype == bool:
        if by_values:
            raise NotRowwise(
                "its mask sets rows against others, so that nobody can say whether it would keep "
                "a new row; choose rows by their own values"
            )
    elif not _is_permutation(array, call.n) and (by_values or order.ranked):
        raise _ranked()
    return order.by_place(("index", call.number(node)), ranked=by_values)


def _ranked() -> NotRowwise:
    return NotRowwise(
        "it takes some rows by their rank among the others, and nobody can say whether a new row "
        "would be among them; choose rows by their own values"
    )


def _is_permutation(array: Any, n: int) -> bool:
    index = np.asarray(array)
    if index.dtype == bool or index.shape != (n,):
        return False
    found = np.zeros(n, np.bool_)
    found[index] = True
    return bool(found.all())


def rests_on_values(node: Node) -> bool:
    """Whether values of a source have a say in a node, and not only how many rows there are."""
    seen, stack = {node}, [node]
    while stack:
        current = stack.pop()
        if current.op is SOURCE:
            return True
        for edge in edges(current):
            parent = current.inputs[edge.input]
            if parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return False


def _looked_up(call: Call, key: Any) -> Outcome:
    """Cells of a frozen array, named by an index that holds rows."""
    parts = _spelt(key, call, len(call.node.inputs[0].shape))
    index = [each for each in parts if isinstance(each.value, Held)]
    rest = [each for each in parts if not isinstance(each.value, (Held, slice))]
    if len(index) != 1 or rest or index[0].value.index < 0:
        raise NotRowwise("it names cells of a frozen table by more than one index")
    return gathered(call, index[0].value.index, leads=index[0].axis == 0)


@rowwise(np.flatnonzero, np.nonzero)
def _placed(call: Call) -> Outcome:
    raise NotRowwise("it gives the places of rows, which new rows don't have")


@rowwise(SETITEM)
def _written(call: Call) -> Outcome:
    node = call.node
    base = call.held[0]
    if base is None:
        raise NotRowwise("it writes rows into an array that is no array of rows")
    key, value = node.args[1], node.args[2]
    target = node.inputs[0].shape
    if names_fields(key):
        return _same_cells(call, base, value, len(target))
    own = len(target) + base.axis
    parts = _spelt(key, call, len(target))
    masks = [each for each in parts if isinstance(each.value, Held) and each.value.index >= 0
             and call.held[each.value.index] is not None]  # fmt: skip
    if masks:
        return _written_by_mask(call, base, masks[0], parts, value)
    (row_part,) = (each for each in parts if each.used and each.axis <= own < each.axis + each.used)
    if all(_is_whole(each.value) for each in parts):
        replaced = _replaced(call, value)
        if replaced is not None:
            return replaced
    if not _is_whole(row_part.value):
        raise NotRowwise("it writes into rows by their places")
    others = [each for each in parts if each is not row_part]
    _check_others(call, others)
    place = _place(parts, own, call)
    ndim = sum(_ndim(part) for part in parts)
    return _same_cells(call, base, value, ndim, place - ndim)


def _replaced(call: Call, value: Any) -> Outcome | None:
    """All cells written at once by as many, as `rng.shuffle` does: the rows are those written."""
    if not isinstance(value, (Slot, Held)) or value.index < 0:
        return None
    rows = call.held[value.index]
    if rows is None or call.node.inputs[value.index].shape != call.node.shape:
        return None
    return passed(call, value.index, rows)


def _ndim(part: _Part) -> int:
    """How many axes of the result a part of a key makes."""
    if part.value is None or isinstance(part.value, slice):
        return 1
    if isinstance(part.value, Held):
        array = part.value.array
        return 1 if array is None or array.dtype == bool else int(np.ndim(array))
    return 0


def _same_cells(call: Call, base: Rows, value: Any, ndim: int, axis: int | None = None) -> Outcome:
    """Write a value that broadcasts to a region of all rows."""
    axis = base.axis if axis is None else axis
    for i, shape in operand_shapes(call, [value]):
        rows = None if i is None else call.held[i]
        if rows is not None and not (shape[rows.axis] == 1 and call.n != 1):
            same_rows(Rows(base.order, axis), rows)
        elif len(shape) >= -axis and (shape[axis] != 1 or call.n == 1):
            raise NotRowwise("what it writes has a value for each row of the recording")
    frozen = frozenset(
        i for i, shape in operand_shapes(call, [value])
        if i is not None and (rows := call.held[i]) is not None and shape[rows.axis] == 1
        and call.n != 1
    )  # fmt: skip
    return Outcome(Rows(base.order, base.axis, None), frozen=frozen)


def _written_by_mask(
    call: Call, base: Rows, mask: _Part, parts: list[_Part], value: Any
) -> Outcome:
    """Write where a mask of the rows, or of their cells, is true."""
    node = call.node
    index = mask.value.index
    held = call.held[index]
    assert held is not None
    shape = node.inputs[index].shape
    own = len(node.inputs[0].shape) + base.axis
    if node.inputs[index].dtype != bool or mask.axis + len(shape) + held.axis != own:
        raise NotRowwise("rows say by a number where they are written")
    if held.order.key != base.order.key or _index_parts(parts) > 1:
        raise NotRowwise("its mask is of rows of another choice or order")
    wide = operand_shapes(call, [value])
    rest = len(node.inputs[0].shape) - len(shape)
    for i, each in wide:
        rows = None if i is None else call.held[i]
        if rows is None and len(each) <= rest - sum(_ndim(p) == 0 for p in parts):
            continue  # the same for every cell, or for every row
        if rows is not None and len(shape) == 1 and mask.axis == 0 and (
            rows.order.key == base.order.filtered(
                node.inputs[index], call.number(node.inputs[index])
            ).key and len(each) + rows.axis == 0
        ):  # fmt: skip
            continue  # of the rows that the mask chooses
        raise NotRowwise("what it writes has a value for each chosen row of the recording")
    return call.outcome(Rows(base.order, base.axis))


def _index_parts(parts: list[_Part]) -> int:
    return sum(isinstance(each.value, Held) for each in parts)


@rowwise(np.copyto, np.putmask)
def _copied_into(call: Call) -> Outcome:
    node = call.node
    _, base = call.main()
    if node.op is np.putmask and any(shape for _, shape in operand_shapes(call, node.args[2:3])):
        raise NotRowwise("its values are taken by their place")
    values = [*node.args, *(node.kwargs or {}).values()]
    return together(call, operand_shapes(call, values))._replace(rows=Rows(base.order, base.axis))


@rowwise(OVERWRITE)
def _overwritten(call: Call) -> Outcome:
    """Put back a part of each row that was written through a view."""
    node = call.node
    whole, part = call.held
    recipe = node.args[2]
    if whole is None or part is None or whole.order.key != part.order.key:
        raise NotRowwise("a view of it was written, that showed some of the rows by their places")
    if recipe.op is not GETITEM or any(isinstance(each, Slot) for each in places(recipe.args[1:])):
        raise NotRowwise("a view was written that isn't a part of each row; write into the tensor")
    ndim = len(node.inputs[0].shape)
    own = ndim + whole.axis
    parts = _spelt(recipe.args[1], call, ndim)
    if not all(_is_whole(each.value) for each in parts if each.used and each.axis == own):
        raise NotRowwise("a view of it was written, that showed some of the rows by their places")
    return call.outcome(Rows(whole.order, whole.axis))
