"""The third granularity: which source cells an output cell rests on, worked out when asked.

A cell rule per family refines the row edges of a node (`table`); what has no rule is answered by
its row map, so that the answer is sound for every operation.
"""

from __future__ import annotations

from traceprop.lineage.cells.cellset import CellSet
from traceprop.lineage.cells.query import CellMapping, Cells, cells_of
from traceprop.lineage.cells.selected import SourceCells

__all__ = ["CellMapping", "CellSet", "Cells", "SourceCells", "cells_of"]
