"""What the arguments of a sum of products say about axes: which are summed, which the result has.

Row rules and cell rules of contractions read the same answer: `subscripts` for einsum,
`summed_axes` for tensordot, `core_axes` for any ufunc with a signature.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import named, shape_of

Labels = Sequence[Hashable]


def summed_axes(node: Node, a_ndim: int, b_ndim: int) -> tuple[list[int], list[int]]:
    """Return the axes of the two operands that `axes=` of tensordot pairs, counted from 0."""
    axes = named(node, "axes", 2)
    if isinstance(axes, (int, np.integer)):
        count = int(axes)
        return list(range(a_ndim - count, a_ndim)), list(range(count))
    first, second = (np.atleast_1d(each).tolist() for each in axes)
    return [each % a_ndim for each in first], [each % b_ndim for each in second]


def core_axes(node: Node) -> tuple[list[list[Hashable]], list[Hashable]] | None:
    """Return the names of the core axes of each operand of a gufunc, and of the node's result.

    None where options may name other axes.
    """
    signature: Any = getattr(node.op, "signature", None)
    if signature is None or node.kwargs:
        return None
    inputs, _, outputs = signature.partition("->")
    result = outputs.split("),")[node.item or 0]
    return [_names(term) for term in inputs.split("),")], _names(result)


def _names(term: str) -> list[Hashable]:
    """Return the names of the axes in a term of a signature."""
    return [name.strip("?") for name in term.strip("() ").split(",") if name.strip("() ")]


def subscripts(node: Node) -> tuple[list[tuple[Labels, Any]], Labels] | None:
    """Return what einsum's arguments say about axes; None if unclear.

    Returns
    -------
    terms : list of (labels, operand)
        A label for each axis of each operand; a repeated one is a diagonal.
    out : labels
        Of the result's axes.
    """
    if isinstance(node.args[0], str):
        terms, arrow, out = node.args[0].replace(" ", "").partition("->")
        parts: list[list[Any]] = [list(term.replace("...", ".")) for term in terms.split(",")]
        values = node.args[1:]
        wanted: list[Any] | None = list(out.replace("...", ".")) if arrow else None
    else:  # operand, labels, operand, labels, …, and perhaps the result's labels
        values, parts = node.args[0:-1:2], [list(each) for each in node.args[1::2]]
        wanted = list(node.args[-1]) if len(node.args) % 2 else None
        parts = [["." if each is Ellipsis else each for each in part] for part in parts]
        wanted = wanted and ["." if each is Ellipsis else each for each in wanted]
    ndims = [len(shape_of(node, value)) for value in values]
    if len(parts) != len(ndims):
        return None
    spread = [n - len(part) + 1 if "." in part else 0 for n, part in zip(ndims, parts, strict=True)]
    if wanted is None:
        named_ = [each for part in parts for each in part if each != "."]
        wanted = [".", *sorted(each for each in set(named_) if named_.count(each) == 1)]
    depth = max(spread, default=0)
    terms_ = [
        (_spelt_out(part, n, depth), value)
        for part, n, value in zip(parts, spread, values, strict=True)
    ]
    return terms_, _spelt_out(wanted, depth, depth)


def _spelt_out(part: list[Any], count: int, depth: int) -> Labels:
    """Put labels in the place of an ellipsis that stands for the last `count` of `depth` axes."""
    labels: list[Hashable] = []
    for each in part:
        labels += [("...", k) for k in range(depth - count, depth)] if each == "." else [each]
    return labels
