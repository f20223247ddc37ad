"""Functions on structured arrays: fields are added, dropped and renamed record by record."""

from __future__ import annotations

from math import prod

from numpy.lib import recfunctions

from traceprop.lineage.graph.edge import Edge, Edges, opaque, opaque_in_extent
from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import shape_of, slots
from traceprop.lineage.registry import CONSERVATIVE, implements
from traceprop.lineage.rowmap import Identity, Patch

implements(
    recfunctions.join_by, recfunctions.rec_join, recfunctions.find_duplicates,
    family="structured", status=CONSERVATIVE, reason="which records match is in values not kept",
)(opaque_in_extent)  # fmt: skip


@implements(
    recfunctions.append_fields, recfunctions.drop_fields, recfunctions.merge_arrays,
    recfunctions.rec_append_fields, recfunctions.rec_drop_fields, recfunctions.rename_fields,
    recfunctions.repack_fields, recfunctions.require_fields,
    recfunctions.structured_to_unstructured, recfunctions.unstructured_to_structured,
    family="structured",
)  # fmt: skip
def record_rows(node: Node) -> Edges:
    """Record i is made of record i of each input; a shorter one ends early."""
    if any(parent.n_rows > node.n_rows for parent in node.inputs):
        return opaque(node)
    return [
        Edge(i, Identity(parent.n_rows) if parent.n_rows == node.n_rows else _first(node, parent))
        for i, parent in enumerate(node.inputs)
    ]


def _first(node: Node, parent: Node) -> Patch:
    return Patch(0, parent.n_rows, node.n_rows, parent.n_rows)


@implements(
    recfunctions.apply_along_fields,
    family="structured", status=CONSERVATIVE,
    reason="the function sees all records, so that every row gets all rows",
)  # fmt: skip
def applied_rows(node: Node) -> Edges:
    """`apply_along_fields(func, arr)`: `func` has to work along the last axis."""
    return opaque(node)


@implements(recfunctions.stack_arrays, family="structured")
def stacked_records(node: Node) -> Edges:
    """One array's records follow another's."""
    arrays = node.args[0]
    if not isinstance(arrays, (tuple, list)) or any(len(p.shape) != 1 for p in node.inputs):
        return opaque(node)
    edges, start = [], 0
    for value in arrays:
        length = prod(shape_of(node, value))
        edges += [Edge(i, Patch(start, start + length, node.n_rows, length)) for i in slots(value)]
        start += length
    return edges if start == node.n_rows else opaque(node)
