"""Sorting a table: one step that says which row comes where, decided by all rows of the keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from traceprop.lineage.graph.edge import CONTROL, Edge, Edges
from traceprop.lineage.graph.node import Node, Op
from traceprop.lineage.recording.calls import call
from traceprop.lineage.registry import implements
from traceprop.lineage.rowmap import All
from traceprop.lineage.rowset import row_dtype
from traceprop.lineage.tensor import ProvenanceTensor
from traceprop.sources.table import keys
from traceprop.sources.table.stored import Stored


def _sort(
    *columns: npt.NDArray[Any], codes: Sequence[bool], descending: Sequence[bool]
) -> npt.NDArray[Any]:
    """Return the rows in sorted order."""
    order = keys.sort_order(columns, codes, descending)
    return order.astype(row_dtype(len(order)))


_SORT = Op("sort", _sort)


@implements(_SORT, family="sources")
def _decided_by_all(node: Node) -> Edges:
    """Which row comes where depends on every row's keys."""
    return [
        Edge(i, All(node.n_rows, parent.n_rows), CONTROL) for i, parent in enumerate(node.inputs)
    ]


def sorted_rows(by: Sequence[Stored], descending: Sequence[bool]) -> ProvenanceTensor:
    """Return a table's row numbers in the order of some of its columns, missing values last."""
    options = {
        "codes": tuple(column.is_text for column in by),
        "descending": tuple(map(bool, descending)),
    }
    order: ProvenanceTensor = call(_SORT, tuple(column.tensor() for column in by), options)
    return order
