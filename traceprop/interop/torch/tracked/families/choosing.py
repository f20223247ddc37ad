"""Indexing, and choosing between values cell by cell."""

from __future__ import annotations

import numpy as np

from traceprop.interop.torch.tracked.entries import define, define_like
from traceprop.lineage.graph.edge import Edges
from traceprop.lineage.graph.node import Held, Node, make_node
from traceprop.lineage.registry import CONSERVATIVE
from traceprop.lineage.rules.indexing import getitem_rows
from traceprop.lineage.rules.mutators import SETITEM, rewritten

_WHY = "a row is given both its candidates"
_BOTH = {"status": CONSERVATIVE, "reason": _WHY, "cells": True}

define_like("where", "choosing", np.where, "condition input other",
            facts={**_BOTH, "shape_from_values": 0})  # fmt: skip
define_like("Tensor.where", "choosing", np.where, "input condition other", order=(1, 0, 2),
            facts=_BOTH)  # fmt: skip
define_like("masked_fill", "choosing", np.where, "input mask value", order=(1, 2, 0), facts=_BOTH)

define("Tensor.__getitem__", "indexing", getitem_rows, values=(1,), shape_from_values=1)


def assigned_rows(node: Node) -> Edges:
    """`x[key] = value`; a key of one part means what it means to NumPy."""
    key = node.args[1]
    if key is Ellipsis or isinstance(key, (int, slice, Held)):
        return rewritten(
            make_node(SETITEM, node.inputs, node.args, node.kwargs, node.shape, node.dtype)
        )
    return rewritten(node)


define("Tensor.__setitem__", "mutators", assigned_rows, values=(1,), written=2)
