"""Functions that draw random numbers, and those that make tensors in the likeness of others."""

from __future__ import annotations

from traceprop.interop.torch.tracked.entries import define, define_opaque
from traceprop.lineage.graph.edge import Edge, opaque
from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import slots
from traceprop.lineage.rowmap import All, Identity
from traceprop.lineage.rules.elementwise import aligned, elementwise_rows

_NEVER = "it draws random numbers, and the generator's state isn't recorded"


def shaped_rows(node: Node) -> list[Edge]:
    """No value flows in."""
    return []


define("zeros_like ones_like empty_like new_zeros new_ones new_empty new_empty_strided",
       "torch: creation", shaped_rows, fresh=True)  # fmt: skip
define(
    "rand_like randn_like randint_like uniform_ normal_ random_ exponential_ cauchy_ geometric_ "
    "log_normal_ Tensor.bernoulli_",
    "torch: random", shaped_rows, fresh=True, never=_NEVER,
)  # fmt: skip


def filled_rows(node: Node) -> list[Edge]:
    """`full_like(x, value)`, `new_full(size, value)`: the value alone flows in."""
    at = 2 if node.op.name.endswith("new_full") else 1  # type: ignore[attr-defined]
    values = set(slots(node.args[at:])) | set(slots(list((node.kwargs or {}).values())))
    return [Edge(i, aligned(node.inputs[i].shape, node.shape)) for i in values]


define("full_like new_full", "torch: creation", filled_rows, fresh=True)


def copied_rows(node: Node) -> list[Edge]:
    """`new_tensor(data)`: a copy of the data."""
    return [Edge(i, aligned(node.inputs[i].shape, node.shape)) for i in slots(node.args[1:])]


define("new_tensor", "torch: creation", copied_rows, fresh=True)
define(
    "dropout alpha_dropout dropout1d dropout2d dropout3d feature_dropout feature_alpha_dropout "
    "native_dropout rrelu bernoulli poisson normal binomial",
    "elementwise", elementwise_rows, mixes=True, never=_NEVER,
)  # fmt: skip


def drawn_rows(node: Node) -> list[Edge]:
    """Draws by the weights in a row; of one row of weights, all of them."""
    parent = node.inputs[0]
    if len(node.inputs) == 1 and len(parent.shape) > 1 and parent.n_rows == node.n_rows:
        return [Edge(0, Identity(node.n_rows))]
    return opaque(node)


define("multinomial", "torch: random", drawn_rows, fresh=True, never=_NEVER)


def soft_rows(node: Node) -> list[Edge]:
    """`gumbel_softmax(logits, dim=-1)`: along an axis."""
    dim = (node.kwargs or {}).get("dim", node.args[4] if len(node.args) > 4 else -1)
    parent = node.inputs[0]
    if isinstance(dim, int) and len(parent.shape) > 1 and dim not in (0, -len(parent.shape)):
        return [Edge(0, Identity(node.n_rows))]
    return [Edge(i, All(node.n_rows, p.n_rows)) for i, p in enumerate(node.inputs)]


define("gumbel_softmax", "torch: random", soft_rows, never=_NEVER)
define_opaque(
    "fractional_max_pool2d fractional_max_pool2d_with_indices fractional_max_pool3d "
    "fractional_max_pool3d_with_indices",
    "its regions are drawn: every row gets all rows", family="random", never=_NEVER,
    shape_from_values=None,
)  # fmt: skip
