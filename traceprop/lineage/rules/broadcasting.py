"""Functions of several arrays that give each back in another shape, as views.

Each result shows the memory of one argument, and depends on the others' shapes alone. So each is
recorded by itself: a view has one parent, and a write into that is news to no other result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from traceprop.lineage.graph.edge import Edge
from traceprop.lineage.graph.node import FIRST, Node, Op, make_node
from traceprop.lineage.recording.calls import call
from traceprop.lineage.recording.plain_targets import adopted
from traceprop.lineage.recording.tracked import KIND, Tracked, attach_view, wrap
from traceprop.lineage.registry import handles, implements
from traceprop.lineage.rules.movement import moved_rows
from traceprop.lineage.rules.row_numbers import moved

Function = Callable[..., Any]

BROADCAST: Final = Op("broadcast_arrays", lambda array, shape: np.broadcast_to(array, shape))


@implements(BROADCAST, family="movement")
def broadcast_rows(node: Node) -> list[Edge]:
    """Only the first input's rows are shown; the others had a say in the shape."""
    return [Edge(0, moved(node, (0,))[0])]


@handles(np.broadcast_arrays, family="movement")
def broadcast_arrays(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Broadcast each array to the shape of all; where cells share memory it can only be read."""
    known = [_known(each) for each in args]
    tensors = [each for each in known if isinstance(each, Tracked)]
    plain = [each._array if isinstance(each, Tracked) else each for each in known]
    results: list[Any] = list(function(*plain, **kwargs))
    for place, (each, array) in enumerate(zip(known, results, strict=True)):
        if 0 in array.strides and array.size > 1:
            array.flags.writeable = False  # as NumPy will do too one day
        if isinstance(each, Tracked):
            others = tuple(other.node for other in tensors if other is not each)
            args = (FIRST, array.shape)
            made = make_node(BROADCAST, (each.node, *others), args, None, array.shape, array.dtype)
            results[place] = wrap(type(each), array, made)
            if isinstance(each._array, np.ndarray):
                attach_view(results[place], each)
    return tuple(results)


def _known(value: Any) -> Any:
    """Return the tensor of a plain array that was written into, or of a list with tensors in it."""
    if isinstance(value, np.ndarray):
        known = adopted(value, KIND[0])
        return value if known is None else known
    if isinstance(value, (tuple, list)) and any(isinstance(each, Tracked) for each in value):
        return call(np.asarray, (value,), {})
    return value


implements(np.meshgrid, family="movement", data=tuple(range(32)))(moved_rows)


@handles(np.meshgrid, family="movement")
def meshgrid(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Make grids: copies, or else each a view of its argument."""
    if kwargs.get("copy", True):
        return call(function, args, kwargs)
    axes = list(range(len(args)))
    if kwargs.get("indexing", "xy") == "xy":
        axes[:2] = axes[1::-1]
    grids = [
        np.reshape(each, tuple(-1 if k == axis else 1 for k in range(len(args))))
        for axis, each in zip(axes, args, strict=True)
    ]
    return grids if kwargs.get("sparse") else np.broadcast_arrays(*grids)


implements(np.atleast_1d, np.atleast_2d, family="movement", quiet=True)(moved_rows)
implements(np.atleast_3d, family="movement")(moved_rows)


@handles(np.atleast_1d, np.atleast_2d, np.atleast_3d, family="movement")
def at_least(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """One array after the other."""
    if len(args) == 1:
        return call(function, args, kwargs) if isinstance(args[0], Tracked) else function(args[0])
    return tuple(at_least(function, (each,), kwargs) for each in args)
