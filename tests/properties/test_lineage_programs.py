"""Nudge a source row, and every output row that changes has it among its dependencies.

Random programs of up to twelve NumPy calls run on plain and on tracked arrays. Values must be equal
to the bit, nothing may leave the lineage, and what a nudge changes must be in the lineage.
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings

from traceprop.lineage import load_lineage, save_lineage
from traceprop.lineage.answers.forward import descendants
from traceprop.lineage.answers.query import dependencies
from traceprop.lineage.rowset import RowSet
from traceprop.testing import assert_sound, programs
from traceprop.testing.choices import Choices
from traceprop.testing.data import draw_shape
from traceprop.testing.generate import MOST_STEPS, draw_program, draw_sources
from traceprop.testing.oracle import recorded, track
from traceprop.testing.program import name_of, run_quietly
from traceprop.testing.steps import makers


def examples(count: int) -> settings:
    """Run `count` programs; arrays of 0 rows and many short draws are wanted here."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count, suppress_health_check=checks)


@examples(700)
@given(programs())
def test_programs_of_all_families(drawn):
    program, sources = drawn
    event(f"{len(program.steps)} steps")
    assert_sound(program, *sources)


def check_seeded(seeds, families=None, most_steps=MOST_STEPS):
    """Longer and more varied than what hypothesis draws; a failure names its seed."""
    for seed in seeds:
        choices = Choices.seeded(seed)
        sources = draw_sources(choices)
        program = draw_program(choices, sources, families, most_steps)
        try:
            assert_sound(program, *sources)
        except Exception as error:
            error.add_note(f"seed {seed}, sources {sources!r}, program\n{program}")
            raise


@pytest.mark.parametrize("first", range(0, 3000, 500))
def test_seeded_programs(first):
    check_seeded(range(first, first + 500))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(3000, 43_000, 10_000))
def test_many_seeded_programs(first):
    check_seeded(range(first, first + 10_000))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("family", makers())
def test_many_short_programs_of_one_family(family):
    check_seeded(range(10_000), [family], most_steps=2)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@settings(max_examples=20_000, suppress_health_check=list(HealthCheck))
@given(programs())
def test_many_programs(drawn):
    program, sources = drawn
    assert_sound(program, *sources)


@examples(500)
@given(programs(["mutators", "mutators", "indexing", "movement", "elementwise", "reduction"]))
def test_programs_that_write(drawn):
    program, sources = drawn
    assert_sound(program, *sources)


FAMILIES = {
    "elementwise": 60, "reduction": 100, "contraction": 70, "scan": 60, "searching": 60,
    "sets": 50, "sorting": 50, "alltoall": 60, "movement": 100, "joining": 60, "indexing": 100,
    "choosing": 40, "mutators": 100, "methods": 40, "aliasing": 80, "structured": 60,
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_short_programs_of_one_family(family):
    """Few steps of one family, so that no coarse step before hides a wrong one."""

    @examples(FAMILIES[family])
    @given(programs([family], most_steps=3))
    def check(drawn):
        program, sources = drawn
        assert_sound(program, *sources)

    check()


@examples(150)
@given(programs())
def test_forward_answers_are_backward_answers_turned_round(drawn):
    """Row r descends to output row i if and only if output row i depends on row r."""
    program, arrays = drawn
    sources = track(arrays)
    results = run_quietly(program, *(each.copy() for each in sources))
    start = 0
    for array, tensor in zip(arrays, sources, strict=True):
        source = tensor.ancestors().leaves[0]
        for result in results:
            pairs = recorded(result, sources)
            for row in range(len(array)):
                found = descendants(result.node, source, RowSet([row]))
                assert list(found) == np.flatnonzero(pairs[:, start + row]).tolist()
        start += len(array)


@examples(150)
@given(programs())
def test_the_whole_depends_on_what_its_rows_depend_on(drawn):
    """Asking for all rows at once, and row by row, and as written-out origins, gives the same."""
    program, arrays = drawn
    sources = track(arrays)
    for result in run_quietly(program, *(each.copy() for each in sources)):
        node = result.node
        one_by_one = [dependencies(node, RowSet([i])) for i in range(node.n_rows)]
        together = result.dependencies()
        for kind in ("direct", "statistic", "control"):
            whole = {str(s): set(rows) for s, rows in getattr(together, kind).items()}
            parts: dict[str, set[int]] = {}
            for each in one_by_one:
                for source, rows in getattr(each, kind).items():
                    parts.setdefault(str(source), set()).update(rows)
            if node.n_rows:
                assert whole == parts
        for origin in result.ancestors().origins():
            for i, each in enumerate(one_by_one):
                rows = origin.rows[origin.indptr[i] : origin.indptr[i + 1]]
                assert list(each.direct.get(origin.source, ())) == rows.tolist()


def test_direct_rows_hold_what_was_moved():
    """Cells that are their row's number, moved about: a number found in a row came from there."""
    for seed in range(500):
        choices = Choices.seeded(seed)
        shapes = [draw_shape(choices, choices.pick((4, 3, 5, 1))) for _ in range(2)]
        arrays = [_numbered(shape, 1000 * (k + 1)) for k, shape in enumerate(shapes)]
        program = draw_program(choices, arrays, ["movement", "joining", "indexing"])
        if any(name_of(step.function) == "np.pad" for step in program.steps):
            continue  # which makes numbers of its own
        plain = run_quietly(program, *(each.copy() for each in arrays))
        tracked = run_quietly(program, *track(arrays))
        for values, tensor in zip(plain, tracked, strict=True):
            for i, row in enumerate(np.atleast_1d(values)):
                numbers = {int(cell) for cell in np.ravel(row) if cell >= 1000}
                direct = dependencies(tensor.node, RowSet([i])).direct
                named = {
                    1000 * (k + 1) + row for k in range(2) for row in direct.get(f"source {k}", ())
                }
                assert numbers <= named, f"seed {seed}\n{program}"


def _numbered(shape, first):
    rows = first + np.arange(shape[0]).reshape((-1,) + (1,) * (len(shape) - 1))
    return np.broadcast_to(rows, shape).copy()


def all_dependencies(node):
    """Every row's dependencies, by kind, with sources by name."""
    answers = []
    for i in range(node.n_rows):
        found = dependencies(node, RowSet([i]))
        answers.append(
            [
                {str(source): list(rows) for source, rows in getattr(found, kind).items()}
                for kind in ("direct", "statistic", "control")
            ]
        )
    return answers


@examples(120)
@given(programs())
def test_what_is_saved_or_pickled_answers_alike(tmp_path_factory, drawn):
    program, arrays = drawn
    results = run_quietly(program, *track(arrays))
    path = tmp_path_factory.getbasetemp() / "lineage.arrow"
    save_lineage(path, *results)
    loaded = load_lineage(path)
    assert len(loaded.roots) == len(results)
    for tensor, node in zip(results, loaded.roots, strict=True):
        expected = all_dependencies(tensor.node)
        assert all_dependencies(node) == expected
        copied = pickle.loads(pickle.dumps(tensor))  # noqa: S301 - our own bytes
        assert all_dependencies(copied.node) == expected
