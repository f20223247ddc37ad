"""Estimators of scikit-learn on new rows: what they learned is frozen."""

from __future__ import annotations

import numpy as np

from traceprop.interop.sklearn.kinds import HOMES, OPAQUE
from traceprop.lineage.graph.node import Node, make_node, slot
from traceprop.replays.rowwise.alignment import (
    STATISTIC,
    Call,
    NotRowwise,
    Outcome,
    Rows,
    rowwise_named,
)

_OBJECT = np.dtype(object)


@rowwise_named(*HOMES)
def _called(call: Call) -> Outcome:
    """Transform new rows with the fitted estimator; `fit_transform` becomes a transform."""
    node = call.node
    mode, kind, method, _, note, *_ = node.args
    if node.dtype == _OBJECT and not node.shape:
        raise NotRowwise(STATISTIC)  # the fitted estimator itself
    if kind == OPAQUE:
        raise NotRowwise("it isn't known to make each row of its own")
    i, rows = call.main(5)
    if rows.axis != -len(node.inputs[i].shape):
        raise NotRowwise("it takes its rows along another axis")
    made = Rows(rows.order, -len(node.shape))
    if mode == "uses":
        call.others_frozen([i])
        return call.outcome(made)
    if method != "fit_transform":
        raise NotRowwise(f"{method} learns from the very rows that it answers for")
    if node.name == "TargetEncoder":
        raise NotRowwise(
            "fit_transform encodes the rows that it learns from otherwise than new ones; use fit, "
            "then transform"
        )
    fitted = _fitted(node)
    args = ("uses", kind, "transform", slot(1), note, slot(0))
    return Outcome(made, op=node.op, args=args, kwargs={}, inputs=(node.inputs[i], fitted))


def _fitted(node: Node) -> Node:
    """Return the node of the estimator that a `fit_transform` fitted: its second result."""
    return make_node(node.op, node.inputs, node.args, node.kwargs, (), _OBJECT, 1)
