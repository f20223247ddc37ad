"""Numbers and arrays of a program that may be row counts, where the rows are others now.

`len(X)` is a plain number. A recorded program that divided by it holds 1000, and nobody can tell
that from a 1000 that was written there. So where rows were left out, whatever may be such a number
is refused by name. The rule, for each length n that an axis of any array had and no longer has:

- a number or a length of a plain array that is n or n-1 (as well as 1/n, its root, its logarithm
  and the like, from 10 rows on) is ambiguous; 0 and 1 are taken as written;
- so is, from 200 rows on, a number that is a usual share of n, rounded or not: a twentieth, an
  eighth or a third, several of them, or twice n;
- a position on an axis whose length changed (an index, a slice's bound, a place to split at) is
  ambiguous from 10 on where it is at least a twentieth of n, since it may be a share of the rows;
- a plain mask or index along such an axis, as `rng.permutation(len(X))`, belongs to the old rows.

Axes, orders, degrees of freedom and other parameters that name no rows are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from traceprop.errors import LineageError
from traceprop.lineage.graph.counted import CountDoor, first_count, was_there
from traceprop.lineage.graph.node import SOURCE, Constant, Held, Node, UfuncMethod
from traceprop.lineage.graph.template import argument, parameter_names
from traceprop.lineage.recording.tracked import OVERWRITE
from traceprop.lineage.registry import rule_of
from traceprop.lineage.rerun import values_in
from traceprop.lineage.rules.broadcasting import BROADCAST
from traceprop.lineage.rules.indexing import GETITEM
from traceprop.lineage.rules.mutators import SETITEM

_SMALL: Final = 10  # positions below it are taken as written
_SHARE: Final = 20  # and those in the first or last twentieth
_SHARES: Final = (
    *(k / 20 for k in range(1, 20)), *(k / 8 for k in (1, 3, 5, 7)), 1 / 3, 2 / 3, 2.0
)  # fmt: skip
_MANY: Final = 200  # rows from which on few other numbers are shares of them by chance
_LOOKED_INTO: Final = 16  # cells of a plain array
_NO_ROWS: Final = frozenset(
    {"axis", "axes", "axis1", "axis2", "axisa", "axisb", "axisc", "source", "destination", "ddof",
     "keepdims", "order", "kind", "mode", "correction", "ndmin", "decimals", "start", "ord",
     "side", "q", "dtype", "indexing", "subscripts"}
)  # fmt: skip
_POSITIONS: Final[dict[Any, tuple[str, ...]]] = {
    np.take: ("indices",),
    np.delete: ("obj",),
    np.insert: ("obj",),
    np.split: ("indices_or_sections",),
    np.array_split: ("indices_or_sections",),
    np.hsplit: ("indices_or_sections",),
    np.vsplit: ("indices_or_sections",),
    np.dsplit: ("indices_or_sections",),
    np.roll: ("shift",),
    np.partition: ("kth",),
    np.argpartition: ("kth",),
    np.put: ("ind",),
    np.diagonal: ("offset",),
    np.resize: ("new_shape",),
    np.reshape: ("shape", "newshape"),
}
_ALONG: Final = frozenset({np.take, np.delete, np.insert, np.split, np.array_split, np.roll,
                           np.partition, np.argpartition, np.repeat, np.compress})  # fmt: skip

Shape = tuple[int, ...]


def check_row_counts(made: Mapping[Node, Node]) -> None:
    """Refuse a replay without rows in which a number may be a row count of the recording.

    Parameters
    ----------
    made : mapping of Node to Node
        The recorded nodes, each with that of the replay.

    Raises
    ------
    LineageError
        Naming the step and the number.
    """
    counts = _suspects(made)
    if not counts:
        return
    door = first_count(list(made))
    for node, now in made.items():
        if node.op is SOURCE or rule_of(node.op).family == "sources":
            continue  # tables take no numbers of rows
        check_positions(node, now)
        if door is not None and not was_there(node, door):
            _check_after_count(node, now, door)
        for value in _numbers(node):
            for each in _each(value):
                if each in counts:
                    raise _ambiguous(node, f"{each:g}", counts[each])
            for length in value.shape if isinstance(value, (np.ndarray, Constant)) else ():
                if length in counts:
                    raise _ambiguous(node, f"an array of length {length}", counts[length])


def _check_after_count(node: Node, now: Node, door: CountDoor) -> None:
    """Refuse any number in a step that may have been recorded after a count of rows left."""
    for value in (*_numbers(node), *_positions(node, now)):
        if isinstance(value, Constant):
            value = value.read()
        numbers = value if isinstance(value, np.ndarray) else list(_each(value))
        if not np.isin(np.asarray(numbers), (0, 1, -1)).all():
            raise LineageError(
                f"{node.name} {list(node.shape)} can't be replayed without rows: "
                f"{_worded(value)} may come of a number of rows, which left the lineage through "
                f"{door}. Take counts that don't come back as len(traceprop.lineage.values(X)); "
                "compute with what NumPy counts itself, as X.mean(axis=0)."
            )


def _worded(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else "an array of plain numbers"


def _positions(node: Node, now: Node) -> Iterator[Any]:
    """Yield the numbers in a key that stand for an axis whose length changed."""
    key = _key(node)
    if key is None:
        return
    before, after = node.inputs[0].shape, now.inputs[0].shape
    for part, axis, used in _by_axis(key, node, len(before)):
        if len(before) == len(after) and before[axis : axis + used] == after[axis : axis + used]:
            continue
        if not isinstance(part, Held):
            yield from _plain_values(part)


def _key(node: Node) -> Any:
    """Return the key of an indexing step, or of the view that was written; None for others."""
    if node.op is OVERWRITE:
        recipe = node.args[2]
        return recipe.args[1] if recipe.op is GETITEM else ()
    return node.args[1] if node.op in (GETITEM, SETITEM) else None


def check_positions(node: Node, now: Node) -> None:
    """Refuse positions, masks and indices of a step that may belong to the rows that there were.

    Parameters
    ----------
    node, now : Node
        The recorded step and that of the replay, of which only the inputs are looked at.
    """
    _check_keys(node, now)
    _check_numbered(node, now)
    _check_plain_choosers(node, now)


def _suspects(made: Mapping[Node, Node]) -> dict[float, int]:
    """Return the numbers that may stand for a length that changed, each with that length."""
    lengths: set[int] = set()
    cells: set[int] = set()
    for node, now in made.items():
        if node.op is SOURCE and now.shape[:1] != node.shape[:1]:
            lengths.add(node.args[0].n_rows)
        if len(node.shape) != len(now.shape):
            lengths.update(node.shape)
        else:
            lengths.update(a for a, b in zip(node.shape, now.shape, strict=True) if a != b)
        if math.prod(node.shape) != math.prod(now.shape):
            cells.add(math.prod(node.shape))
    cells -= lengths
    counts: dict[float, int] = {}
    for n in lengths | cells:
        found: list[float] = [n, n - 1, -n, 1 - n]
        if n >= _SMALL:
            for m in (n, n - 1):
                found += [1 / m, math.sqrt(m), 1 / math.sqrt(m), math.log(m), math.log2(m)]
        if n >= _MANY and n not in cells:
            for share in (share * n for share in _SHARES):
                found += [share, math.floor(share), round(share), math.ceil(share)]
        counts.update((number, n) for number in found if number not in (0, 1, -1))
    return counts


def _ambiguous(node: Node, what: str, n: int) -> LineageError:
    return LineageError(
        f"{node.name} {list(node.shape)} can't be replayed without rows: {what} may come from "
        f"{n} rows that are fewer now, as len(X) would; write it with what NumPy counts itself, "
        "as X.mean(axis=0) for X.sum(axis=0) / len(X), or np.ones_like(X) for np.ones(len(X))."
    )


def _each(value: Any) -> Iterator[float]:
    """Yield the numbers in a plain value, of an array only if it is small."""
    if isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, np.timedelta64)):
        if not isinstance(value, np.complexfloating):
            yield value  # type: ignore[misc]
    elif isinstance(value, np.ndarray) and value.dtype.kind in "iuf":
        if value.size <= _LOOKED_INTO:
            yield from value.ravel().tolist()
    elif isinstance(value, range):
        yield from (value.start, value.stop)


def _numbers(node: Node) -> Iterator[Any]:
    """Yield the plain values of a call that may be numbers of rows."""
    if node.op is GETITEM or node.op is OVERWRITE or node.op is BROADCAST:
        return  # keys are looked at axis by axis
    names = parameter_names(node.op)
    for position, value in enumerate(node.args):
        name = names[position] if position < len(names) else ""
        if not (name in _NO_ROWS or (node.op is SETITEM and position == 1)):
            yield from _plain_values(value)
    for name, value in (node.kwargs or {}).items():
        if name not in _NO_ROWS:
            yield from _plain_values(value)


def _plain_values(template: Any) -> Iterator[Any]:
    for value in values_in(template):
        if isinstance(value, Held):
            if value.index < 0 and value.array is not None:
                yield value.read()
        elif isinstance(value, slice):
            yield from (each for each in (value.start, value.stop) if each is not None)
        else:
            yield value


def _check_keys(node: Node, now: Node) -> None:
    """Look at the parts of a key that stand for axes whose length changed."""
    key = _key(node)
    if key is None:
        return
    before, after = node.inputs[0].shape, now.inputs[0].shape
    for part, axis, used in _by_axis(key, node, len(before)):
        if len(before) == len(after) and before[axis : axis + used] == after[axis : axis + used]:
            continue
        if isinstance(part, Held):
            if part.index < 0 and np.ndim(part.array):
                raise _old_rows(node)
            continue
        bounds = (part.start, part.stop) if isinstance(part, slice) else (part,)
        for bound in bounds:
            _check_position(node, bound, before[axis])


def _by_axis(key: Any, node: Node, ndim: int) -> Iterator[tuple[Any, int, int]]:
    """Yield each part of a key with the axis that it stands for, and how many it uses."""
    parts = key if type(key) is tuple else (key,)
    widths = [_width(part, node) for part in parts]
    axis = 0
    for part, width in zip(parts, widths, strict=True):
        if part is Ellipsis:
            axis += ndim - sum(widths)
        elif width:
            yield part, axis, width
            axis += width


def _width(part: Any, node: Node) -> int:
    """How many axes a part of a key uses; a name of a field uses none."""
    if part is None or part is Ellipsis or isinstance(part, (str, list, bool, np.bool_)):
        return 0
    if isinstance(part, Held):
        if part.index < 0 or node.op is OVERWRITE:
            array = np.asarray(part.array)
            return array.ndim if array.dtype == bool else 1
        chooser = node.inputs[part.index]
        return len(chooser.shape) if chooser.dtype == bool else 1
    return 1


def _check_position(node: Node, position: Any, n: int) -> None:
    if not isinstance(position, (int, np.integer)) or position in (0, 1, -1):
        return
    far = abs(int(position))
    if far in (n, n - 1) or (far >= _SMALL and far * _SHARE >= n):
        raise LineageError(
            f"{node.name} {list(node.shape)} can't be replayed without rows: position {position} "
            f"of {n} rows may be a share of them, as int(0.8 * len(X)) would; choose rows by their "
            "values, or split them with np.array_split."
        )


def _old_rows(node: Node) -> LineageError:
    return LineageError(
        f"{node.name} {list(node.shape)} can't be replayed without rows: it took a plain mask, "
        "index or permutation, which belongs to the rows that there were; make it of the tensor, "
        "as X[X[:, 0] > 3] or X[np.argsort(X[:, 0])]."
    )


def _check_numbered(node: Node, now: Node) -> None:
    """Look at the positions that a function takes as numbers."""
    names = _POSITIONS.get(node.op)
    if names is None or not _rows_changed(node, now):
        return
    lengths = _changed_lengths(node, now)
    if node.op is np.reshape and _keeps_rows(node):
        return
    for name in names:
        for value in _plain_values(_named(node, name)):
            for each in _each(value):
                for n in lengths:
                    _check_position(node, each, n)


def _check_plain_choosers(node: Node, now: Node) -> None:
    """Refuse a plain mask or index that a function took along rows that are others now."""
    if node.op in (GETITEM, SETITEM, OVERWRITE) or not _rows_changed(node, now):
        return
    for value in values_in((node.args, node.kwargs)):
        if isinstance(value, Held) and value.index < 0 and np.ndim(value.array):
            raise _old_rows(node)


def _rows_changed(node: Node, now: Node) -> bool:
    """Whether an input has another length along the axis that the function works along."""
    return bool(_changed_lengths(node, now))


def _changed_lengths(node: Node, now: Node) -> list[int]:
    axis = _named(node, "axis") if node.op in _ALONG else None
    if isinstance(node.op, UfuncMethod) and node.op.method == "reduceat":
        axis = argument(node, 2, "axis", 0)
    found: list[int] = []
    for before, after in zip(node.inputs, now.inputs, strict=True):
        pairs: Iterable[tuple[int, int]] = zip(before.shape, after.shape, strict=False)
        if (
            isinstance(axis, int)
            and before.shape
            and -len(before.shape) <= axis < len(before.shape)
        ):
            pairs = [list(pairs)[axis]]
        found += [a for a, b in pairs if a != b]
        if axis is None and before.shape != after.shape:
            found.append(math.prod(before.shape))
    return found


def _keeps_rows(node: Node) -> bool:
    """Whether a reshape left the rows rows, as reshape(-1, 28, 28) does."""
    return bool(node.shape) and node.inputs[0].shape[:1] == node.shape[:1] and any(
        each == -1 for value in _plain_values(node.args[1:]) for each in _each(value)
    )  # fmt: skip


def _named(node: Node, name: str) -> Any:
    if node.kwargs is not None and name in node.kwargs:
        return node.kwargs[name]
    names = parameter_names(node.op)
    if name in names and names.index(name) < len(node.args):
        return node.args[names.index(name)]
    return None
