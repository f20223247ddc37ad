"""Sums of products: an output cell rests on a row of one operand and a column of the other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from traceprop.lineage.cells.maps import Refined, by_labels, normal_axes
from traceprop.lineage.cells.table import refines
from traceprop.lineage.node import Node
from traceprop.lineage.template import named, slots

Labels = Sequence[Hashable]


def operands(node: Node, count: int = 2) -> list[tuple[int | None, tuple[int, ...]]]:
    """Input number (None where plain) and shape of each of the first arguments."""
    found = []
    for value in node.args[:count]:
        place = slots(value)
        shape = node.inputs[place[0]].shape if place else np.shape(value)
        found.append((place[0] if place else None, shape))
    return found


def labelled(node: Node, out: Labels, *own: Labels) -> Refined:
    """Return the maps of the first operands, from the labels of their axes and the result's."""
    if len(node.shape) != len(out):
        return {}
    return {
        i: by_labels(out, labels, shape)
        for (i, shape), labels in zip(operands(node, len(own)), own, strict=True)
        if i is not None and len(labels) == len(shape)
    }


@refines(np.matmul, np.linalg.matmul)
def matmul_cells(node: Node) -> Refined:
    """(…, n, k) @ (…, k, m); of a vector the missing axis isn't in the result."""
    if len(node.args) < 2 or {"axes", "axis"} & set(node.kwargs or ()):
        return {}
    (_, a), (_, b) = operands(node)
    if not a or not b:
        return {}
    depth = max(len(a), len(b), 2) - 2
    first: list[Hashable] = [*_stack(depth, len(a) - 2), "n", "k"] if len(a) > 1 else ["k"]
    second: list[Hashable] = [*_stack(depth, len(b) - 2), "k", "m"] if len(b) > 1 else ["k"]
    out = [*range(depth), *(["n"] if len(a) > 1 else []), *(["m"] if len(b) > 1 else [])]
    return labelled(node, out, first, second)


def _stack(depth: int, own: int) -> range:
    """Labels of the axes of an operand that is a stack: the last `own` of `depth`."""
    return range(depth - own, depth)


@refines(np.dot)
def dot_cells(node: Node) -> Refined:
    """Sum over the first operand's last axis and the second's last but one."""
    (_, a), (_, b) = operands(node)
    return _summed(node, [len(a) - 1] if a and b else [], [max(len(b) - 2, 0)] if a and b else [])


@refines(np.inner)
def inner_cells(node: Node) -> Refined:
    """Sum over the last axes of both."""
    (_, a), (_, b) = operands(node)
    return _summed(node, [len(a) - 1] if a and b else [], [len(b) - 1] if a and b else [])


@refines(np.tensordot, np.linalg.tensordot)
def tensordot_cells(node: Node) -> Refined:
    """Sum over the axes named."""
    (_, a), (_, b) = operands(node)
    axes = named(node, "axes", 2)
    if isinstance(axes, (int, np.integer)):
        count = int(axes)
        return _summed(node, range(len(a) - count, len(a)), range(count))
    first, second = (normal_axes(np.atleast_1d(e).tolist(), n) for e, n in
                     zip(axes, (len(a), len(b)), strict=True))  # fmt: skip
    return _summed(node, first, second)


def _summed(node: Node, a_axes: Sequence[int], b_axes: Sequence[int]) -> Refined:
    """Sum over pairs of axes; the first operand's other axes come first in the result."""
    (_, a), (_, b) = operands(node)
    first: list[Hashable] = [("a", k) for k in range(len(a))]
    second: list[Hashable] = [("b", k) for k in range(len(b))]
    for pair, (k, j) in enumerate(zip(a_axes, b_axes, strict=True)):
        first[k] = second[j] = pair
    out = [label for label in (*first, *second) if isinstance(label, tuple)]
    return labelled(node, out, first, second)


@refines(method="outer")
def outer_cells(node: Node) -> Refined:
    """Every cell of the one with every cell of the other."""
    return _summed(node, [], []) if len(node.args) == 2 else {}


@refines(np.outer, np.linalg.outer)
def flat_outer_cells(node: Node) -> Refined:
    """Of vectors; operands of more axes are flattened first, and answered by rows."""
    if len(node.shape) != 2 or any(len(shape) != 1 for _, shape in operands(node)):
        return {}
    return labelled(node, ["n", "m"], ["n"], ["m"])


@refines(np.einsum)
def einsum_cells(node: Node) -> Refined:
    """As the subscripts say; with an ellipsis, or operands as lists of axes, by rows."""
    subscripts = node.args[0]
    if not isinstance(subscripts, str) or "." in subscripts:
        return {}
    terms, arrow, out = subscripts.replace(" ", "").partition("->")
    if not arrow:
        letters = terms.replace(",", "")
        out = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    if len(node.shape) != len(out):
        return {}
    maps = {}
    for term, value in zip(terms.split(","), node.args[1:], strict=False):
        for i in slots(value):
            shape = node.inputs[i].shape
            if len(shape) == len(term):
                maps[i] = by_labels(out, term, shape)
    return maps


@refines(family="gufunc")
def gufunc_cells(node: Node) -> Refined:
    """Any gufunc: leading axes are a stack that broadcasts; core axes mix whole."""
    signature: Any = getattr(node.op, "signature", None)
    if signature is None or node.kwargs:
        return {}
    inputs, _, outputs = signature.partition("->")
    core = [_core_axes(term) for term in inputs.split("),")]
    core_out = _core_axes(outputs.split("),")[node.item or 0])
    depth = len(node.shape) - core_out
    if depth < 0:
        return {}
    out: list[Hashable] = [*range(depth), *(("out", k) for k in range(core_out))]
    maps = {}
    for value, axes in zip(node.args, core, strict=False):
        for i in slots(value):
            shape = node.inputs[i].shape
            own = [*_stack(depth, len(shape) - axes), *(("core", k) for k in range(axes))]
            if 0 <= len(shape) - axes <= depth:
                maps[i] = by_labels(out, own, shape)
    return maps


def _core_axes(term: str) -> int:
    """How many core axes a term of a gufunc's signature has."""
    return term.count(",") + 1 if term.strip("() ") else 0
