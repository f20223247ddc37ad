"""Lineage: which source rows each row of an array came from, through ordinary NumPy code."""

from __future__ import annotations

from traceprop.lineage.answers.origins import Origin
from traceprop.lineage.answers.query import Dependencies, SourceMap
from traceprop.lineage.answers.trace import Trace
from traceprop.lineage.cells import CellMapping, Cells, CellSet, SourceCells
from traceprop.lineage.graph.lineage_graph import LineageGraph
from traceprop.lineage.graph.node import Node
from traceprop.lineage.recording.escapes import Escape, strict
from traceprop.lineage.recording.granularity import granularity
from traceprop.lineage.registry import load_rules
from traceprop.lineage.rowset import RowSet
from traceprop.lineage.saved.saving import load_lineage, save_lineage
from traceprop.lineage.source import MemorySource, Source, SourceRows
from traceprop.lineage.tensor import ProvenanceTensor, array, from_source, origins, values

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
