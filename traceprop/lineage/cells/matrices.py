"""Linear algebra: each matrix of a stack by itself; covariances by pairs; bins and edges."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from traceprop.lineage.cells.maps import CellMap, Either, Everywhere, Labelled, NoCells, Refined
from traceprop.lineage.cells.table import by_rows, refines, wide
from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import named, operands


@refines(family="matrices")
def stacked_cells(node: Node) -> Refined:
    """A cell rests on all of the matrix that it was worked out from."""
    if len(node.inputs) != 1:
        return {}  # a tracked tolerance
    shape = node.inputs[0].shape
    depth = len(shape) - 2
    if depth < 0 or node.shape[:depth] != shape[:depth]:
        return {}
    out = [*range(depth), *(("result", k) for k in range(len(node.shape) - depth))]
    return {0: Labelled(out, [*range(depth), "row", "column"], shape)}


wide(
    np.linalg.inv, np.linalg.pinv, np.linalg.matrix_rank,
    reason="with a tracked tolerance, and for a single matrix, cells are answered by rows",
)  # fmt: skip
wide(
    np.linalg.cholesky, np.linalg.qr,
    reason="a cell is given the whole matrix, though triangles of it don't count",
)  # fmt: skip
wide(
    np.linalg.eig, np.linalg.eigvals,
    reason="complex as soon as one matrix of the stack has complex eigenvalues",
)  # fmt: skip


@refines(np.linalg.solve)
def solved_cells(node: Node) -> Refined:
    """Column by column of the right-hand side, with the whole matrix of the stack."""
    (a, a_shape), (b, b_shape) = operands(node)
    vector = len(b_shape) == 1
    core: list[Hashable] = ["x"] if vector else ["x", "column"]
    depth = len(node.shape) - len(core)
    lead_a, lead_b = len(a_shape) - 2, len(b_shape) - len(core)
    if depth < 0 or not 0 <= lead_a <= depth or not 0 <= lead_b <= depth:
        return {}
    out = [*range(depth), *core]
    maps: dict[int, CellMap] = {}
    if a is not None:
        maps[a] = Labelled(out, [*range(depth - lead_a, depth), "row", "unknown"], a_shape)
    if b is not None:
        own: list[Hashable] = ["row", *core[1:]]
        maps[b] = Labelled(out, [*range(depth - lead_b, depth), *own], b_shape)
    return maps


@refines(np.cov, np.corrcoef)
def covariance_cells(node: Node) -> Refined:
    """Two variables of one array, over all observations."""
    shape = node.inputs[0].shape
    if len(node.inputs) != 1 or len(node.args) > 1 or set(node.kwargs or ()) - {"rowvar", "ddof"}:
        return {}  # a second array, weights
    if len(shape) != 2 or len(node.shape) != 2 or shape[0] == 1:
        return {}  # one variable, which uses all; one row is taken for one, whatever `rowvar` says
    variable = 0 if named(node, "rowvar") else 1
    if node.shape != (shape[variable],) * 2:
        return {}
    ways: list[CellMap] = []
    for k in (0, 1):
        own: list[Hashable] = ["observation", "observation"]
        own[variable] = k
        ways.append(Labelled([0, 1], own, shape))
    return {0: Either(*ways)}


wide(
    np.cov, np.corrcoef,
    reason="with a second array or weights, cells are answered by rows",
)  # fmt: skip


@refines(np.histogramdd)
def histogram_cells(node: Node) -> Refined:
    """All cells count, but an edge rests on its own column of the sample."""
    shape = node.inputs[0].shape
    if len(node.inputs) != 1 or not node.item or len(shape) != 2:
        return {}
    column = np.zeros(shape, dtype=np.int64)
    column[:, node.item - 1] = 1
    return {0: Everywhere(column > 0)}


@refines(np.histogram2d)
def histogram2d_cells(node: Node) -> Refined:
    """All cells count, but an edge rests on its own coordinate."""
    if len(node.inputs) != 2 or not node.item or set(node.kwargs or ()) - {"bins"}:
        return {}
    other = 2 - node.item
    return {other: NoCells(node.inputs[other].shape)}


refines(
    np.histogram, np.histogram_bin_edges, np.bincount, np.linalg.tensorinv, np.linalg.tensorsolve,
    np.linalg.lstsq, np.roots, np.poly, np.polyfit,
)(by_rows)  # fmt: skip
