"""Sums of products: matrix products, einsum, and products that are added to a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from traceprop.interop.torch.tracked.entries import define, define_like
from traceprop.lineage.graph.edge import Edge, Edges, opaque
from traceprop.lineage.graph.node import Node, make_node
from traceprop.lineage.graph.template import slots
from traceprop.lineage.registry import rule_of
from traceprop.lineage.rowmap import All, Identity
from traceprop.lineage.rules.contraction import matmul_rows, outer_rows
from traceprop.lineage.rules.elementwise import aligned

_CELLS = {"cells": True}
define_like(
    "matmul mm bmm mv dsmm spmm linalg.matmul",
    "contraction",
    np.matmul,
    "input other",
    facts=_CELLS,
)
define_like("Tensor.__rmatmul__", "contraction", np.matmul, "input other", order=(1, 0),
            facts=_CELLS)  # fmt: skip
define_like("dot", "contraction", np.dot, "input other")
define_like("inner", "contraction", np.inner, "input other")
define_like("outer ger", "contraction", np.outer, "input other")
define_like("vdot", "contraction", np.vdot, "input other")
define_like("kron", "contraction", np.kron, "input other")
define_like("tensordot", "contraction", np.tensordot, "a b dims=axes")
define_like("linalg.multi_dot", "contraction", np.linalg.multi_dot, "tensors")
define_like("cross", "contraction", np.cross, "input other dim=axis", axis=0)
define_like("linalg.cross", "contraction", np.cross, "input other dim=axis", axis=-1)


def einsum_rows(node: Node) -> Edges:
    """As NumPy's; torch takes the operands as one list too."""
    args = node.args
    if len(args) == 2 and isinstance(args[0], str) and isinstance(args[1], (list, tuple)):
        args = (args[0], *args[1])
    return rule_of(np.einsum).rows(_shadow(np.einsum, node, args))


define("einsum", "torch: contraction", einsum_rows, mixes=True)


def _shadow(function: Any, node: Node, args: tuple[Any, ...]) -> Node:
    return make_node(function, node.inputs, args, None, node.shape, node.dtype)


def added_rows(node: Node) -> list[Edge]:
    """`addmm(input, a, b)`: a product, and what it is added to, broadcast."""
    if len(node.args) < 3:
        return opaque(node)
    added, factors = set(slots(node.args[:1])), node.args[1:3]
    name = node.op.name.rpartition(".")[2].rstrip("_")  # type: ignore[attr-defined]
    if name == "addbmm":
        product: Any = opaque(node)
    else:
        rule = outer_rows if name == "addr" else matmul_rows
        product = rule(_shadow(np.outer if name == "addr" else np.matmul, node, factors))
    return [
        *(Edge(i, aligned(node.inputs[i].shape, node.shape)) for i in added),
        *(edge for edge in product if edge.input in set(slots(factors))),
    ]


define("addmm addmv addbmm baddbmm addr", "torch: contraction", added_rows, mixes=True, fresh=True)


def linear_rows(node: Node) -> list[Edge]:
    """Rows of the input stay rows; weights and biases go into every one."""
    batch = set(slots(node.args[: 2 if node.op.name.endswith("bilinear") else 1]))  # type: ignore[attr-defined]
    return [
        Edge(i, Identity(node.n_rows))
        if i in batch and len(parent.shape) > 1 and parent.n_rows == node.n_rows
        else Edge(i, All(node.n_rows, parent.n_rows), aggregates=True)
        for i, parent in enumerate(node.inputs)
    ]


define("linear bilinear", "torch: contraction", linear_rows, mixes=True, fresh=True)


def pairs_rows(node: Node) -> list[Edge]:
    """`cdist(x1, x2)`: row i of the first with all rows of the second; or stacks of those."""
    depth = len(node.shape)
    kept = set(slots(node.args[: 2 if depth > 2 else 1]))
    return [
        Edge(i, Identity(node.n_rows))
        if i in kept and len(parent.shape) == depth and parent.n_rows == node.n_rows
        else Edge(i, All(node.n_rows, parent.n_rows), aggregates=True)
        for i, parent in enumerate(node.inputs)
    ]


define("cdist", "torch: contraction", pairs_rows, mixes=True, fresh=True)
