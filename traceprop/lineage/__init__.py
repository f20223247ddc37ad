"""Lineage: which source rows each row of an array came from, through ordinary NumPy code."""

from __future__ import annotations

from traceprop.lineage.cells import CellMapping, Cells, CellSet, SourceCells
from traceprop.lineage.escapes import Escape, strict
from traceprop.lineage.granularity import granularity
from traceprop.lineage.graph import LineageGraph
from traceprop.lineage.node import Node
from traceprop.lineage.origins import Origin
from traceprop.lineage.query import Dependencies, SourceMap
from traceprop.lineage.registry import load_rules
from traceprop.lineage.rowset import RowSet
from traceprop.lineage.saving import load_lineage, save_lineage
from traceprop.lineage.source import MemorySource, Source, SourceRows
from traceprop.lineage.tensor import ProvenanceTensor, array, from_source, origins, values
from traceprop.lineage.trace import Trace

load_rules()

__all__ = [
    "CellMapping",
    "CellSet",
    "Cells",
    "Dependencies",
    "Escape",
    "LineageGraph",
    "MemorySource",
    "Node",
    "Origin",
    "ProvenanceTensor",
    "RowSet",
    "Source",
    "SourceCells",
    "SourceMap",
    "SourceRows",
    "Trace",
    "array",
    "from_source",
    "granularity",
    "load_lineage",
    "origins",
    "save_lineage",
    "strict",
    "values",
]
