"""Plain arrays that tracked values were written into, recognised when they come back.

`np.add.at(sums, labels, X)` with a plain `sums` takes values out of the lineage: an escape, and
recorded as one. But such a buffer usually comes back soon, as `sums / counts`, and then it would
be wrong to take it for a constant. So it is remembered, weakly, with the node of what is in it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from traceprop.lineage.graph.node import ONE, Node, Op, make_node
from traceprop.lineage.recording.tracked import Adoption, Tracked, attach_view, wrap

PART: Final = Op("part of a plain array")

ADOPTIONS: Final[dict[int, Adoption]] = {}
"""What is remembered, by the id of the array; empty in programs that never did it."""


def adopt(array: Any, tensor: Tracked) -> None:
    """Remember that the plain `array` holds what `tensor`, made on it, says."""
    key = id(array)
    adoption = ADOPTIONS.get(key)
    if adoption is None:
        forget = weakref.ref(array, lambda _: ADOPTIONS.pop(key, None))
        adoption = ADOPTIONS[key] = Adoption(forget, tensor._made_by())
    adoption.node = tensor._made_by()
    adoption.tensor = weakref.ref(tensor)
    state = tensor._own_state()
    state.adoption = adoption
    state.root.exposed = True


def adopted_as(array: Any, make: Callable[[Any, Node], Any]) -> Any:
    """Return the tensor of a plain array that was itself written into; `make` makes it anew."""
    adoption = ADOPTIONS.get(id(array))
    if adoption is None:
        return None
    tensor = adoption.tensor() if adoption.tensor is not None else None
    if tensor is None:
        tensor = make(array, adoption.node)
        adopt(array, tensor)
    return tensor


def adopted(array: NDArray[Any], kind: type[Tracked]) -> Any:
    """Return the tensor of a plain array that was written into, None for any other."""
    if not ADOPTIONS:
        return None
    known = adopted_as(array, lambda plain, node: wrap(kind, plain, node))
    if known is not None:
        return known
    base = array.base
    if isinstance(base, np.ndarray) and id(base) in ADOPTIONS:
        whole = adopted(base, kind)
        node = make_node(PART, (whole.node,), ONE, None, array.shape, array.dtype)
        part = wrap(kind, array, node)
        attach_view(part, whole)
        return part
    return None
