"""Estimators that aren't scikit-learn's: they are given the tensors, as any function would be.

One that keeps to NumPy functions is recorded operation by operation, which is as exact as lineage
gets, and nothing else is to be done. Where values left (`np.asarray`), what comes out and what was
learned may be made of all of them: it rests on every row that went in, and on what was learned
before. Promise: nothing that left is forgotten, whatever the estimator's attributes are called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from traceprop.errors import LineageError
from traceprop.interop.sklearn.described import REFUSED
from traceprop.interop.sklearn.kinds import OPAQUE, is_known
from traceprop.interop.sklearn.record import Record, forget, remember
from traceprop.interop.sklearn.results import RecordedCall
from traceprop.interop.sklearn.steps import FITS, operation_of
from traceprop.lineage.graph.node import Node, slot
from traceprop.lineage.recording.calls import Captured
from traceprop.lineage.recording.escapes import collecting
from traceprop.lineage.recording.tracked import Tracked

COULD_NOT: Final = object()
"""The estimator takes no tensors: it is to be given plain arrays."""

_TAKES_NONE: Final = (TypeError, ValueError, AttributeError, NotImplementedError, BufferError,
                      LineageError)  # fmt: skip


def run_own(
    estimator: Any,
    bound: Callable[..., Any],
    args: Any,
    kwargs: dict[str, Any],
    captured: Captured,
    before: Record | None,
    fits: bool,
) -> Any:
    """Call a method with tensors, and give what left its lineage back.

    Parameters
    ----------
    estimator, bound, args, kwargs
        As for `calls.run`.
    captured : Captured
        The call's arguments, taken apart.
    before : Record or None
        How the estimator was fitted, where plain values were learned then.
    fits : bool
        Whether it learns.

    Returns
    -------
    object
        What the method returned, with tensors for arrays; `COULD_NOT` where it raised.
    """
    import sklearn

    try:
        with collecting() as left, sklearn.config_context(array_api_dispatch=False):
            result = bound(*args, **kwargs)
    except _TAKES_NONE:
        return COULD_NOT
    if not left and before is None:
        return result
    nodes = [*captured.nodes, *(tensor.node for tensor in left), *_nodes_in(result)]
    if before is not None:
        nodes.append(before.fitted())
    inputs = tuple(dict.fromkeys(nodes))
    name = type(estimator).__name__
    description = (REFUSED, f"nobody knows whether {name} learns the same from the same rows")
    template = (FITS, OPAQUE, bound.__name__, description, None, *map(slot, range(len(inputs))))
    arrays = [tensor._array for tensor in captured.inputs]
    operation = operation_of(estimator, is_known)
    call = RecordedCall(operation, inputs, template, None, estimator, arrays)
    wrapped = call.wrapped(result)
    if fits:
        forget(estimator)
        remember(estimator, call.node((), np.dtype(object), call.count), description)
    return wrapped


def _nodes_in(result: Any) -> list[Node]:
    if isinstance(result, Tracked):
        return [result.node]
    if isinstance(result, (tuple, list)):
        return [node for each in result for node in _nodes_in(each)]
    return []
