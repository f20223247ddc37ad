"""Every operation is exact in cells, or is listed as wide with a reason."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lineage.examples import EXAMPLES
from tests.lineage.test_completeness import FUNCTIONS, SOUND, TABLE, UFUNCS, public
from traceprop.lineage.cells.table import rule_for, wideness
from traceprop.lineage.graph.node import Op, ufunc_method
from traceprop.lineage.registry import REFUSED, handler_of, rule_of
from traceprop.testing import assert_cells_sound, cell_precision
from traceprop.testing.program import name_of


def makes_no_node(function) -> bool:
    """Whether calls are refused, answer with shapes, leave, or are made of other operations."""
    kept = TABLE[function]
    if kept.status == REFUSED or kept.family in ("metadata", "doors"):
        return True
    return rule_of(function).family == "unknown" and handler_of(function) is not None


def unanswered(functions):
    return [
        name_of(each)
        for each in functions
        if not makes_no_node(each) and rule_for(each) is None and wideness(each) is None
    ]


def test_every_function_has_a_cell_rule_or_a_reason():
    assert not unanswered(map(public, FUNCTIONS)), "see traceprop/lineage/cells"


def test_every_operation_has_a_cell_rule_or_a_reason():
    # A table's columns have one axis, so that the row maps of its operations are their cell maps.
    operations = [op for op in TABLE if isinstance(op, Op) and rule_of(op).family != "sources"]
    assert not unanswered(operations)
    assert not [each for each in UFUNCS if rule_for(each) is None]
    methods = ("reduce", "accumulate", "reduceat", "outer", "at")
    assert not [each for each in methods if rule_for(ufunc_method(np.add, each)) is None]


def test_no_reason_is_left_over():
    """What is listed as wide is classified at all."""
    from traceprop.lineage.cells import table

    table.load_rules()
    strangers = [name_of(f) for f in table._WIDE if f not in TABLE and f not in UFUNCS]
    # torch's operations, where a test before this one loaded them, have a table of their own.
    known = ("np.", "traceprop.interop.torch.")
    assert not [name for name in strangers if not name.startswith(known)]
    assert all(reason for reason in table._WIDE.values())


@pytest.mark.parametrize("function", SOUND, ids=name_of)
def test_an_example_has_sound_cells(function):
    for example in EXAMPLES[function]:
        assert_cells_sound(example, *example.arrays, finite=example.finite)


NARROW = [f for f in SOUND if wideness(f) is None and not makes_no_node(f)]


@pytest.mark.parametrize("function", NARROW, ids=name_of)
def test_what_is_not_called_wide_is_narrow(function):
    """Much of what the cells name can be seen to matter, by nudges that may miss."""
    found = [cell_precision(e, *e.arrays, finite=e.finite) for e in EXAMPLES[function]]
    shown, recorded = np.sum(found, axis=0)
    assert shown >= recorded / 4, f"{shown} of {recorded}"  # a number is seldom in a short table
