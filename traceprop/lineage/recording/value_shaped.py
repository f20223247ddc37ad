"""Whether values decided how many rows a tensor has, or of what type they are.

That is a property of its memory and stays when `out=` fills it with something else: what a number
written into `x[x > 0]` sums up to still depends on the mask. So such a write keeps the old node,
for its shape alone; of an ordinary buffer it lets go, which may be written a million times.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from traceprop.lineage.graph.node import Node
from traceprop.lineage.recording.tracked import Tracked
from traceprop.lineage.registry import rule_of

_NODES: Final = 32  # how far a look goes; beyond that, the answer is yes


def is_value_shaped(tensor: Tracked) -> bool:
    """Whether values may have decided the tensor's shape or type; looked up once for a tensor."""
    state = tensor._own_state()
    if state.value_shaped is None:
        state.value_shaped = _may_be(tensor._made_by())
    return state.value_shaped


def _may_be(node: Node) -> bool:
    seen = {node}
    stack = [node]
    while stack:
        current = stack.pop()
        first = rule_of(current.op).shape_from_values
        if first is not None and len(current.inputs) > first and type(current.op) is not np.ufunc:
            return True
        new = [parent for parent in current.inputs if parent not in seen]
        seen.update(new)
        stack.extend(new)
        if len(seen) > _NODES:
            return True
    return False
