"""Functions in which any output row can depend on any input row, and stacks of such work."""

from __future__ import annotations

import math

import numpy as np

from traceprop.lineage.graph.edge import (
    CONTROL,
    Edge,
    Edges,
    extent_of,
    opaque,
    opaque_in_extent,
    row_by_row,
)
from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import named, slots
from traceprop.lineage.registry import CONSERVATIVE, implements, rule_of
from traceprop.lineage.rowmap import All, Identity, Spans
from traceprop.lineage.rowset import RowSet
from traceprop.lineage.rules.reduction import reduces_rows

implements(
    np.corrcoef, np.cov, np.linalg.tensorinv, np.linalg.tensorsolve,
    family="alltoall", mixes=True,
)(opaque)  # fmt: skip

implements(np.linalg.lstsq, np.bincount, family="alltoall", mixes=True)(opaque_in_extent)

implements(
    np.apply_over_axes, np.piecewise,
    family="alltoall", mixes=True, status=CONSERVATIVE,
    reason="the function that is applied sees the whole array, so that every row gets all rows",
)(opaque)  # fmt: skip


@implements(
    np.histogram, np.histogram2d, np.histogramdd, np.histogram_bin_edges,
    family="alltoall", mixes=True,
)  # fmt: skip
def histogram_rows(node: Node) -> list[Edge]:
    """Every bin counts over all rows; how many bins there are may be left to the values."""
    bins = named(node, "bins")
    if node.op is np.histogram and node.item and np.ndim(bins) and not slots(bins):
        return []  # the edges, as they were given
    return opaque_in_extent(node) if isinstance(bins, str) or slots(bins) else opaque(node)


implements(
    np.unique, np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values,
    np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d,
    family="sets", status=CONSERVATIVE, reason="which rows hold a value is in values not kept",
)(opaque_in_extent)  # fmt: skip

implements(
    np.nonzero, np.flatnonzero, np.argwhere,
    family="searching", status=CONSERVATIVE, reason="which rows are true is in values not kept",
)(opaque_in_extent)  # fmt: skip


@implements(
    np.fft.fft,
    np.fft.ifft,
    np.fft.rfft,
    np.fft.irfft,
    np.fft.hfft,
    np.fft.ihfft,
    family="transforms",
    axis="axis",
)
@implements(
    np.fft.fft2, np.fft.ifft2, np.fft.fftn, np.fft.ifftn, np.fft.rfft2, np.fft.irfft2,
    np.fft.rfftn, np.fft.irfftn,
    family="transforms", axis="axes",
)  # fmt: skip
def fft_rows(node: Node) -> Edges:
    """Along one axis, or several; rows stay rows along any other than 0. None is all axes."""
    axes = named(node, rule_of(node.op).axis or "axis")
    if len(node.inputs) == 1 and not reduces_rows(axes, len(node.shape)):
        return row_by_row(node.n_rows)
    return opaque(node)


@implements(
    np.linalg.inv, np.linalg.pinv, np.linalg.det, np.linalg.slogdet, np.linalg.cholesky,
    np.linalg.eigh, np.linalg.eigvalsh, np.linalg.qr, np.linalg.svd,
    np.linalg.svdvals, np.linalg.matrix_power, np.linalg.solve, np.linalg.cond,
    np.linalg.matrix_rank,
    family="matrices", mixes=True,
)  # fmt: skip
def stacked_rows(node: Node) -> list[Edge]:
    """Matrices in a stack are worked on one by one; a single matrix is used whole."""
    edges = []
    for i, parent in enumerate(node.inputs):
        stack = len(parent.shape) - 2
        if len(node.inputs) == 1 and stack > 0 and parent.n_rows == node.n_rows:
            edges.append(Edge(i, Identity(node.n_rows)))
        else:
            edges.append(Edge(i, All(node.n_rows, parent.n_rows), aggregates=True))
    return edges


@implements(np.linalg.eig, np.linalg.eigvals, family="matrices", mixes=True)
def eigen_rows(node: Node) -> list[Edge]:
    """Complex as soon as one matrix of the stack has complex eigenvalues."""
    return [*stacked_rows(node), *extent_of(node, (0,))]


@implements(
    np.apply_along_axis,
    family="alltoall", status=CONSERVATIVE,
    reason="along axis 0 every row gets all rows; the function's first result decides the type",
)  # fmt: skip
def applied_rows(node: Node) -> Edges:
    """`apply_along_axis(f, axis, a)`."""
    axis = named(node, "axis")
    if len(node.inputs) == 1 and not reduces_rows(axis, len(node.inputs[0].shape)):
        first = All(node.n_rows, node.inputs[0].n_rows, RowSet.span(0, 1))
        return [*row_by_row(node.n_rows), Edge(0, first, CONTROL)]
    return opaque(node)


@implements(np.packbits, np.unpackbits, family="alltoall")
def bit_rows(node: Node) -> Edges:
    """Eight cells along an axis to one, or one to eight; without an axis over the flat cells."""
    parent = node.inputs[0]
    axis = named(node, "axis")
    if len(node.inputs) > 1 or not parent.shape:
        return opaque(node)
    if axis is not None and int(axis) not in (0, -len(parent.shape)):
        return row_by_row(node.n_rows)
    width = max(math.prod(parent.shape[1:]), 1) if axis is None else 1  # cells in a row
    places = np.arange(node.n_rows, dtype=np.int64)
    if node.op is np.packbits:
        low, high = places * 8 // width, (places * 8 + 7) // width + 1
    else:
        low = places // 8 // width
        high = low + 1
    return [Edge(0, Spans(low, np.minimum(high, parent.n_rows), parent.n_rows))]
