"""Work along lines of one axis: running results, sorts, softmax; along others rows stay rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from traceprop.interop.torch.tracked.entries import by_name, define, define_like
from traceprop.lineage.graph.edge import Edge, opaque
from traceprop.lineage.graph.node import Node
from traceprop.lineage.registry import CONSERVATIVE
from traceprop.lineage.rowmap import All, Identity
from traceprop.lineage.rules.elementwise import aligned

_WHY = "a sorted row is given all rows: which one it was is in values that aren't kept"

for _function, _names in {
    np.cumsum: "cumsum logcumsumexp cummax cummin",
    np.cumprod: "cumprod",
}.items():
    define_like(_names, "scan", _function, "input dim=axis", facts={"cells": True})
define_like(
    "diff", "scan", np.diff, "input n=n dim=axis prepend=prepend append=append",
    facts={"cells": True},
)  # fmt: skip

_SORTED: dict[str, Any] = {"status": CONSERVATIVE, "reason": _WHY}
define_like("sort", "sorting", np.sort, "input dim=axis", axis=-1, facts=_SORTED)
define_like("argsort", "sorting", np.argsort, "input dim=axis", axis=-1, facts=_SORTED)
define_like("msort", "sorting", np.sort, "input", axis=0, facts=_SORTED)
define_like("topk kthvalue", "sorting", np.sort, "input -k dim=axis", axis=-1, facts=_SORTED)
define_like("mode", "sorting", np.sort, "input dim=axis", axis=-1, facts=_SORTED)

define_like(
    "softmax log_softmax softmin special.softmax special.log_softmax", "lines", np.sort,
    "input dim=axis", axis=None, facts={"cells": False},
)  # fmt: skip
define_like("glu", "lines", np.sort, "input dim=axis", axis=-1)
define_like("nn.functional.normalize", "lines", np.sort, "input -p dim=axis", axis=1)


def two_lines_rows(node: Node) -> list[Edge]:
    """Two tensors broadcast together, and one axis of that is summed over."""
    given = by_name(node, "x1 x2 dim")
    shape = np.broadcast_shapes(*(parent.shape for parent in node.inputs))
    dim = given.get("dim", _DIM_OF_TWO.get(node.op.name.rpartition(".")[2], -1))  # type: ignore[attr-defined]
    plain = isinstance(dim, int) and len(given) >= 2 and len(shape) > 1
    if not plain or dim in (0, -len(shape)) or shape[0] != node.n_rows:
        return opaque(node)
    return [Edge(i, aligned(parent.shape, shape)) for i, parent in enumerate(node.inputs)]


_DIM_OF_TWO = {"cosine_similarity": 1}
define(
    "cosine_similarity linalg.vecdot", "torch: lines", two_lines_rows, mixes=True, fresh=True
)  # fmt: skip


def distance_rows(node: Node) -> list[Edge]:
    """`pairwise_distance(x1, x2)`: over the last axis."""
    shape = np.broadcast_shapes(*(parent.shape for parent in node.inputs))
    if len(shape) < 2 or shape[0] != node.n_rows:
        return opaque(node)
    return [Edge(i, aligned(parent.shape, shape)) for i, parent in enumerate(node.inputs)]


define("pairwise_distance", "torch: lines", distance_rows, mixes=True, fresh=True)


def renorm_rows(node: Node) -> list[Edge]:
    """Parts along `dim` are scaled one by one: rows stay rows along axis 0 alone."""
    dim = by_name(node, "input p dim maxnorm").get("dim")
    parent = node.inputs[0]
    if len(node.inputs) == 1 and isinstance(dim, int) and dim in (0, -len(parent.shape)):
        return [Edge(0, Identity(node.n_rows))]
    return opaque(node)


define("renorm", "torch: lines", renorm_rows, mixes=True, fresh=True)


def searched_rows(node: Node) -> list[Edge]:
    """Row i is where row i of the values belongs in the sorted sequence, or in its row i."""
    if len(node.args) < 2 or (node.kwargs and "input" in node.kwargs):
        return opaque(node)
    from traceprop.lineage.graph.template import shape_of, slots

    sequence, sought = set(slots(node.args[:1])), set(slots(node.args[1:2]))
    lines = len(shape_of(node, node.args[0])) > 1
    return [
        Edge(i, aligned(parent.shape, node.shape))
        if i in sought or (i in sequence and lines)
        else Edge(i, All(node.n_rows, parent.n_rows), aggregates=True)
        for i, parent in enumerate(node.inputs)
    ]


define("searchsorted", "torch: searching", searched_rows, mixes=True, fresh=True)
