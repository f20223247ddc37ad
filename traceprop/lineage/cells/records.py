"""Structured arrays: a record is a cell, and each function works record by record."""

from __future__ import annotations

from numpy.lib import recfunctions

from traceprop.lineage.cells.elementwise import broadcast
from traceprop.lineage.cells.maps import Labelled, Refined
from traceprop.lineage.cells.table import by_rows, refines, wide
from traceprop.lineage.graph.node import Node


@refines(family="structured")
def record_cells(node: Node) -> Refined:
    """Records stay in their places."""
    same = all(parent.shape == node.shape for parent in node.inputs)
    return broadcast(node, range(len(node.inputs))) if same else {}


@refines(recfunctions.structured_to_unstructured, recfunctions.unstructured_to_structured)
def fields_cells(node: Node) -> Refined:
    """Fields along a last axis."""
    shape = node.inputs[0].shape
    depth = min(len(shape), len(node.shape))
    if len(node.inputs) != 1 or shape[:depth] != node.shape[:depth]:
        return {}
    labels = [*range(depth), "fields"]
    return {0: Labelled(labels[: len(node.shape)], labels[: len(shape)], shape)}


wide(
    recfunctions.structured_to_unstructured,
    reason="a record is one cell, so that each of its fields is given all of it",
)
refines(
    recfunctions.stack_arrays, recfunctions.join_by, recfunctions.rec_join,
    recfunctions.find_duplicates, recfunctions.apply_along_fields,
)(by_rows)  # fmt: skip
wide(
    recfunctions.join_by, recfunctions.rec_join, recfunctions.find_duplicates,
    reason="which records match is in values that aren't kept",
)  # fmt: skip
wide(
    recfunctions.apply_along_fields,
    reason="the function that is applied sees all records",
)
