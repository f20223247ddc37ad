"""Random programs on files, run again: equal to the recording, and without rows to the program.

What a replay refuses is no failure, but the share of it is bounded, so that refusing everything is
one. The programs know nothing of the rule on row counts, and most of their numbers are small, as
their arrays are: tables of some size are refused far less.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np
import pytest

import traceprop as tp
from tests.replays.stored import load
from traceprop.errors import LineageError
from traceprop.lineage import values
from traceprop.replays.compare import same_bits
from traceprop.testing.choices import Choices
from traceprop.testing.data import NUMBERS, draw_array
from traceprop.testing.generate import MOST_STEPS, draw_program, draw_sources
from traceprop.testing.program import FAILURES, run_quietly


def draw_tables(choices):
    """Draw one or two tables of enough rows that few other numbers are as large."""
    n_rows = choices.pick((13, 17, 12, 19))
    return [
        draw_array(
            choices,
            "float64" if choices.flag() else choices.pick(NUMBERS),
            (n_rows, *choices.pick(((), (2,), (3,)))),
        )
        for _ in range(choices.pick((1, 2, 2)))
    ]


def drawn(seed, draw, most_steps):
    """Return the arrays and the program of a seed; arrays of objects have no bytes for a file."""
    choices = Choices.seeded(seed)
    arrays = draw(choices)
    if any(each.dtype.hasobject or each.dtype.kind == "T" for each in arrays):
        return None
    return arrays, draw_program(choices, arrays, None, most_steps)


def check_whole(folder, seed, draw, most_steps, counts):
    """Replay each variable of a program, and compare it with what was recorded."""
    program = drawn(seed, draw, most_steps)
    if program is None:
        return
    arrays, steps = program
    results = run_quietly(steps, *load(folder, arrays))
    for i, tensor in enumerate(results[len(arrays) :]):
        try:
            found = run_quietly(tp.replay, tensor)
        except LineageError as refused:
            if "can't be replayed: " not in str(refused):
                refused.add_note(f"seed {seed}, result {i}, program\n{steps}")
                raise
            counts["refused"] += 1
            continue
        assert same_bits(values(found), values(tensor)), f"seed {seed} result {i}\n{steps}"
        counts["equal"] += 1


def check_without(folder, seed, draw, most_steps, counts):
    """Replay each variable without random rows, and compare it with the program on the rest."""
    program = drawn(seed, draw, most_steps)
    if program is None:
        return
    arrays, steps = program
    rng = np.random.default_rng(seed)
    gone = [np.flatnonzero(rng.random(len(each)) < 0.3) for each in arrays]
    tensors = load(folder, arrays)
    leaves = [each.ancestors().leaves[0] for each in tensors]
    results = run_quietly(steps, *tensors)
    rest = [np.delete(each, rows, axis=0) for each, rows in zip(arrays, gone, strict=True)]
    try:
        expected = run_quietly(steps, *rest)
    except FAILURES:
        return  # the program doesn't run on fewer rows
    for i, tensor in enumerate(results[len(arrays) :], len(arrays)):
        own = tensor.ancestors().leaves
        gone_of = {s: g for s, g in zip(leaves, gone, strict=True) if s in own and len(g)}
        if not gone_of:
            continue
        try:
            found = values(run_quietly(partial(tp.replay, without=gone_of), tensor))
        except LineageError:
            counts["refused"] += 1
            continue
        wanted = np.asarray(expected[i])
        counts["equal"] += 1
        note = f"seed {seed} result {i}: {found!r}, not {wanted!r}\n{steps}"
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype), note
        if not same_bits(found, wanted):
            counts["last bit"] += 1  # where arrays lie in memory in another order
            assert found.dtype.kind in "fc", note
            assert np.allclose(found, wanted, rtol=1e-9, atol=0, equal_nan=True), note


def shares(counts):
    """Print what was counted, and return the share that was refused."""
    share = counts["refused"] / counts.total()
    print(f"{dict(counts)}: {share:.1%} refused")
    return share


@pytest.mark.filterwarnings("ignore::traceprop.errors.LineageEscapeWarning")
class TestPrograms:
    @pytest.mark.parametrize("draw", [draw_sources, draw_tables])
    def test_a_replay_equals_the_recording(self, tmp_path, draw):
        counts = Counter()
        for seed in range(400):
            check_whole(tmp_path, seed, draw, MOST_STEPS, counts)
        assert shares(counts) < 0.03
        assert counts["equal"] > 2500

    @pytest.mark.parametrize(("draw", "seed"), [
        (draw_sources, 2697), (draw_sources, 2678), (draw_sources, 3549), (draw_tables, 2934),
    ])  # fmt: skip
    def test_programs_that_once_were_refused_or_failed(self, tmp_path, draw, seed):
        counts = Counter()
        check_whole(tmp_path, seed, draw, MOST_STEPS, counts)
        assert counts["equal"]
        assert not counts["refused"]

    @pytest.mark.parametrize(
        ("draw", "most_steps", "most_refused"),
        [(draw_sources, MOST_STEPS, 0.42), (draw_tables, MOST_STEPS, 0.25), (draw_tables, 3, 0.13)],
    )
    def test_without_rows_it_equals_the_program_on_the_rest(
        self, tmp_path, draw, most_steps, most_refused
    ):
        counts = Counter()
        for seed in range(500):
            check_without(tmp_path, seed, draw, most_steps, counts)
        assert shares(counts) < most_refused
        assert counts["last bit"] < 0.02 * counts["equal"]
        assert counts["equal"] > 500

    @pytest.mark.nightly
    @pytest.mark.timeout(3600)
    @pytest.mark.parametrize("draw", [draw_sources, draw_tables])
    def test_many_programs(self, tmp_path, draw):
        counts = Counter()
        for seed in range(1000, 12_000):
            check_whole(tmp_path, seed, draw, MOST_STEPS, counts)
            check_without(tmp_path, seed, draw, MOST_STEPS, counts)
        assert shares(counts) < 0.4
