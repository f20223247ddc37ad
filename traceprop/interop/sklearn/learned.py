"""What an estimator learned: its node, and tensors for whoever reads it from outside."""

from __future__ import annotations

from typing import Any

import numpy as np

from traceprop.interop.array_api.creation import unknown
from traceprop.interop.sklearn.record import Record, learned_in, parts, record_of
from traceprop.interop.sklearn.results import leave
from traceprop.interop.sklearn.steps import LEARNED, as_array, boxed
from traceprop.lineage.graph.node import FIRST, Node, make_node
from traceprop.lineage.recording.tracked import KIND, wrap


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


def fitted_node(estimator: Any, record: Record | None) -> Node:
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


def is_unfitted(estimator: Any) -> bool:
    """Whether an estimator has learned nothing, as a `Normalizer` that needs no fit."""
    return not any(learned_in(part.estimator) for part in parts(estimator))


def fitted_before(estimator: Any) -> list[Node]:
    """Return the nodes of estimators in this one that its fit leaves as they are.

    Those are what `FrozenEstimator` holds, and the models of ``prefit=True`` and ``cv="prefit"``.
    """
    found = []
    for part in parts(estimator):
        own = part.estimator
        prefit = getattr(own, "prefit", False) is True or getattr(own, "cv", None) == "prefit"
        if type(own).__name__ == "FrozenEstimator" or prefit:
            inner = own.estimator
            found.append(fitted_node(inner, record_of(inner)))
    return found
