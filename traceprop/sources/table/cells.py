"""Which cells of a table's tensor come of which column: those under its names, and no others."""

from __future__ import annotations

import numpy as np

from traceprop.lineage.cells.maps import CellMap, Mask, Refined, Shape
from traceprop.lineage.graph.node import Node


class OneColumn(CellMap):
    """Cells `start` to `stop` of each row rest on the row's cell of one column."""

    __slots__ = ("_width",)

    def __init__(self, start: int, stop: int) -> None:
        self._width = slice(start, stop)

    def image(self, mask: Mask) -> Mask:
        """Rows of the column that these cells rest on."""
        return np.asarray(mask[:, self._width].any(axis=1))

    def preimage(self, mask: Mask, shape: Shape) -> Mask:
        """Cells that rest on these rows of the column."""
        found = np.zeros(shape, np.bool_)
        found[:, self._width] = mask[:, np.newaxis]
        return found


def cells_side_by_side(node: Node) -> Refined:
    """Each column of a table has the cells that it became."""
    widths = [width or 1 for width in (node.kwargs or {})["widths"]]
    stops = np.cumsum(widths).tolist()
    return {
        i: OneColumn(stop - width, stop)
        for i, (stop, width) in enumerate(zip(stops, widths, strict=True))
    }
