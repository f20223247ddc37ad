"""Losses: one number of all rows, or one a row where `reduction="none"`."""

from __future__ import annotations

from traceprop.interop.torch.tracked.entries import define, define_opaque
from traceprop.lineage.graph.edge import Edge, Edges, opaque
from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import slots
from traceprop.lineage.rowmap import All, Identity
from traceprop.lineage.rules.elementwise import elementwise_rows


def _is_per_row(node: Node) -> bool:
    """Whether nothing is summed over rows; in place of a name the old functions give a number."""
    options = node.kwargs or {}
    if options.get("reduce") is not None or options.get("size_average") is not None:
        return False
    words = [value for value in (*node.args, options.get("reduction")) if isinstance(value, str)]
    return words == ["none"]


def cell_loss_rows(node: Node) -> Edges:
    """Losses that compare cell by cell."""
    return elementwise_rows(node) if _is_per_row(node) and node.shape else opaque(node)


def class_loss_rows(node: Node) -> Edges:
    """`cross_entropy(input, target)`: a row of scores and its class; weights go into every row."""
    together = slots(node.args[:2])
    if not _is_per_row(node) or not node.shape:
        return opaque(node)
    return [
        Edge(i, Identity(node.n_rows))
        if i in together and parent.shape and parent.n_rows == node.n_rows
        and (len(parent.shape) >= len(node.shape))
        else Edge(i, All(node.n_rows, parent.n_rows))
        for i, parent in enumerate(node.inputs)
    ]  # fmt: skip


define(
    "mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy soft_margin_loss kl_div "
    "binary_cross_entropy_with_logits poisson_nll_loss hinge_embedding_loss margin_ranking_loss",
    "torch: losses", cell_loss_rows, mixes=True, fresh=True,
)  # fmt: skip
define("cross_entropy nll_loss", "torch: losses", class_loss_rows, mixes=True, fresh=True)
define_opaque(
    "gaussian_nll_loss cosine_embedding_loss triplet_margin_loss multi_margin_loss "
    "multilabel_margin_loss multilabel_soft_margin_loss triplet_margin_with_distance_loss "
    "linear_cross_entropy ctc_loss",
    'every row gets all rows, with reduction="none" too', family="losses",
    shape_from_values=None, fresh=True,
)  # fmt: skip
