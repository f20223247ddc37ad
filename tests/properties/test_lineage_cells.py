"""Nudge a source cell, and every output cell that changes has it among its cells.

And what came of a source cell is what rests on it: forward and backward give the same pairs.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from traceprop.lineage import ProvenanceTensor
from traceprop.lineage.cells import table
from traceprop.testing import programs
from traceprop.testing.cells import assert_cells_sound, recorded_cells
from traceprop.testing.choices import Choices
from traceprop.testing.generate import draw_program, draw_sources
from traceprop.testing.oracle import track
from traceprop.testing.precision import families
from traceprop.testing.program import run_quietly


def examples(count):
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count, suppress_health_check=checks)


def drawn(seed, families, most_steps):
    """Sources and a program of a plain generator."""
    choices = Choices.seeded(seed)
    arrays = draw_sources(choices)
    return arrays, draw_program(choices, arrays, families, most_steps)


def check_seeded(check, seeds, families=None, most_steps=6):
    """Check programs of a plain generator; a failure names its seed."""
    for seed in seeds:
        arrays, program = drawn(seed, families, most_steps)
        try:
            check(program, arrays)
        except Exception as error:
            error.add_note(f"seed {seed}, sources {arrays!r}, program\n{program}")
            raise


def sound(program, arrays):
    assert_cells_sound(program, *arrays)


@examples(150)
@given(programs(most_steps=6))
def test_programs_of_all_families(drawn_program):
    sound(*drawn_program)


FAMILIES = families()


@pytest.mark.parametrize("family", FAMILIES)
def test_short_programs_of_one_family(family):
    """Few steps of one family, so that no coarse step before hides a wrong one."""
    check_seeded(sound, range(250), [family], most_steps=2)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("family", FAMILIES)
def test_many_programs_of_one_family(family):
    check_seeded(sound, range(250, 3000), [family], most_steps=3)


def both_ways(program, arrays):
    """Ask for what came of each cell of each source, and compare with what rests on it."""
    sources = track(arrays)
    results = run_quietly(program, *(each.copy() for each in sources))
    for result in results:
        if not isinstance(result, ProvenanceTensor):
            continue
        backward = recorded_cells(result, sources)
        forward = np.zeros_like(backward)
        cells = [(each, position) for each in sources for position in np.ndindex(each.shape)]
        for column, (source, position) in enumerate(cells):
            leaf = source.ancestors().leaves[0]
            columns = [position[1:]] if len(position) > 1 else None
            made = leaf.cells([position[0]], columns).descendants(result)
            for at in made:
                place = np.ravel_multi_index(at, result.shape) if result.ndim else 0
                forward[place, column] = True
        assert np.array_equal(forward, backward)


@pytest.mark.parametrize("family", FAMILIES)
def test_forward_is_backward_in_one_family(family):
    check_seeded(both_ways, range(60), [family], most_steps=2)


def test_forward_is_backward_through_programs():
    check_seeded(both_ways, range(120))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_forward_is_backward_through_many_programs():
    check_seeded(both_ways, range(120, 4000))


def test_all_cells_rest_on_what_each_rests_on():
    """Asking for all cells at once and one by one gives the same."""
    for seed in range(60):
        arrays, program = drawn(seed, None, 4)
        for result in run_quietly(program, *track(arrays)):
            if not result.size:
                continue
            for kind in ("direct", "statistic", "control"):
                parts = {}
                for index in np.ndindex(result.shape):
                    for source, cells in getattr(result.cells(index), kind).items():
                        parts.setdefault(str(source), set()).update(cells)
                whole = getattr(result.cells(), kind)
                assert {str(source): set(cells) for source, cells in whole.items()} == parts


def test_a_rule_that_forgets_cells_is_found_out(monkeypatch):
    """The oracle can fail: a sort whose cells stay in place is wrong in nearly every program."""
    sound(np.sort, [np.array([3.0, 1.0, 2.0])])
    monkeypatch.setitem(table._RULES, np.sort, table.rule_for(np.negative))
    with pytest.raises(AssertionError, match=r"cell \(0,\) of result 0 changes with cell \(1,\)"):
        sound(np.sort, [np.array([3.0, 1.0, 2.0])])
