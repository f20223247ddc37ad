"""The edges of a node: for each input, which of its rows each output row came from, and how.

Row rules (`traceprop.lineage.rules`) say what an operation does to rows. This module asks the rule
when somebody wants to know, keeps the answer on the node, and decides which of the values that
flow into a result are *statistics* of it:

- where one input goes in row by row, an input that goes into every row alike is a statistic
  (`X - mu`, `X @ W`);
- where one input is made of single rows, an input that is an aggregate of many rows is a statistic
  (`X - group_means[labels]`, `X[i] - mu`).

A mean by itself is not a statistic but a value: the rows that were averaged flow into it directly.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from traceprop.lineage.graph.edge import DIRECT, STATISTIC, Edge, row_by_row
from traceprop.lineage.graph.memo import memo
from traceprop.lineage.graph.node import SOURCE, Node
from traceprop.lineage.graph.template import slots
from traceprop.lineage.registry import rule_of
from traceprop.lineage.rowmap import All, RowMap, Slice


def raw_edges(node: Node) -> tuple[Edge, ...]:
    """Return what the row rule says, before statistics are distinguished from values."""
    kept = memo(node)
    if kept.raw is None:
        found = rule_of(node.op).rows(node) if node.inputs else ()
        options = node.kwargs
        if options is not None and "out" in options and "where" not in options:
            shaping = slots(options["out"])  # kept for its shape alone: all of it was written
            found = [edge for edge in found if edge.input not in shaping]
        kept.raw = tuple(found)
    return kept.raw


def edges(node: Node) -> tuple[Edge, ...]:
    """Return the node's edges, worked out once."""
    before = node.memo
    if before is not None and before.edges is not None:
        return before.edges
    inputs, shape = node.inputs, node.shape
    if len(inputs) == 1 and shape and inputs[0].shape == shape and node.kwargs is None:
        op = node.op
        if type(op) is np.ufunc and op.signature is None:
            return row_by_row(shape[0])  # as quick to find again as to keep
    kept = memo(node)
    if kept.edges is None:
        raw = raw_edges(node)
        if len(raw) > 1 and rule_of(node.op).mixes:
            raw = _settle(node, raw)
        kept.edges = raw
    return kept.edges


def _settle(node: Node, raw: tuple[Edge, ...]) -> tuple[Edge, ...]:
    """Turn the direct edges that carry statistics into STATISTIC ones."""
    direct = [i for i, edge in enumerate(raw) if edge.kind == DIRECT]
    if len(direct) < 2:
        return raw
    settled = list(raw)
    alike = [i for i in direct if _is_alike(raw[i].map)]
    single = [i for i in direct if i not in alike]
    if single:
        for i in alike:
            settled[i] = raw[i]._replace(kind=STATISTIC)
    else:
        single = alike
    if len(single) > 1:
        parts = {i: made_of(node.inputs[raw[i].input]) for i in single}
        if SINGLE_ROWS in parts.values():
            for i, part in parts.items():
                if part == MANY_ROWS:
                    settled[i] = raw[i]._replace(kind=STATISTIC)
    return tuple(settled)


def _is_alike(row_map: RowMap) -> bool:
    return type(row_map) is All or (type(row_map) is Slice and row_map.step == 0)


SINGLE_ROWS: Final = 0
MANY_ROWS: Final = 1
NO_ROWS: Final = 2


def made_of(node: Node) -> int:
    """Return what the node's rows are made of.

    Each of many rows: a sum, or anything made only of sums. Of none: what no values flow into, as
    `np.zeros_like(X)` before it is summed into. Else of single rows.
    """
    stack = [node]
    while stack:
        current = stack[-1]
        kept = memo(current)
        if kept.made_of is not None:
            stack.pop()
            continue
        parts = set()
        unknown = []
        for edge in raw_edges(current):
            if edge.kind == DIRECT:
                parent = current.inputs[edge.input]
                part = MANY_ROWS if edge.aggregates else memo(parent).made_of
                if part is None:
                    unknown.append(parent)
                parts.add(part)
        if SINGLE_ROWS in parts or current.op is SOURCE:
            kept.made_of = SINGLE_ROWS
        elif unknown:
            stack.extend(unknown)
        else:
            kept.made_of = MANY_ROWS if MANY_ROWS in parts else NO_ROWS
    answer = memo(node).made_of
    return NO_ROWS if answer is None else answer
