"""Short ways leave the same record as the general one, and say of memory what is so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import traceprop as tp
from traceprop.interop.torch.tracked import calls, members, tensor, writes
from traceprop.interop.torch.tracked.ops import OPS, op_of
from traceprop.lineage.graph.node import Constant, Held, flat
from traceprop.testing.choices import Choices
from traceprop.testing.oracle import track
from traceprop.testing.program import run_quietly
from traceprop.testing.torch.generate import draw_torch_program, draw_torch_sources

from .test_calls import CALLS

pytestmark = pytest.mark.filterwarnings("ignore::traceprop.errors.LineageEscapeWarning")
JOINS = (torch.cat, torch.concat, torch.concatenate)


@pytest.fixture
def general(monkeypatch):
    """Take every call the general way, from when it is called on."""

    def begin():
        for module in (calls, members, tensor, writes):
            monkeypatch.setattr(module, "is_simple", lambda rest, kwargs: False)
        monkeypatch.setattr(calls, "WAYS", [lambda op, kinds: None])
        for op in OPS.values():
            op.ways.clear()
        for join in JOINS:
            monkeypatch.setattr(op_of(join), "handler", calls.call)

    return begin


def alike(one, other):
    """Whether two parts of templates say the same."""
    if isinstance(one, Held):
        return (
            isinstance(other, Held) and one.index == other.index and alike(one.array, other.array)
        )
    if isinstance(one, (np.ndarray, Constant)):
        return np.array_equal(np.asarray(one), np.asarray(other))
    if isinstance(one, (tuple, list)):
        if not isinstance(other, (tuple, list)) or len(one) != len(other):
            return False
        return all(map(alike, one, other))
    if isinstance(one, dict):
        return set(one) == set(other) and all(alike(one[k], other[k]) for k in one)
    return one is other or bool(one == other) or (one != one and other != other)


def records(results):
    """What was recorded of each tracked result, as plain tuples."""
    return [flat(each.node) for each in results]


def test_random_programs_are_recorded_alike_both_ways(general):
    drawn = []
    for seed in range(60):
        choices = Choices.seeded(seed)
        arrays = draw_torch_sources(choices)
        drawn.append((draw_torch_program(choices, arrays, None, 12), track(arrays)))

    def run():
        found = []
        for program, sources in drawn:
            torch.manual_seed(0)
            found.append(records(run_quietly(program, *(each.copy() for each in sources))))
        return found

    short = run()
    taken = sum(way is not None for op in OPS.values() for way in op.ways.values())
    assert taken > 20
    general()
    for (program, _), one, other in zip(drawn, short, run(), strict=True):
        assert alike(one, other), program


INDEX = torch.tensor([2, 0])
SHORT = {
    "where": lambda x: torch.where(x > 1, x, 0.0),
    "where of three": lambda x: torch.where(x > 1, x, x * 2),
    "Tensor.where": lambda x: x.where(x > 1, 0.0),
    "masked_fill": lambda x: x.masked_fill(x > 1, 0.0),
    "index_select": lambda x: x.index_select(0, INDEX),
    "index_select by function": lambda x: torch.index_select(x, 0, INDEX),
    "masked_select": lambda x: torch.masked_select(x, torch.tensor([True, False, True, False])),
    "lerp": lambda x: torch.lerp(x, x + 1, 0.5),
    "maximum": lambda x: torch.maximum(x, x.flip(0)),
    "cat": lambda x: torch.cat([x, x]),
    "cat along": lambda x: torch.cat((x[None], x[None]), 1),
    "add_": lambda x: x.clone().add_(2),
    "clamp_": lambda x: x.clone().clamp_(0, 2),
    "fill_": lambda x: x.clone().fill_(2),
    "softmax": lambda x: torch.softmax(x, 0),
    "sort": lambda x: torch.sort(x, 0)[0],
    "add of three": lambda x: x.add(x, alpha=2),
    "index_add": lambda x: x.index_add(0, INDEX, x[:2]),
    "scatter": lambda x: x.scatter(0, INDEX, x[:2]),
}


@pytest.mark.parametrize("name", SHORT)
def test_a_call_is_recorded_alike_both_ways(name, general):
    x = tp.array(torch.tensor([3.0, 1.0, 2.0, 5.0]), name="x")
    SHORT[name](x)  # ways are kept from the second call on
    one = SHORT[name](x)
    general()
    other = SHORT[name](x)
    assert alike(records([one]), records([other]))
    assert torch.equal(one._array, other._array)


def test_an_index_that_is_written_afterwards_was_copied():
    x, index = tp.array(torch.arange(4.0), name="x"), torch.tensor([3, 1])
    picked = x.index_select(0, index)
    index[:] = 0
    (rows,) = picked.sources().values()
    assert list(rows) == [1, 3]


def test_a_target_without_its_own_write_is_spoilt_by_one_that_raises():
    x = tp.array(torch.arange(4.0), name="x")
    before = x.node
    with pytest.raises(RuntimeError):
        x.bitwise_and_(1)
    assert x.node is not before


@pytest.mark.parametrize("name", CALLS)
def test_what_is_said_to_be_fresh_shares_no_memory(name, monkeypatch):
    """A view that nobody knows of would keep its old rows when its parent is written."""
    array, call = CALLS[name]
    x = tp.array(torch.as_tensor(array).clone(), name="x")
    memory = x._array.untyped_storage().data_ptr()
    found = call(x)
    for each in found if isinstance(found, (tuple, list)) else [found]:
        if getattr(each.node.op, "fresh", False) and each.node.inputs == (x.node,):
            assert each._array.untyped_storage().data_ptr() != memory


@pytest.mark.parametrize("rule", ["ij->ji", "ij->ij"])
def test_einsum_gives_views(rule):
    x = tp.array(torch.ones(2, 3), name="x")
    other = tp.array(torch.zeros(3), name="other")
    seen = torch.einsum(rule, x)
    x[0] = other
    assert "other" in map(str, seen.sources())
