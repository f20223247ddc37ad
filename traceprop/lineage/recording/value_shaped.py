"""Whether values decided how many rows a tensor has, or of what type they are.

That is a property of its memory and stays when `out=` fills it with something else: what a number
written into `x[x > 0]` sums up to still hangs on the mask. So such a write keeps the old node, for
its shape alone; of an ordinary buffer it lets go, which may be written a million times.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from traceprop.lineage.graph.node import Node
from traceprop.lineage.recording.tracked import Tracked

_NODES: Final = 32  # how far a look goes; beyond that, the answer is yes
_SHAPED_LIKE: Final = frozenset({np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.copy})


def hangs_on_values(tensor: Tracked) -> bool:
    """Whether values may have decided the tensor's shape or type; looked up once for a tensor."""
    state = tensor._own_state()
    if state.hangs is None:
        state.hangs = _may_hang(tensor.node)
    return state.hangs


def _may_hang(node: Node) -> bool:
    seen = {node}
    stack = [node]
    while stack:
        current = stack.pop()
        one_input = len(current.inputs) < 2  # a view by plain numbers and slices, or a leaf
        plain = isinstance(current.op, np.ufunc) or current.op in _SHAPED_LIKE
        if not plain and not (one_input and current.name in ("getitem", "source", "astype")):
            return True
        new = [parent for parent in current.inputs if parent not in seen]
        seen.update(new)
        stack.extend(new)
        if len(seen) > _NODES:
            return True
    return False
