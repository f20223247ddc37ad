"""New arrays in the likeness of others: they take shapes, not values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from traceprop.lineage.graph.edge import Edge, opaque
from traceprop.lineage.graph.node import Node
from traceprop.lineage.graph.template import argument, slots
from traceprop.lineage.recording.calls import call, capture
from traceprop.lineage.recording.tracked import leaf
from traceprop.lineage.registry import CONSERVATIVE, EXACT, handles, implements
from traceprop.lineage.rules.elementwise import aligned
from traceprop.lineage.source import MemorySource


@implements(
    np.zeros_like, np.ones_like, np.empty_like, family="creation", shape_from_values=None
)  # fmt: skip
def shaped_rows(node: Node) -> list[Edge]:
    """No value flows in."""
    return []


@implements(np.full_like, family="creation", shape_from_values=None)
def filled_rows(node: Node) -> list[Edge]:
    """Only the fill value flows in."""
    return [
        Edge(i, aligned(node.inputs[i].shape, node.shape))
        for i in slots(argument(node, 1, "fill_value"))
    ]


@implements(
    np.linspace, np.logspace, np.geomspace,
    family="creation", status=CONSERVATIVE, reason="every point is given both ends",
)  # fmt: skip
def spaced_rows(node: Node) -> list[Edge]:
    """Points between tracked ends."""
    return opaque(node)


@handles(
    np.asarray, np.asanyarray, np.ascontiguousarray, np.asfortranarray, np.array, np.require,
    np.frombuffer, np.fromfile, np.fromiter, np.fromstring, np.fromfunction, np.loadtxt,
    np.genfromtxt, np.zeros, np.ones, np.empty, np.full, np.eye, np.identity, np.tri, np.arange,
    family="creation", status=EXACT,
)  # fmt: skip
def made_like(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`like=X` makes a tensor: where plain values came from isn't known."""
    from traceprop.lineage.tensor import ProvenanceTensor

    captured = capture(args, kwargs)
    if captured.inputs:
        return call(function, args, kwargs)
    array = function(*args, **kwargs)
    source = MemorySource.of(array, None, ())
    source.uri = source.name = f"unknown:{source.uri}"
    return leaf(ProvenanceTensor, array, source, None)
