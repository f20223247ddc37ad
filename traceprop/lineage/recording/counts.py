"""The doors through which a number of rows leaves as a plain number: `len(X)`, `X.shape`, `X.size`.

A number that came of a count is a number that a replay without rows would get wrong, so each such
door notes that it was passed (`graph.counted`). Looking at a tensor passes none: a shape that is
printed, or of which only other axes are read, stays where it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from traceprop.lineage.graph.callers import is_only_shown, users_frame
from traceprop.lineage.graph.counted import is_counted, note_count
from traceprop.lineage.graph.edge import EXTENT
from traceprop.lineage.graph.edges import MANY_ROWS, made_of, raw_edges
from traceprop.lineage.graph.memo import memo
from traceprop.lineage.graph.node import Node, ancestors
from traceprop.lineage.recording.escapes import caller

_TURNED: Final = frozenset({np.transpose, np.swapaxes, np.moveaxis, np.matrix_transpose})


def count_left(node: Node, door: str, axes: Iterable[int] | None = (0,), depth: int = 2) -> None:
    """Note that code `depth` calls above, if not ours, got the lengths of axes (None: of all)."""
    frame = None if is_counted(node) else users_frame(depth)
    if frame is None:
        return
    wanted = range(len(node.shape)) if axes is None else axes
    if any(_holds_rows(node, axis) for axis in wanted) and not is_only_shown(frame):
        note_count(node, door, frame.f_code.co_filename, frame.f_lineno)


def told_by_error(nodes: Iterable[Node]) -> None:
    """Note that an operation raised: a large index, or shapes that don't fit, tell a length."""
    filename, line, _ = caller()
    for node in nodes:
        note_count(node, "an error", filename, line)


def _holds_rows(node: Node, axis: int) -> bool:
    """Whether rows may decide how long an axis is.

    They do where it is as long as the first axis of anything beneath that has rows there, and where
    values decide how many results there are, as in `np.unique`.
    """
    if not axis and node.op not in _TURNED and made_of(node) != MANY_ROWS:
        return True
    kept = memo(node)
    if kept.row_axes is None:
        kept.row_axes = {}
    if axis not in kept.row_axes:
        kept.row_axes[axis] = _is_as_long_as_rows(node, axis)
    return kept.row_axes[axis]


def _is_as_long_as_rows(node: Node, axis: int) -> bool:
    length = node.shape[axis : axis + 1]
    for each in ancestors(node):
        if made_of(each) != MANY_ROWS:
            if each.shape[:1] == length and each.op not in _TURNED:
                return True
        elif any(edge.kind == EXTENT for edge in raw_edges(each)):
            return True
    return False
