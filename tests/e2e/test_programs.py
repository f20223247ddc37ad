"""Programs as users write them: the same values, the rows that a plain reading says, and soundness.

The programs of tests/e2e/programs.py run on plain arrays and on tensors. Values are equal to the
bit, direct rows are those of the slow oracle in tests/naive/programs.py, and no nudge of a source
row changes an output row that doesn't depend on it.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.e2e.programs import PROGRAMS
from tests.naive.programs import ORACLES
from traceprop.lineage import origins, strict
from traceprop.testing import assert_same_values, assert_sound
from traceprop.testing.oracle import track


def tables_of(program, seed=0):
    return program.tables(np.random.default_rng(seed))


def oracle_of(program, tables):
    """What a plain reading says; the bootstrap's draws are part of what it reads."""
    extra = []
    if program.name == "bootstrap":
        rng = np.random.default_rng(7)
        n = len(tables[0])
        extra = [[rng.integers(0, n, size=n).tolist() for _ in range(4)]]
    return ORACLES[program.name](*(table.tolist() for table in tables), *extra)


def direct_rows(tensor):
    """For each output row the (table, row) pairs whose values flow in."""
    rows = [set() for _ in range(tensor.node.n_rows)]
    for origin in origins(tensor):
        table = int(str(origin.source).removeprefix("source "))
        for i, found in enumerate(rows):
            own = origin.rows[origin.indptr[i] : origin.indptr[i + 1]]
            found.update((table, int(row)) for row in own)
    return rows


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_values_are_equal_and_rows_are_right(program, seed):
    tables = tables_of(program, seed)
    plain = program.run(*(table.copy() for table in tables))
    with strict():
        tracked = program.run(*track(tables))
    assert_same_values(plain, tracked)
    expected = oracle_of(program, tables)
    assert expected.keys() == tracked.keys()
    for name, tensor in tracked.items():
        assert direct_rows(tensor) == expected[name], name


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_no_nudge_changes_what_does_not_depend_on_it(program):
    assert_sound(program.run, *tables_of(program), finite=program.name == "principal_components")
