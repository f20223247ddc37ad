"""Nudge a source cell, and every output cell that changes has it among its dependencies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from tests.naive.cells import influenced
from traceprop.lineage import ProvenanceTensor
from traceprop.testing import programs
from traceprop.testing.choices import Choices
from traceprop.testing.generate import draw_program, draw_sources
from traceprop.testing.oracle import track
from traceprop.testing.program import run_quietly


def examples(count):
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count, suppress_health_check=checks)


def recorded(tensor, index, names):
    """(source, position) of each cell among a cell's dependencies, of any kind."""
    return {
        (names[source.name], position)
        for source, cells in tensor.cells(index).items()
        if source.name in names  # another one came in on the way, as by np.ones(3, like=X)
        for position in cells
    }


def check(program, arrays):
    sources = track(arrays)
    names = {f"source {i}": i for i in range(len(arrays))}
    results = run_quietly(program, *(each.copy() for each in sources))
    for result, expected in zip(results, influenced(program, arrays), strict=True):
        if not isinstance(result, ProvenanceTensor):
            continue
        for index, needed in expected.items():
            missing = needed - recorded(result, index, names) if needed else set()
            assert not missing, (
                f"cell {index} of v{[r is result for r in results].index(True)} changes with "
                f"{sorted(missing)}, which are not among its dependencies {result.cells(index)}"
            )


def check_seeded(seeds, families=None, most_steps=6):
    """Check programs of a plain generator; a failure names its seed."""
    for seed in seeds:
        choices = Choices.seeded(seed)
        arrays = draw_sources(choices)
        program = draw_program(choices, arrays, families, most_steps)
        try:
            check(program, arrays)
        except Exception as error:
            error.add_note(f"seed {seed}, sources {arrays!r}, program\n{program}")
            raise


@examples(300)
@given(programs(most_steps=6))
def test_programs_of_all_families(drawn):
    check(*drawn)


FAMILIES = (
    "elementwise", "reduction", "contraction", "scan", "searching", "sets", "sorting", "alltoall",
    "movement", "joining", "indexing", "choosing", "mutators", "methods",
)  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_short_programs_of_one_family(family):
    """Few steps of one family, so that no coarse step before hides a wrong one."""
    check_seeded(range(250), [family], most_steps=2)


def test_all_cells_rest_on_what_each_rests_on():
    """Asking for all cells at once and one by one gives the same."""
    for seed in range(60):
        choices = Choices.seeded(seed)
        arrays = draw_sources(choices)
        program = draw_program(choices, arrays, None, 4)
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


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("family", FAMILIES)
def test_many_programs_of_one_family(family):
    check_seeded(range(250, 3000), [family], most_steps=3)
