"""Sums of products: an output cell rests on a row of one operand and a column of the other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import prod
from typing import Final

import numpy as np

from traceprop.lineage.cells.maps import (
    CellMap,
    Chain,
    Either,
    Labelled,
    Numbered,
    Refined,
)
from traceprop.lineage.cells.movement import CellNumbers
from traceprop.lineage.cells.table import by_rows, refines, wide
from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import named, operands, shape_of, slots
from traceprop.lineage.rules.subscripts import Labels, core_axes, subscripts, summed_axes


def labelled(node: Node, out: Labels, *own: Labels) -> Refined:
    """Return the maps of the first operands, from the labels of their axes and the result's."""
    if len(node.shape) != len(out):
        return {}
    maps: dict[int, CellMap] = {}
    for (i, shape), labels in zip(operands(node, len(own)), own, strict=True):
        if len(labels) != len(shape):
            return {}
        if i is not None:
            maps[i] = Labelled(out, labels, shape)
    return maps


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
    return _summed(node, *summed_axes(node, len(a), len(b)))


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


@refines(np.outer, np.linalg.outer, np.kron)
def multiplied_cells(node: Node) -> Refined:
    """Cells of both meet once: read off with cell numbers for the one and ones for the other."""
    numbers = CellNumbers(node)
    shapes = operands(node)
    maps: dict[int, CellMap] = {}
    for position, (i, _) in enumerate(shapes):
        if i is not None:
            ones = [np.ones(shape, dtype=np.int64) for _, shape in shapes]
            ones[position] = numbers.cells(i)
            result = np.asarray(node.op(*ones))
            if result.shape != node.shape:
                return {}
            maps |= numbers.read(result, {i})
    return maps


refines(np.vdot)(by_rows)


@refines(np.linalg.multi_dot)
def chained_cells(node: Node) -> Refined:
    """Rows of the first matrix, columns of the last, all of those between."""
    factors = node.args[0]
    if not isinstance(factors, (tuple, list)):
        return {}
    places = [slots(value) for value in factors]
    matrices = [len(shape_of(node, value)) == 2 for value in factors]
    out: list[Hashable] = [*(["n"] if matrices[0] else []), *(["m"] if matrices[-1] else [])]
    maps: dict[int, CellMap] = {}
    for position, place in enumerate(places):
        for i in place:
            both: list[Hashable] = ["in", "out"]
            own = both[: len(node.inputs[i].shape)]
            if position == 0 and matrices[0]:
                own[0] = "n"
            if position == len(places) - 1 and matrices[-1]:
                own[-1] = "m"
            maps[i] = Labelled(out, own, node.inputs[i].shape)
    return maps if len(node.shape) == len(out) else {}


@refines(np.cross, np.linalg.cross)
def crossed_cells(node: Node) -> Refined:
    """Vectors along an axis of each: of three, the two others; their other axes broadcast."""
    whole = named(node, "axis")
    names = ("axisa", "axisb", "axisc")
    axes = [named(node, name, -1) if whole is None else whole for name in names]
    first, second = operands(node)
    depth = max(len(first[1]), len(second[1])) - 1
    out: list[Hashable] = list(range(depth))
    if len(node.shape) == depth + 1:
        out.insert(int(axes[2]) % (depth + 1), "cross")
    maps: dict[int, CellMap] = {}
    for (i, shape), axis in zip((first, second), axes[:2], strict=True):
        own: list[Hashable] = list(range(depth - len(shape) + 1, depth))
        at = int(axis) % len(shape)
        if i is None:
            continue
        if "cross" not in out or shape[at] != 3:
            own.insert(at, "vector")
            maps[i] = Labelled(out, own, shape)
            continue
        own.insert(at, "cross")
        cells = np.arange(prod(shape)).reshape(shape)
        others = (Numbered(np.roll(cells, by, at), 0, shape) for by in (1, 2))
        maps[i] = Chain(Labelled(out, own, shape), shape, Either(*others))
    return maps if len(node.shape) == len(out) else {}


wide(np.cross, np.linalg.cross, reason="vectors of two and three components are used whole")


@refines(np.einsum)
def einsum_cells(node: Node) -> Refined:
    """As the subscripts say; an ellipsis stands for axes that broadcast."""
    read = subscripts(node)
    if read is None:
        return {}
    terms, out = read
    if len(out) != len(node.shape):
        return {}
    maps: dict[int, CellMap] = {}
    for own, value in terms:
        for i in slots(value):
            shape = node.inputs[i].shape
            if len(own) != len(shape):
                return {}
            maps[i] = _term_map(own, out, shape)
    return maps


def _term_map(own: Labels, out: Labels, shape: tuple[int, ...]) -> CellMap:
    """Map of an operand; of a repeated label only the diagonal counts."""
    once = list(dict.fromkeys(own))
    if len(once) == len(own):
        return Labelled(out, own, shape)
    cells = np.arange(prod(shape)).reshape(shape)
    numbers = {label: k for k, label in enumerate(once)}
    diagonal = np.einsum(cells, [numbers[label] for label in own], list(range(len(once))))
    return Chain(Labelled(out, once, diagonal.shape), diagonal.shape, Numbered(diagonal, 0, shape))


@refines(np.vecdot, np.linalg.vecdot)
def vecdot_cells(node: Node) -> Refined:
    """Vectors along an axis of both; their other axes broadcast."""
    options = node.kwargs or {}
    if len(node.args) < 2 or set(options) - {"axis"}:
        return {}
    maps: dict[int, CellMap] = {}
    depth = len(node.shape)
    for i, shape in operands(node):
        if i is not None and shape:
            own: list[Hashable] = list(range(depth - len(shape) + 1, depth))
            own.insert(int(options.get("axis", -1)) % len(shape), "k")
            maps[i] = Labelled(range(depth), own, shape)
    return maps


_SUMS: Final = frozenset(getattr(np, name) for name in ("matvec", "vecmat") if hasattr(np, name))


@refines(*_SUMS, family="gufunc")
def gufunc_cells(node: Node) -> Refined:
    """Any gufunc: leading axes are a stack that broadcasts; core axes mix whole.

    Those of NumPy's own that only sum products keep the core axes that the result has.
    """
    read = core_axes(node)
    if read is None:
        return {}
    core, core_out = read
    depth = len(node.shape) - len(core_out)
    if depth < 0:
        return {}
    sums = node.op in _SUMS
    out = [*range(depth), *(core_out if sums else (("out", k) for k in range(len(core_out))))]
    maps: dict[int, CellMap] = {}
    for value, axes in zip(node.args, core, strict=False):
        for i in slots(value):
            shape = node.inputs[i].shape
            lead = len(shape) - len(axes)
            if not 0 <= lead <= depth:
                return {}
            maps[i] = Labelled(out, [*_stack(depth, lead), *axes], shape)
    return maps


wide(
    np.matmul, np.vecdot, *_SUMS,
    reason="with axes= or out=, cells are answered by rows",
)  # fmt: skip
