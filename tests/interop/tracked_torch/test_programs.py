"""The oracles on random torch programs: nudge the sources, and see that the lineage knew."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import HealthCheck, given, settings

import traceprop as tp
from traceprop.errors import LineageError
from traceprop.interop.torch.tracked.ops import op_of
from traceprop.lineage import values
from traceprop.lineage.graph.node import SOURCE, inputs_first
from traceprop.lineage.registry import RowRule, add_rule, rule_of
from traceprop.lineage.rules.elementwise import elementwise_rows
from traceprop.replays.compare import same_bits
from traceprop.testing import assert_cells_sound, assert_sound, torch_programs
from traceprop.testing.choices import Choices
from traceprop.testing.oracle import track
from traceprop.testing.program import run_quietly
from traceprop.testing.torch.generate import draw_torch_program, draw_torch_sources
from traceprop.testing.torch.steps import makers

pytestmark = pytest.mark.filterwarnings("ignore::traceprop.errors.LineageEscapeWarning")
FAMILIES = sorted(makers())


def drawn(seed, families=None, most_steps=12):
    choices = Choices.seeded(seed)
    sources = draw_torch_sources(choices)
    return draw_torch_program(choices, sources, families, most_steps), sources


def check(seeds, families=None, most_steps=12, sound=assert_sound):
    for seed in seeds:
        program, sources = drawn(seed, families, most_steps)
        try:
            sound(program, *sources)
        except Exception as error:
            error.add_note(f"seed {seed}, sources {sources!r}, program\n{program}")
            raise


def test_long_programs():
    check(range(40))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(torch_programs())
def test_programs_of_hypothesis(drawn_program):
    program, sources = drawn_program
    assert_sound(program, *sources)


@pytest.mark.parametrize("family", FAMILIES)
def test_short_programs_of_one_family(family):
    check(range(20), [family], 3)


def test_cells_of_short_programs():
    for family in FAMILIES:
        check(range(6), [family], 2, assert_cells_sound)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(1000, 11_000, 2500))
def test_many_programs(first):
    check(range(first, first + 2500))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("family", FAMILIES)
def test_many_programs_of_one_family(family):
    check(range(1000, 4000), [family], 3)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_cells_of_many_programs():
    check(range(1000, 2500), None, 4, assert_cells_sound)


def test_the_oracle_sees_a_wrong_rule():
    """A cumulative sum whose rows were said to be its own."""
    op = op_of(torch.cumsum)
    right = rule_of(op)
    add_rule(op, RowRule(elementwise_rows, "elementwise"))
    try:
        with pytest.raises(AssertionError, match="not among its dependencies"):
            check(range(200), ["lines"], 2)
    finally:
        add_rule(op, right)


def test_replays_equal_the_recording():
    """Each variable, run again from its sources; what is refused is refused by name."""
    counts: Counter[str] = Counter()
    for seed in range(25):
        program, arrays = drawn(seed)
        sources = track(arrays)
        results = run_quietly(program, *(each.copy() for each in sources))
        given = {f"source {i}": each for i, each in enumerate(arrays)}
        for result in results[len(arrays) :]:
            own = {str(leaf.args[0]): given[str(leaf.args[0])] for leaf in source_nodes(result)}
            try:
                found = run_quietly(lambda tensor, own=own: tp.replay(tensor, sources=own), result)
            except LineageError as refused:
                counts["refused" if "can't be replayed: " in str(refused) else str(refused)] += 1
                continue
            counts["equal"] += 1
            assert type(found) is type(result)
            assert same_bits(values(found), values(result)), f"seed {seed}\n{program}"
    assert set(counts) <= {"refused", "equal"}, counts
    assert counts["refused"] < 0.25 * counts.total()
    assert counts["equal"] > 150


def source_nodes(tensor):
    return [node for node in inputs_first(tensor.node) if node.op is SOURCE]


def test_what_is_saved_answers_alike(tmp_path):
    for seed in range(12):
        program, arrays = drawn(seed)
        results = run_quietly(program, *track(arrays))
        tp.save_lineage(tmp_path / "lineage.arrow", *results)
        loaded = tp.load_lineage(tmp_path / "lineage.arrow")
        for tensor, node in zip(results, loaded.roots, strict=True):
            again = type(tensor).__new__(type(tensor))
            again._array, again._node = tensor._array, node
            again._state = again._reuse = None
            assert told(again) == told(tensor), f"seed {seed}\n{program}"


def told(tensor):
    """Dependencies by kind, with sources by name."""
    found = tensor.dependencies()
    return [
        {str(source): list(rows) for source, rows in getattr(found, kind).items()}
        for kind in ("direct", "statistic", "control")
    ]
