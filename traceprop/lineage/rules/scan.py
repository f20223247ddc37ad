"""Running results and sliding windows along axis 0."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from traceprop.lineage.answers.compose import Chain
from traceprop.lineage.graph.edge import Edge, opaque
from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import named, operands, shape_of, slots
from traceprop.lineage.registry import CONSERVATIVE, implements, implements_ufuncs
from traceprop.lineage.rowmap import Identity, Patch, Prefix, RowMap, Slice, Spans, Window
from traceprop.lineage.rowset import first_rows
from traceprop.lineage.rules.elementwise import aligned


def prefix_along(node: Node, axis: Any) -> list[Edge]:
    """Edges of a running result along `axis`; None runs over the flattened cells."""
    if len(node.inputs) != 1 or slots(axis):
        return opaque(node)
    parent = node.inputs[0]
    if axis is None and len(parent.shape) != 1:
        width = max(int(np.prod(parent.shape[1:])), 1)
        ends = first_rows(node.n_rows) // width
        return [Edge(0, Prefix(node.n_rows, parent.n_rows, ends), aggregates=True)]
    if axis is None or int(axis) in (0, -len(parent.shape)):
        if node.n_rows != parent.n_rows:  # include_initial=True puts a row in front
            ends = first_rows(node.n_rows) - 1
            return [Edge(0, Prefix(node.n_rows, parent.n_rows, ends), aggregates=True)]
        return [Edge(0, Prefix(node.n_rows, parent.n_rows), aggregates=True)]
    return [Edge(0, Identity(node.n_rows))]


@implements(
    np.cumsum, np.cumprod, np.nancumsum, np.nancumprod, np.unwrap,
    *[getattr(np, name) for name in ("cumulative_sum", "cumulative_prod") if hasattr(np, name)],
    family="scan",
)  # fmt: skip
def cumulative_rows(node: Node) -> list[Edge]:
    """Row i is made of rows 0 to i."""
    return prefix_along(node, named(node, "axis"))


@implements_ufuncs("accumulate", family="scan")
def accumulate_rows(node: Node) -> list[Edge]:
    """`ufunc.accumulate(a, axis=0)`."""
    axis = node.args[1] if len(node.args) > 1 else (node.kwargs or {}).get("axis", 0)
    return prefix_along(node, axis)


@implements(np.diff, family="scan", mixes=True)
def diff_rows(node: Node) -> list[Edge]:
    """Row i of the n-th difference along axis 0 is made of rows i to i + n."""
    order, axis = int(named(node, "n")), int(named(node, "axis"))
    main = shape_of(node, node.args[0])
    if not order or axis not in (0, -len(main)):
        return [Edge(i, aligned(p.shape, node.shape)) for i, p in enumerate(node.inputs)]
    parts = [named(node, "prepend"), node.args[0], named(node, "append")]
    parts = [part for part in parts if part is not np._NoValue]
    lengths = [(*shape_of(node, part), 1)[0] for part in parts]
    total = sum(lengths)
    window = Window(0, order, node.n_rows, total)
    edges, start = [], 0
    for part, length in zip(parts, lengths, strict=True):
        for i in slots(part):
            place = Patch(start, start + length, total, length)
            edges.append(Edge(i, window if length == total else Chain(window, place)))
        start += length
    return edges


@implements(
    np.ediff1d,
    family="scan", status=CONSERVATIVE,
    reason="with to_begin= or to_end= every row gets all rows",
)  # fmt: skip
def ediff1d_rows(node: Node) -> list[Edge]:
    """Row i is the difference of cells i and i + 1."""
    parent = node.inputs[0]
    if len(node.inputs) != 1 or not parent.shape or len(node.args) > 1 or node.kwargs:
        return opaque(node)
    if len(parent.shape) == 1:
        return [Edge(0, Window(0, 1, node.n_rows, parent.n_rows))]
    cells = np.arange(node.n_rows, dtype=np.int64)
    width = max(prod(parent.shape[1:]), 1)
    return [Edge(0, Spans(cells // width, (cells + 1) // width + 1, parent.n_rows))]


@implements(
    np.gradient,
    family="scan", status=CONSERVATIVE,
    reason="a row is given itself, which the formula for even spacing leaves out",
)  # fmt: skip
def gradient_rows(node: Node) -> list[Edge]:
    """Row i along axis 0 is made of its neighbours, two away at the edges of second order."""
    if len(node.inputs) != 1:
        return opaque(node)
    parent = node.inputs[0]
    axis = named(node, "axis")
    if axis is None:
        axis = node.item or 0
    elif isinstance(axis, (tuple, list)):
        axis = axis[node.item or 0]
    if int(axis) in (0, -len(parent.shape)):
        reach = int(named(node, "edge_order") or 1)
        return [Edge(0, Window(-reach, reach, node.n_rows, parent.n_rows))]
    return [Edge(0, Identity(node.n_rows))]


@implements(np.convolve, np.correlate, family="scan", mixes=True)
def convolve_rows(node: Node) -> list[Edge]:
    """Cell i of a full convolution takes cells i − m + 1 to i of one, m the other's length."""
    lengths = [prod(shape) for _, shape in operands(node)]
    mode = named(node, "mode")
    modes = {0: "valid", 1: "same", 2: "full", "v": "valid", "s": "same", "f": "full"}
    mode = modes.get(mode, mode)
    if len(lengths) != 2 or mode not in ("full", "same", "valid"):
        return opaque(node)
    shorter = min(lengths)
    shift = {"full": 0, "same": (shorter - 1) // 2, "valid": shorter - 1}[mode]
    edges = []
    for position, value in enumerate(node.args[:2]):
        for i in slots(value):
            own, other = lengths[position], lengths[1 - position]
            window: RowMap = Window(shift - other + 1, shift, node.n_rows, own)
            if node.op is np.correlate:
                window = _correlation_window(node, position, lengths, shift)
            edges.append(Edge(i, window, aggregates=True))
    return edges


def _correlation_window(node: Node, position: int, lengths: list[int], shift: int) -> RowMap:
    """Correlation is convolution with the second operand back to front."""
    own, other = lengths[position], lengths[1 - position]
    if lengths[0] < lengths[1] and node.shape:
        # NumPy swaps the operands and reverses the result.
        backwards = Slice(node.n_rows - 1, -1, node.n_rows, node.n_rows)
        straight: RowMap = Window(shift - other + 1, shift, node.n_rows, own)
        if position == 0:
            straight = Chain(straight, Slice(own - 1, -1, own, own))
        return Chain(backwards, straight)
    window = Window(shift - other + 1, shift, node.n_rows, own)
    return Chain(window, Slice(own - 1, -1, own, own)) if position == 1 else window
