"""Column names, carried along where an operation keeps, picks or reduces columns."""

from __future__ import annotations

import numpy as np

from traceprop.lineage.graph.memo import memo
from traceprop.lineage.graph.node import SOURCE, Held, Node, UfuncMethod
from traceprop.lineage.graph.template import argument, named
from traceprop.lineage.recording.kept_arrays import is_unchanged
from traceprop.lineage.registry import rule_of
from traceprop.lineage.rules.indexing import GETITEM

Names = tuple[str, ...] | None


def columns(node: Node) -> Names:
    """Names along the last axis, None where they aren't known."""
    path: list[Node] = []
    current = node
    names: Names = None
    while True:
        kept = current.memo
        if kept is not None and kept.columns is not None:
            names = kept.columns
            break
        if current.op is SOURCE:
            names = current.leaf_columns or None
            break
        if current.kwargs is not None and "column_names" in current.kwargs:
            names = current.kwargs["column_names"]  # of a table made into one array
            break
        parent = _named_by(current)
        if parent is None:
            return None
        path.append(current)
        current = parent
    for step in reversed(path):
        if step.op is GETITEM and names is not None:
            names = _picked(step, names)
        if names is None or not step.shape or len(names) != step.shape[-1]:
            return None
    if names is not None and (not node.shape or len(names) != node.shape[-1]):
        return None
    if names is not None:
        memo(node).columns = names
    return names


def _named_by(node: Node) -> Node | None:
    """Return the input whose columns are the node's, if any keeps them."""
    if not node.inputs:
        return None
    if node.op is GETITEM or node.op is np.concatenate:
        return node.inputs[0]
    family = rule_of(node.op).family
    if family == "reduction" and not _keeps_last_axis(node):
        return None
    if family in ("elementwise", "reduction", "mutators", "choosing"):
        for parent in node.inputs:
            if parent.shape and node.shape and parent.shape[-1] == node.shape[-1]:
                return parent
    return None


def _keeps_last_axis(node: Node) -> bool:
    """Whether a reduction leaves the axis that the columns are along."""
    is_method = isinstance(node.op, UfuncMethod)
    axis = argument(node, 1, "axis", 0) if is_method else named(node, "axis")
    last = len(node.inputs[0].shape) - 1
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    plain = all(isinstance(each, (int, np.integer)) for each in axes)
    return plain and all(int(each) not in (-1, last) for each in axes)


def _picked(node: Node, names: tuple[str, ...]) -> Names:
    """Names after `X[key]`."""
    key = node.args[1]
    parent = node.inputs[0]
    if len(parent.shape) != 2:
        return names if len(parent.shape) == 1 and isinstance(key, slice) else None
    if type(key) is not tuple:
        return names
    if len(key) != 2 or not isinstance(key[0], (int, slice, Held)):
        return names if len(key) < 2 else None
    chosen = key[1]
    if isinstance(chosen, slice):
        return names[chosen]
    if isinstance(chosen, Held) and chosen.index < 0 and isinstance(key[0], slice):
        if not is_unchanged(chosen):
            return None
        return tuple(np.asarray(names, dtype=object)[chosen.array])
    return None
