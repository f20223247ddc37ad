"""Nudge a source row: every output row that changes has it among its dependencies."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, note, settings

from tests.lineage.catalogue import PURE, WRITING
from tests.lineage.programs import Program, programs
from tests.naive.lineage import influenced
from traceprop import lineage
from traceprop.errors import LineageEscapeWarning
from traceprop.lineage import ProvenanceTensor, RowSet
from traceprop.lineage.query import dependencies

# The repository's profile runs 2,000 programs of each kind; TRACEPROP_HYPOTHESIS_PROFILE=long more.
_EXAMPLES = max(2000, settings.default.max_examples)


def check(program: Program) -> None:
    note(repr(program))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", LineageEscapeWarning)
        tensors = [lineage.array(a, name=f"v{k}") for k, a in enumerate(program.inputs)]
        tracked = program.run(tensors)
        plain = program.run([a.copy() for a in program.inputs])
    found = influenced(program.run, program.inputs)
    for k, (tensor, value, changed) in enumerate(zip(tracked, plain, found, strict=True)):
        assert isinstance(tensor, ProvenanceTensor), f"v{k} lost its lineage: {type(tensor)}"
        np.testing.assert_array_equal(lineage.values(tensor), value, strict=True)
        assert type(tensor._array) is type(value)
        n = value.shape[0] if value.ndim else 1
        rests_on = [dependencies(tensor.node, RowSet([i])).all() for i in range(n)]
        for (source, row), mask in changed.items():
            for i in np.flatnonzero(mask):
                assert row in rests_on[i].get(f"v{source}", ()), (
                    f"row {i} of v{k} changes with row {row} of v{source}, but rests on "
                    f"{rests_on[i]}"
                )


@settings(max_examples=_EXAMPLES)
@given(programs(PURE))
def test_pure_programs(program):
    check(program)


@settings(max_examples=_EXAMPLES)
@given(programs(WRITING))
def test_programs_that_write_in_place(program):
    check(program)


@pytest.mark.parametrize("step", sorted(WRITING))
def test_each_step_alone(step):
    @settings(max_examples=60)
    @given(programs({step: WRITING[step], "filtering": WRITING["filtering"]}, max_steps=3))
    def single(program):
        check(program)

    single()
