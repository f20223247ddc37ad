"""Asking for cells: a mask over a tensor's cells is carried back to its sources, or from there on.

The walk is that of `answers.query`, with a cell map for each input that a cell rule knows
and the row map for the others. Kinds are those of the row edges. Masks take a byte a cell while
the walk passes, and nothing is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from traceprop.errors import LineageError
from traceprop.lineage.answers.by_source import BySource
from traceprop.lineage.answers.columns import columns
from traceprop.lineage.answers.idioms import Step, steps
from traceprop.lineage.answers.trace import Trace
from traceprop.lineage.cells.cellset import CellSet, Trail
from traceprop.lineage.cells.maps import CellMap, Mask, Rowwise
from traceprop.lineage.cells.selected import SourceCells
from traceprop.lineage.cells.table import refined
from traceprop.lineage.graph.edge import CONTROL, DIRECT, EXTENT, STATISTIC, Edge
from traceprop.lineage.graph.edges import edges
from traceprop.lineage.graph.node import SOURCE, Node, inputs_first
from traceprop.lineage.recording.tracked import Tracked
from traceprop.lineage.rowset import RowSet
from traceprop.lineage.source import Source

_KINDS: Final = (DIRECT, STATISTIC, CONTROL)

Masks = list[Mask | None]
"""One per kind."""


class CellMapping(BySource[CellSet]):
    """Cells of each source; a source is found by itself, or by its uri, path or name.

    Prints as `{credit_scores.csv: row 3, column income}`.
    """

    __slots__ = ()


class Cells(CellMapping):
    """Cells of each source that some cells rest on, of any kind and by kind.

    Attributes
    ----------
    direct : CellMapping
        Cells whose own values flow in.
    statistic : CellMapping
        Cells that are part of something computed over many rows, as a mean.
    control : CellMapping
        Cells that decided that another was kept, chosen or moved.

    Examples
    --------
    >>> X = traceprop.array([[1.0, 2.0], [3.0, 4.0]], name="table", columns=("age", "debt"))
    >>> found = (X - X.mean(axis=0))[X[:, 0] > 2].cells((0, 1))
    >>> found.direct
    {table: row 1, column debt}
    >>> found.statistic
    {table: rows 0-1, column debt}
    >>> found.control
    {table: rows 0-1, column age}
    >>> print(found.trace())
    table row 1, column debt · center → row_filter
    """

    __slots__ = ("_steps", "control", "direct", "statistic")

    def __init__(
        self,
        direct: CellMapping,
        statistic: CellMapping,
        control: CellMapping,
        steps: Callable[[], list[Step]] = list,
    ) -> None:
        merged: dict[Source, CellSet] = dict(direct)
        for part in (statistic, control):
            for source, cells in part.items():
                merged[source] = merged[source] | cells if source in merged else cells
        super().__init__(merged)
        self.direct = direct
        self.statistic = statistic
        self.control = control
        self._steps = steps

    def trace(self) -> Trace:
        """Say where the cells came from, with their columns, and through which steps.

        Returns
        -------
        Trace
            Prints as `credit_scores.csv row 4821 (line 4823), column income · normalize`. Cells
            whose own values flow in are named; not those of statistics and masks.
        """
        rows = {source: cells.rows for source, cells in self.direct.items()}
        return Trace(rows, self._steps(), dict(self.direct))


def cells_of(node: Node, index: Any = None) -> Cells:
    """Cells of each source that cells of `node` rest on.

    Parameters
    ----------
    node : Node
    index : tuple of int, optional
        The position of a cell, or any other index: whatever `X[index]` shows. Default: all cells.

    Raises
    ------
    LineageError
        When `index` is no index of the node's shape.
    """
    asked = _asked(node, index)
    found: list[dict[Source, CellSet]] = [{} for _ in _KINDS]
    passed: set[Node] = set()
    for leaf, masks in _reach(node, asked, passed):
        source: Source = leaf.args[0]
        for of_kind, mask in zip(found, masks, strict=True):
            if mask is not None:
                cells = _cells_of_leaf(leaf, mask)
                of_kind[source] = of_kind[source] | cells if source in of_kind else cells
    direct, statistic, control = map(CellMapping, found)
    return Cells(direct, statistic, control, lambda: steps(node, reached=passed))


def _asked(node: Node, index: Any) -> Mask:
    """Return a mask over the cells that `node[index]` would show."""
    asked = np.zeros(node.shape, dtype=np.bool_)
    if index is None or (not node.shape and index in (0, (0,))):  # a scalar counts as one row
        index = ...
    elif isinstance(index, Tracked):
        index = index._array
    try:
        asked[index] = True
    except (IndexError, TypeError, ValueError) as error:
        raise LineageError(
            f"{index!r} is no cell of an array of shape {node.shape}: give a position in it, "
            "as (row, column)."
        ) from error
    return asked


def _reach(root: Node, asked: Mask, passed: set[Node]) -> Iterator[tuple[Node, Masks]]:
    """Yield the leaves that cells of `root` rest on, with masks over their cells by kind.

    Nodes whose own values flow in are added to `passed`.
    """
    reached: dict[Node, Masks] = {root: [asked, None, None]}
    for node in reversed(inputs_first(root)):  # after all that is made of it
        found = edges(node)
        masks = reached.pop(node, None)
        if masks is not None and masks[DIRECT] is not None and masks[DIRECT].any():
            passed.add(node)
        if masks is not None and node.op is SOURCE:
            yield node, masks
        elif masks is not None:
            _carry(node, masks, found, reached)
        for edge in found:
            if edge.kind == EXTENT:  # all its values say how many cells there are
                parent = node.inputs[edge.input]
                _add(reached, parent, CONTROL, np.ones(parent.shape, dtype=np.bool_))


def _carry(node: Node, masks: Masks, found: tuple[Edge, ...], reached: dict[Node, Masks]) -> None:
    """Carry the cells of a node along its edges to its inputs."""
    for edge, cell_map in _cell_maps(node, found):
        parent = node.inputs[edge.input]
        for from_kind, mask in enumerate(masks):
            if mask is not None:
                _add(reached, parent, max(from_kind, edge.kind), cell_map.image(mask))


def _cell_maps(node: Node, found: tuple[Edge, ...]) -> Iterator[tuple[Edge, CellMap]]:
    """Yield a node's edges that carry cells, with how they do: by a cell rule, or else by rows."""
    known = refined(node)
    for edge in found:
        if edge.kind != EXTENT:
            rows = node.inputs[edge.input].shape
            yield edge, known.get(edge.input) or Rowwise(edge.map, rows)


def _add(reached: dict[Node, Masks], node: Node, kind: int, mask: Mask) -> None:
    masks = reached.setdefault(node, [None, None, None])
    before = masks[kind]
    masks[kind] = mask if before is None else before | mask


def _cells_of_leaf(leaf: Node, mask: Mask) -> CellSet:
    """Name a leaf's cells as the source's own: by its row numbers and, if named, its columns."""
    source: Source = leaf.args[0]
    rows = np.arange(leaf.n_rows) if leaf.args[1] is None else leaf.args[1]
    own = leaf.leaf_columns
    trail: Trail = leaf.shape[1:]
    width = mask.size // max(leaf.n_rows, 1)
    row, place = np.divmod(np.flatnonzero(mask), max(width, 1))
    if own and len(trail) <= 1 and width == len(own) and set(own) <= set(source.columns):
        numbers = np.array([source.columns.index(name) for name in own], dtype=np.int64)
        place, trail = numbers[place], (len(source.columns),)
        width = len(source.columns)
    cells = RowSet(rows[row].astype(np.int64) * width + place)
    return CellSet({trail: cells}, source.columns)


def cell_descendants(node: Node, cells: SourceCells) -> CellSet:
    """Cells of `node` that depend on some of a source's in any way.

    Returns
    -------
    CellSet
        Positions in `node`; a scalar counts as one row.
    """
    asked = _descended(node, cells)
    trail: Trail = node.shape[1:]
    return CellSet({trail: RowSet(np.flatnonzero(asked))}, columns(node) or ())


def _descended(root: Node, cells: SourceCells) -> Mask:
    """Return a mask over the cells of `root` that rest on cells of a source."""
    order = inputs_first(root)
    waiting = Counter(parent for node in order for parent in node.inputs)
    touched: dict[Node, Mask] = {}
    for node in order:
        if node.op is SOURCE:
            if node.args[0] == cells.source:
                touched[node] = cells.mask_over(node)
            continue
        found = edges(node)
        mask = np.zeros(node.shape, dtype=np.bool_)
        for edge in found:
            before = touched.get(node.inputs[edge.input])
            if edge.kind == EXTENT and before is not None and before.any():
                return np.ones(root.shape, dtype=np.bool_)
        for edge, cell_map in _cell_maps(node, found):
            before = touched.get(node.inputs[edge.input])
            if before is not None and before.any():
                mask = mask | cell_map.preimage(before, node.shape)
        if mask.any():
            touched[node] = mask
        for parent in node.inputs:
            waiting[parent] -= 1
            if not waiting[parent]:
                touched.pop(parent, None)  # nobody asks again
    return touched.get(root, np.zeros(root.shape, dtype=np.bool_))
