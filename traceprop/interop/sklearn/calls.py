"""A call of an estimator on tracked rows: run on plain arrays, recorded as one operation.

Promise: nothing escapes. What goes in is an input of the operation, what comes out has its node,
and what stays in the estimator is remembered on it: read from outside, ``scaler.mean_`` is a
tensor. The estimator can't write into the rows: it gets them read-only, or works on a copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from traceprop.interop.array_api.creation import unknown
from traceprop.interop.sklearn.described import REFUSED, described
from traceprop.interop.sklearn.kinds import STATELESS, is_known, kind_of, takes_tensors
from traceprop.interop.sklearn.record import Record, forget, record_of, remember
from traceprop.interop.sklearn.scope import inside, is_librarys
from traceprop.interop.sklearn.steps import (
    FITS,
    GOES_ON,
    LEARNED,
    USES,
    as_array,
    boxed,
    operation_of,
)
from traceprop.lineage.graph.node import FIRST, Node, make_node, slot
from traceprop.lineage.recording.calls import capture
from traceprop.lineage.recording.escapes import escape
from traceprop.lineage.recording.tracked import KIND, Tracked, wrap

_HARMLESS: Final = (type(None), bool, str, int)
_OBJECT: Final = np.dtype(object)
_CHANGED: Final = (REFUSED, "its parameters were set anew after it was fitted")


def run(
    estimator: Any, method: str, bound: Callable[..., Any], args: Any, kwargs: dict[str, Any]
) -> Any:
    """Call a method of an estimator, and record it where rows are tracked.

    Parameters
    ----------
    estimator : scikit-learn estimator
    method : str
    bound : callable
        The method itself.
    args, kwargs
        Of the call.
    """
    if not args and "X" in kwargs:
        args, kwargs = (kwargs["X"],), {name: v for name, v in kwargs.items() if name != "X"}
    captured = capture(args, kwargs)
    fits = method.startswith(("fit", "partial_fit"))
    before = record_of(estimator)
    if not captured.inputs and (before is None or is_librarys(2)):
        if fits:
            forget(estimator)
        return bound(*args, **kwargs)
    if captured.inputs and takes_tensors(estimator):
        return bound(*args, **kwargs)
    goes_on = method == "partial_fit" and before is not None
    if fits and not goes_on:
        forget(estimator)
        if not captured.inputs:
            return bound(*args, **kwargs)
    kind = kind_of(estimator, method)
    if kind == STATELESS and not captured.inputs:
        return bound(*args, **kwargs)
    plain = {id(tensor._array): _read_only(tensor) for tensor in captured.inputs}
    with inside():
        result = bound(*_replaced(captured.args, plain), **_replaced(captured.kwargs, plain))
        operation = operation_of(estimator, is_known)
        rows = captured.nodes[0].n_rows if captured.nodes else 0
        description = described(estimator, rows) if fits or before is None else before.description
        changed = not fits and before is not None and _was_set(estimator, before)
    if fits and not goes_on:
        mode, of, inputs = FITS, description, captured.nodes
    elif kind == STATELESS:  # whatever it was fitted on
        mode, of, inputs = USES, described(estimator, 0), captured.nodes
    elif before is not None or not _is_unfitted(estimator):
        mode = GOES_ON if goes_on else USES
        of, inputs = slot(len(captured.nodes)), (*captured.nodes, _fitted(estimator, before))
    else:
        mode, of, inputs = USES, description, captured.nodes
    changed = changed and kind != STATELESS
    template = (mode, kind, method, of, _CHANGED if changed else None, *captured.template)
    call = _Call(operation, inputs, template, captured.template_kwargs, estimator,
                 list(plain.values()))  # fmt: skip
    wrapped = call.wrapped(result)
    if fits:
        remember(estimator, call.node((), _OBJECT, call.count), description)
    return wrapped


def _was_set(estimator: Any, record: Record) -> bool:
    """Whether an estimator's parameters are others than when it was fitted."""
    before = record.description
    if before is None or before[0] == REFUSED:
        return False
    return not _alike(described(estimator, 0), before)


class _Call:
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
        if isinstance(result, (np.ndarray, np.generic, float)):
            array = _own(as_array(result), self._estimator, self._arguments)
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


def learned(estimator: Any, name: str, value: Any) -> Any:
    """Return what an estimator learned as a tensor, for whoever reads it from outside."""
    record = record_of(estimator)
    if record is None:
        return value
    return _learned(value, record, (*record.path, ("attribute", name)), estimator)


def _learned(value: Any, record: Record, path: Any, estimator: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic, float)) and not isinstance(value, np.void):
        array = as_array(value)
        if isinstance(array, np.ndarray):
            array = array.view()
            array.flags.writeable = False
        node = make_node(LEARNED, (record.node,), (FIRST, path), None, array.shape, array.dtype)
        return wrap(KIND[0], array, node)
    if type(value) in (list, tuple):
        return type(value)(
            _learned(each, record, (*path, ("item", i)), estimator) for i, each in enumerate(value)
        )
    if type(value) is dict:
        return {
            key: _learned(each, record, (*path, ("item", key)), estimator)
            for key, each in value.items()
        }
    if hasattr(value, "toarray"):
        leave(record.node, estimator, path[-1][1], value)
    return value


def _fitted(estimator: Any, record: Record | None) -> Node:
    """Return the node of the fitted estimator; of one fitted out of sight, a source that says so.

    Plain rows that it was fitted on may have been tracked ones.
    """
    if record is not None:
        return record.fitted()
    tensor = unknown(boxed(type(estimator).__name__))
    source = tensor.node.args[0]
    source.uri = source.name = f"{source.uri}, {type(estimator).__name__} fitted out of sight"
    node: Node = tensor.node
    return node


def _is_unfitted(estimator: Any) -> bool:
    """Whether an estimator has learned nothing, as a `Normalizer` that needs no fit."""
    from traceprop.interop.sklearn.record import learned_in, parts

    return not any(learned_in(part.estimator) for part in parts(estimator))


def _read_only(tensor: Tracked) -> Any:
    array = tensor._array
    if not isinstance(array, np.ndarray):
        return array
    view = array.view()
    view.flags.writeable = False
    return view


def _replaced(value: Any, arrays: dict[int, Any]) -> Any:
    """Return arguments with the arrays of tensors replaced."""
    if id(value) in arrays:
        return arrays[id(value)]
    if type(value) in (tuple, list):
        return type(value)(_replaced(each, arrays) for each in value)
    if type(value) is dict:
        return {name: _replaced(each, arrays) for name, each in value.items()}
    return value


def _own(array: Any, estimator: Any, arguments: list[Any]) -> Any:
    """Return a result with memory of its own: not an argument's, nor what the estimator keeps."""
    if not isinstance(array, np.ndarray):
        return array
    others = [*arguments, *vars(estimator).values()]
    shared = not array.flags.writeable or any(
        isinstance(other, np.ndarray) and np.may_share_memory(array, other) for other in others
    )
    return array.copy(order="K") if shared else array


def _alike(one: Any, other: Any) -> bool:
    """Whether two descriptions say the same."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return type(one) is type(other) and np.array_equal(one, other)
    if type(one) in (tuple, list) and type(one) is type(other):
        return len(one) == len(other) and all(map(_alike, one, other))
    if type(one) is dict and type(other) is dict:
        return one.keys() == other.keys() and all(_alike(one[k], other[k]) for k in one)
    return type(one) is type(other) and (one == other or (one != one and other != other))
