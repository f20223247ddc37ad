"""Many cells to one: sums, means, extremes, norms, quantiles."""

from __future__ import annotations

import numpy as np

from traceprop.interop.torch.tracked.entries import (
    Like,
    by_name,
    define,
    define_like,
    in_numpy,
    is_tensor_argument,
    rows_of_like,
)
from traceprop.lineage.graph.edge import Edges, opaque
from traceprop.lineage.graph.node import Node
from traceprop.lineage.rules.elementwise import elementwise_rows

_OVER = "input dim=axis keepdim=keepdims"
_REDUCTIONS = {
    np.sum: "sum logsumexp special.logsumexp",
    np.nansum: "nansum",
    np.mean: "mean",
    np.nanmean: "nanmean",
    np.prod: "prod",
    np.std: "std std_mean",
    np.var: "var var_mean",
    np.any: "any",
    np.all: "all",
    np.argmax: "argmax",
    np.argmin: "argmin",
    np.count_nonzero: "count_nonzero",
    np.nanmedian: "nanmedian",
}
for _function, _names in _REDUCTIONS.items():
    define_like(_names, "reduction", _function, _OVER, facts={"cells": True})
define_like("amax aminmax", "reduction", np.max, _OVER, facts={"cells": True})
define_like("amin", "reduction", np.min, _OVER, facts={"cells": True})
define_like(
    "quantile nanquantile", "reduction", np.quantile, "input q dim=axis keepdim=keepdims",
    facts={"cells": False},
)  # fmt: skip
define_like(
    "norm nuclear_norm frobenius_norm linalg.norm linalg.vector_norm", "reduction", np.sum,
    "input -p dim=axis keepdim=keepdims",
)  # fmt: skip
define_like("nuclear_norm frobenius_norm", "reduction", np.sum, "input dim=axis keepdim=keepdims")
define_like("linalg.matrix_norm", "reduction", np.sum, "input -ord dim=axis", axis=(-2, -1))
define_like("trace", "reduction", np.trace, "input")
define_like("trapezoid trapz", "reduction", np.trapezoid, "y x=x dim=axis", axis=-1)


def extreme_rows(node: Node) -> Edges:
    """`max(x)`, `max(x, dim)`, or the larger of two tensors, cell by cell."""
    given = by_name(node, "input dim keepdim")
    if is_tensor_argument(given.get("other", given.get("dim"))):
        return elementwise_rows(node)
    same = in_numpy(node)
    return rows_of_like(node) if same.op is not node.op else opaque(node)


for _name, _function in (("max", np.max), ("min", np.min), ("median", np.median)):
    define(
        _name, "torch: reduction", extreme_rows, like=Like(_function, _OVER, {}), mixes=True,
        fresh=True,
    )  # fmt: skip

define("dist", "torch: reduction", opaque, mixes=True, fresh=True)
