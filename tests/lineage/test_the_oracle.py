"""The oracle that judges all row rules must itself be able to say no."""

from __future__ import annotations

import numpy as np
import pytest

from traceprop.lineage import registry
from traceprop.lineage.graph.edge import Edge, row_by_row
from traceprop.lineage.registry import RowRule
from traceprop.lineage.rowmap import Nothing, Slice, Window
from traceprop.testing import assert_sound

X = np.array([1.0, 2.0, 4.0, 8.0])

WRONG_RULES = {
    np.cumsum: lambda node: row_by_row(node.n_rows),
    np.flip: lambda node: row_by_row(node.n_rows),
    np.sum: lambda node: [Edge(0, Slice(0, 1, 1, 4))],
    np.exp: lambda node: [Edge(0, Nothing(4, 4))],
    np.diff: lambda node: [Edge(0, Window(0, 0, 3, 4))],
    np.unique: lambda node: [Edge(0, Slice(0, 1, 4, 4))],
}


@pytest.mark.parametrize("function", WRONG_RULES)
def test_a_wrong_rule_is_caught(function, monkeypatch):
    assert_sound(function, X)
    rule = RowRule(WRONG_RULES[function], "wrong")
    monkeypatch.setitem(registry._RULES, function, rule)
    monkeypatch.setattr(
        "traceprop.lineage.graph.edges.np.ufunc", type(None)
    )  # no short way round it
    with pytest.raises(AssertionError):
        assert_sound(function, X)


def test_wrong_values_and_lost_lineage_are_caught():
    tensors = []

    def off_by_one_when_tracked(x):
        tensors.append(type(x).__name__)
        return x + float(tensors[-1] == "ProvenanceTensor")

    with pytest.raises(AssertionError):
        assert_sound(off_by_one_when_tracked, X)
    with pytest.raises(AssertionError):
        assert_sound(lambda x: np.array(getattr(x, "_array", x)), X)
