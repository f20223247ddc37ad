"""The short way for `np.concatenate` of tensors: the join that programs do most.

Its row rule is that of all movement; here is only how the call is executed, without looking at
every argument for everything it could be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from traceprop.lineage.graph.node import SLOTS, Node, make_node
from traceprop.lineage.recording.calls import call
from traceprop.lineage.recording.tracked import KIND, wrap
from traceprop.lineage.registry import handles


@handles(np.concatenate, family="movement")
def concatenate(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Join tensors along axis 0; anything more goes the general way."""
    if kwargs or len(args) != 1 or type(args[0]) not in (tuple, list):
        return call(function, args, kwargs)
    kind = KIND[0]
    parts = args[0]
    arrays: list[Any] = []
    nodes: list[Node] = []
    for part in parts:
        if type(part) is not kind:
            return call(function, args, kwargs)
        arrays.append(part._array)
        nodes.append(part._node if part._state is None else part.node)
    if len(nodes) > len(SLOTS):
        return call(function, args, kwargs)
    joined = function(arrays)
    template = (SLOTS[: len(nodes)],)
    node = make_node(function, tuple(nodes), template, None, joined.shape, joined.dtype)
    return wrap(kind, joined, node)
