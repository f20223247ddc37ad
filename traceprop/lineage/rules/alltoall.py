"""Functions in which any output row can hang on any input row, and stacks of such work."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.polynomial.polynomial as polynomial
from numpy.lib import recfunctions

from traceprop.lineage.edges import Edge, Edges, extent_of, opaque, opaque_in_extent, row_by_row
from traceprop.lineage.node import Node
from traceprop.lineage.registry import CONSERVATIVE, implements
from traceprop.lineage.rowmap import All, Identity
from traceprop.lineage.rules.elementwise import first_broadcast
from traceprop.lineage.rules.reduction import reduces_rows
from traceprop.lineage.template import named

implements(
    np.corrcoef, np.cov, np.roots, np.poly, np.polyfit, np.polyadd, np.polysub, np.polymul,
    np.polydiv, np.polyder, np.polyint, np.vander, np.linalg.cond, np.linalg.matrix_rank,
    np.linalg.multi_dot, np.linalg.tensorinv, np.linalg.tensorsolve, np.linalg.lstsq,
    np.histogram, np.histogram2d, np.histogramdd, np.histogram_bin_edges,
    np.apply_over_axes, np.piecewise, np.packbits, np.unpackbits, np.ix_,
    np.unravel_index, np.ravel_multi_index,
    family="alltoall", mixes=True,
)(opaque)  # fmt: skip

implements(np.bincount, family="alltoall", mixes=True)(opaque_in_extent)

implements(
    np.unique, np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values,
    np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d,
    family="sets", status=CONSERVATIVE, reason="which rows hold a value is in values not kept",
)(opaque_in_extent)  # fmt: skip

implements(
    np.nonzero, np.flatnonzero, np.argwhere,
    family="searching", status=CONSERVATIVE, reason="which rows are true is in values not kept",
)(opaque_in_extent)  # fmt: skip

implements(np.polyval, family="elementwise", mixes=True)(lambda node: _broadcast_second(node))
implements(polynomial.polyval2d, family="elementwise", mixes=True)(first_broadcast(2))
implements(polynomial.polygrid2d, family="alltoall", mixes=True)(opaque)


def _broadcast_second(node: Node) -> list[Edge]:
    from traceprop.lineage.rules.elementwise import aligned
    from traceprop.lineage.template import slots

    points = set(slots(node.args[1:2]))
    return [
        Edge(i, aligned(p.shape, node.shape) if i in points else All(node.n_rows, p.n_rows))
        for i, p in enumerate(node.inputs)
    ]


@implements(
    np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft, np.fft.hfft, np.fft.ihfft,
    family="alltoall",
)  # fmt: skip
def fft_rows(node: Node) -> Edges:
    """Along one axis; rows stay rows along any other than 0."""
    if len(node.inputs) == 1 and not reduces_rows(named(node, "axis"), len(node.shape)):
        return row_by_row(node.n_rows)
    return opaque(node)


@implements(
    np.fft.fft2, np.fft.ifft2, np.fft.fftn, np.fft.ifftn, np.fft.rfft2, np.fft.irfft2,
    np.fft.rfftn, np.fft.irfftn,
    family="alltoall",
)  # fmt: skip
def fftn_rows(node: Node) -> Edges:
    """Along several axes; None is all of them."""
    axes: Any = named(node, "axes")
    if len(node.inputs) == 1 and axes is not None and not reduces_rows(axes, len(node.shape)):
        return row_by_row(node.n_rows)
    return opaque(node)


@implements(
    np.linalg.inv, np.linalg.pinv, np.linalg.det, np.linalg.slogdet, np.linalg.cholesky,
    np.linalg.eigh, np.linalg.eigvalsh, np.linalg.qr, np.linalg.svd,
    np.linalg.svdvals, np.linalg.matrix_power, np.linalg.solve,
    family="alltoall", mixes=True,
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


@implements(np.linalg.eig, np.linalg.eigvals, family="alltoall", mixes=True)
def eigen_rows(node: Node) -> list[Edge]:
    """Complex as soon as one matrix of the stack has complex eigenvalues."""
    return [*stacked_rows(node), *extent_of(node, (0,))]


@implements(
    np.apply_along_axis,
    family="alltoall", status=CONSERVATIVE, reason="along axis 0 every row gets all rows",
)  # fmt: skip
def applied_rows(node: Node) -> Edges:
    """`apply_along_axis(f, axis, a)`."""
    axis = named(node, "axis")
    if len(node.inputs) == 1 and not reduces_rows(axis, len(node.inputs[0].shape)):
        return row_by_row(node.n_rows)
    return opaque(node)


implements(
    recfunctions.append_fields, recfunctions.apply_along_fields,
    recfunctions.drop_fields, recfunctions.find_duplicates,
    recfunctions.join_by, recfunctions.merge_arrays, recfunctions.rec_append_fields,
    recfunctions.rec_drop_fields, recfunctions.rec_join,
    recfunctions.rename_fields, recfunctions.repack_fields,
    recfunctions.require_fields, recfunctions.stack_arrays,
    recfunctions.structured_to_unstructured, recfunctions.unstructured_to_structured,
    family="structured", status=CONSERVATIVE, reason="every row gets all rows",
)(opaque)  # fmt: skip
