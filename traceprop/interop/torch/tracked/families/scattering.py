"""Writing cells into places that an index names: scatter, index_copy, index_add and their like."""

from __future__ import annotations

from typing import Any

import numpy as np

from traceprop.interop.torch.tracked.entries import by_name, define
from traceprop.lineage.graph.edge import CONTROL, Edge, Edges, opaque
from traceprop.lineage.graph.node import Held, Node, make_node, ufunc_method
from traceprop.lineage.graph.template import places, slots
from traceprop.lineage.registry import CONSERVATIVE, rule_of
from traceprop.lineage.rowmap import All, Identity
from traceprop.lineage.rules.row_numbers import moved


def scattered_rows(node: Node) -> Edges:
    """Cells that aren't written stay; run on row numbers, with the index as it was.

    Where an index names a place twice, torch doesn't say which value wins: every row of the values
    then goes into every row.
    """
    options = node.kwargs or {}
    if (
        "reduce" in options
        or options.get("accumulate")
        or any(value is True for value in node.args)
    ):
        return accumulated_rows(node)
    facts = rule_of(node.op)
    places_of_data: tuple[Any, ...] = facts.data
    names = tuple(place for place in places_of_data if isinstance(place, str))
    data = tuple(place for place in places_of_data if isinstance(place, int))
    try:
        maps = moved(node, (*data, *names))
    except LookupError:
        return opaque(node)
    moving = {i for at in data if at < len(node.args) for i in slots(node.args[at])}
    moving |= {i for name in names if name in options for i in slots(options[name])}
    again = _names_a_place_twice(node)
    edges = []
    for i, parent in enumerate(node.inputs):
        whole = All(node.n_rows, parent.n_rows)
        if i not in moving:
            edges.append(Edge(i, whole, CONTROL))
        elif again:
            edges.append(Edge(i, Identity(node.n_rows) if i == 0 else whole))
        else:
            edges.append(Edge(i, maps[i]))
    return edges


def _names_a_place_twice(node: Node) -> bool:
    """Whether an index may hold one place twice, as far as it can be told."""
    kept = [p for p in places((node.args, node.kwargs)) if isinstance(p, Held)]
    arrays = [np.asarray(each.array) for each in kept if each.array is not None]
    numbers = [each for each in arrays if each.dtype.kind in "iu"]
    if not numbers:
        return False
    if len(numbers) > 1 or numbers[0].ndim != 1:
        return True
    index = numbers[0].astype(np.int64)
    dim = by_name(node, "input dim index").get("dim")
    length = node.shape[dim] if isinstance(dim, int) and node.shape else node.n_rows
    return len(np.unique(np.where(index < 0, index + length, index))) != len(index)


def accumulated_rows(node: Node) -> Edges:
    """Each row takes in rows of the values, which ones the index says."""
    edges = [Edge(0, Identity(node.n_rows))]
    index = {p.index for p in places((node.args, node.kwargs)) if isinstance(p, Held)}
    for i, parent in enumerate(node.inputs):
        if i:
            kind = {"kind": CONTROL} if i in index else {"aggregates": True}
            edges.append(Edge(i, All(node.n_rows, parent.n_rows), **kind))
    return edges if slots(node.args[:1]) == [0] else opaque(node)


def added_at_rows(node: Node) -> Edges:
    """`index_add(x, 0, index, source)`: as np.add.at."""
    given = by_name(node, "input dim index source")
    along_rows = isinstance(given.get("dim"), int) and given["dim"] in (0, -len(node.shape))
    if along_rows and isinstance(given.get("index"), Held) and "source" in given:
        at = ufunc_method(np.add, "at")
        args = (given["input"], given["index"], given["source"])
        same = make_node(at, node.inputs, args, None, node.shape, node.dtype)
        if slots(args[:1]) == [0]:
            return rule_of(at).rows(same)
    return accumulated_rows(node)


_FACTS: dict[str, Any] = {"mixes": False, "fresh": True}
define("scatter", "torch: scatter", scattered_rows, data=(0, 3, "src", "value"),
       values=(2, "index"), **_FACTS)  # fmt: skip
define("index_copy", "torch: scatter", scattered_rows, data=(0, 3, "source"),
       values=(2, "index"), **_FACTS)  # fmt: skip
define("index_fill", "torch: scatter", scattered_rows, data=(0, 3, "value"),
       values=(2, "index"), **_FACTS)  # fmt: skip
define("select_scatter slice_scatter diagonal_scatter", "torch: scatter", scattered_rows,
       data=(0, 1, "src"), **_FACTS)  # fmt: skip
define("masked_scatter", "torch: scatter", scattered_rows, data=(0, 2, "source"),
       values=(1, "mask"), **_FACTS)  # fmt: skip
define("index_put", "torch: scatter", scattered_rows, data=(0, 2, "values"),
       values=(1, "indices"), **_FACTS)  # fmt: skip
define("put", "torch: scatter", scattered_rows, data=(0, 2, "source"),
       values=(1, "index"), **_FACTS)  # fmt: skip
define("index_add", "torch: scatter", added_at_rows, values=(2, "index"), mixes=True, fresh=True)
define(
    "scatter_add scatter_reduce index_reduce", "torch: scatter", accumulated_rows,
    values=(2, "index"), mixes=True, fresh=True, status=CONSERVATIVE,
    reason="which rows of the values go where isn't looked up: each row is given all of them",
)  # fmt: skip
