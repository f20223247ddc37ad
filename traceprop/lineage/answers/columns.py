"""Column names, carried along where an operation keeps, picks, joins or reduces columns.

Promise: a name is given only to what is made of the column of that name, in each operand that has
columns; where operands disagree, or an axis isn't known, there are no names.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from traceprop.lineage.graph.memo import memo
from traceprop.lineage.graph.node import SOURCE, Held, Node, UfuncMethod, in_numpy
from traceprop.lineage.graph.template import argument, named
from traceprop.lineage.recording.kept_arrays import is_unchanged
from traceprop.lineage.registry import rule_of
from traceprop.lineage.rules.indexing import GETITEM

Names = tuple[str, ...] | None


def columns(node: Node) -> Names:
    """Names along the last axis, None where they aren't known."""
    known: dict[Node, Names] = {}
    stack = [node]
    while stack:
        current = stack[-1]
        if current in known:
            stack.pop()
            continue
        needed = [] if _has_own(current) else _named_by(current)
        missing = [parent for parent in needed if parent not in known]
        if missing:
            stack.extend(missing)
            continue
        names = _own(current) if not needed else _joined(current, [known[p] for p in needed])
        fits = names is not None and current.shape and len(names) == current.shape[-1]
        known[current] = names if fits else None
        stack.pop()
    found = known[node]
    if found is not None:
        memo(node).columns = found
    return found


def _has_own(node: Node) -> bool:
    """Whether a node's names are written on it, rather than on its inputs."""
    kept = node.memo is not None and node.memo.columns is not None
    return kept or node.op is SOURCE or (node.kwargs is not None and "column_names" in node.kwargs)


def _own(node: Node) -> Names:
    if node.memo is not None and node.memo.columns is not None:
        kept: tuple[str, ...] = node.memo.columns
        return kept
    if node.op is SOURCE:
        return node.leaf_columns if len(node.shape) > 1 else None  # else its cells are rows
    return None if node.kwargs is None else node.kwargs.get("column_names")


def _named_by(node: Node) -> list[Node]:
    """Return the inputs whose columns the node's are made of; none where it has no columns."""
    if not node.inputs or not node.shape:
        return []
    node = in_numpy(node)
    if node.op is np.concatenate:
        return list(node.inputs)
    family = rule_of(node.op).family
    if node.op is GETITEM or family == "mutators":
        return [node.inputs[0]]
    if family == "reduction":
        return [node.inputs[0]] if _keeps_last_axis(node) else []
    if family in ("elementwise", "choosing"):
        return [each for each in node.inputs if each.shape and each.shape[-1] == node.shape[-1]]
    return []


def _joined(node: Node, names: Sequence[Names]) -> Names:
    """Names of a node, from those of the inputs that `_named_by` gave."""
    node = in_numpy(node)
    if node.op is GETITEM:
        return None if names[0] is None else _picked(node, names[0])
    if node.op is np.concatenate:
        axis = named(node, "axis")
        if axis is None:
            return None
        if axis in (-1, len(node.shape) - 1):
            found = [each for each in names if each is not None]
            return tuple(chain(*found)) if len(found) == len(names) else None
        return _agreed(names)
    # An operand of one axis without names, as a vector of weights, leaves the others theirs.
    pairs = zip(_named_by(node), names, strict=True)
    return _agreed([each for parent, each in pairs if each is not None or len(parent.shape) > 1])


def _agreed(names: Sequence[Names]) -> Names:
    """Return the names that all operands have, None where they differ."""
    return names[0] if names and all(each == names[0] for each in names) else None


def _keeps_last_axis(node: Node) -> bool:
    """Whether a reduction leaves the axis that the columns are along."""
    is_method = isinstance(node.op, UfuncMethod)
    axis = argument(node, 1, "axis", 0) if is_method else named(node, "axis")
    last = len(node.inputs[0].shape) - 1
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    plain = all(isinstance(each, (int, np.integer)) for each in axes)
    return plain and all(int(each) not in (-1, last) for each in axes)


def _picked(node: Node, names: tuple[str, ...]) -> Names:
    """Names after `X[key]`: the part of the key for the last axis picks among them."""
    key = node.args[1]
    ndim = len(node.inputs[0].shape)
    parts = key if type(key) is tuple else (key,)
    if any(part is Ellipsis or part is None for part in parts):
        parts = _without_ellipsis(parts, ndim)
    rows, chosen = parts[: ndim - 1], parts[ndim - 1 : ndim]
    if not all(
        isinstance(part, (int, np.integer, slice)) or _is_index(node, part) for part in rows
    ):
        return None
    if not chosen:
        return names
    return _chosen(names, chosen[0], alone=all(isinstance(part, (int, slice)) for part in rows))


def _without_ellipsis(parts: tuple[Any, ...], ndim: int) -> tuple[Any, ...]:
    """Return a key with `...` written out, and None left out where it adds an axis further front.

    One behind all axes makes a last axis that has no names: it stands in the columns' place.
    """
    axes = [part for part in parts if part is not None and part is not Ellipsis]
    if parts[-1] is None and (len(axes) == ndim or any(part is Ellipsis for part in parts)):
        return (*((slice(None),) * (ndim - 1)), None)
    parts = tuple(part for part in parts if part is not None)
    for at, part in enumerate(parts):
        if part is Ellipsis:
            return (*parts[:at], *(slice(None),) * (ndim + 1 - len(parts)), *parts[at + 1 :])
    return parts


def _is_index(node: Node, part: Any) -> bool:
    """Whether a part of a key is a mask or an index of one axis."""
    if not isinstance(part, Held):
        return False
    ndim = len(node.inputs[part.index].shape) if part.index >= 0 else np.ndim(part.array)
    return ndim == 1


def _chosen(names: tuple[str, ...], part: Any, alone: bool) -> Names:
    if isinstance(part, slice):
        return names[part]
    if isinstance(part, Held) and part.index < 0 and alone and is_unchanged(part):
        return tuple(np.asarray(names, dtype=object)[part.array]) if part.array.ndim == 1 else None
    return None
