"""One recorded call of an estimator, and the nodes of what came out of it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from traceprop.interop.sklearn.steps import as_array
from traceprop.lineage.graph.node import Node, make_node
from traceprop.lineage.recording.escapes import escape
from traceprop.lineage.recording.tracked import KIND, Tracked, wrap

_HARMLESS: Final = (type(None), bool, str, int)


class RecordedCall:
    """One recorded call, and the nodes of its results."""

    def __init__(
        self,
        operation: Any,
        inputs: tuple[Node, ...],
        template: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        estimator: Any,
        arguments: list[Any],
    ) -> None:
        self._arguments = arguments
        self._operation = operation
        self._inputs = inputs
        self._template = template
        self._kwargs = kwargs
        self._estimator = estimator
        self.count = 0

    def node(self, shape: Any, dtype: Any, item: int) -> Node:
        """Return the node of result number `item`."""
        return make_node(
            self._operation, self._inputs, self._template, self._kwargs, shape, dtype, item
        )

    def wrapped(self, result: Any) -> Any:
        """Return the call's result with tensors for arrays and floats."""
        if isinstance(result, (np.ndarray, np.generic, float, Tracked)):
            plain = result._array if isinstance(result, Tracked) else as_array(result)
            array = _own_memory(plain, self._estimator, self._arguments)
            made = wrap(KIND[0], array, self.node(array.shape, array.dtype, self.count))
            self.count += 1
            return made
        if isinstance(result, (tuple, list)):
            kind = type(result)
            parts = [self.wrapped(each) for each in result]
            return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
        if result is not self._estimator and not isinstance(result, _HARMLESS):
            leave(self._inputs[0], self._estimator, self._template[2], result)
        return result


def leave(node: Node, estimator: Any, what: str, result: Any) -> None:
    """Say that something other than an array came out of an estimator."""
    then = "what is made from them has no sources"
    kind = type(result).__name__
    if hasattr(result, "toarray"):
        then += "; a dense result keeps its rows (sparse_output=False, sparse_threshold=0)"
    elif kind == "DataFrame":
        then += "; with set_output(transform='default') they keep their rows"
    escape(wrap(KIND[0], np.float64(0), node), f"{type(estimator).__name__}.{what} as {kind}", then)


def _own_memory(array: Any, estimator: Any, arguments: list[Any]) -> Any:
    """Return a result with memory of its own: not an argument's, nor what the estimator keeps."""
    if not isinstance(array, np.ndarray):
        return array
    others = [*arguments, *vars(estimator).values()]
    shared = not array.flags.writeable or any(
        isinstance(other, np.ndarray) and np.may_share_memory(array, other) for other in others
    )
    return array.copy(order="K") if shared else array
