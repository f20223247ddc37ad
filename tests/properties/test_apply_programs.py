"""Random programs on files, applied to rows: what comes out is what was recorded for those rows.

Three questions are asked of each variable that `tp.apply` takes. Do recorded rows give the tensor's
own rows? Do many new rows give what each of them gives alone? And do new rows give what the program
itself gives in plain NumPy, where what the recording froze is put in its place (naive/applied.py)?
Most variables of random programs hold no rows, or mix them; how many are refused is printed and
bounded, so that refusing everything is a failure.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np
import pytest

import traceprop as tp
from tests.naive.applied import with_statistics
from tests.properties.test_replay_programs import draw_tables, drawn
from tests.replays.stored import load
from traceprop.errors import LineageError
from traceprop.lineage import origins, values
from traceprop.replays.compare import same_bits
from traceprop.replays.rowwise.analysis import Analysis
from traceprop.testing.generate import MOST_STEPS, draw_sources
from traceprop.testing.program import FAILURES, run_quietly


def is_equal(a, b):
    """To the bit, or in the last bits: one row lies in memory otherwise than many."""
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "US":
        return a.tolist() == b.tolist()
    return a.dtype == b.dtype and (
        same_bits(a, b)
        or (a.dtype.kind in "fc" and np.allclose(a, b, rtol=1e-9, atol=1e-300, equal_nan=True))
    )


def pairs_of(tensor, sources):
    """Rows of a tensor and the source row that each is made of, where that is one alone."""
    for origin in origins(tensor):
        if origin.source in sources:
            alone = np.flatnonzero(np.diff(origin.indptr) == 1)
            return alone, origin.rows[origin.indptr[alone]]
    return np.empty(0, int), np.empty(0, int)


def is_of_single_rows(tensor):
    """Whether the lineage says that each row was made of one source row, as far as values go."""
    found = origins(tensor)
    return bool(found) and all((np.diff(each.indptr) == 1).all() for each in found)


def rows_of(analysis):
    """The number and the axis of the rows that a node holds, None where it is frozen."""
    rows = analysis.found.get(analysis.root)
    return None if rows is None else (analysis.root.shape[rows.axis], rows.axis)


def looks_rows_up(tensor, sources):
    """Whether rows are looked up among the recorded rows, as in `np.isin(v, v)`."""
    outcomes = Analysis(tensor.node, sources).outcomes
    return any(node.inputs[i].n_rows > 1 for node, each in outcomes.items() for i in each.frozen)


class Programs:
    """Applies the variables of random programs, and counts what became of them."""

    def __init__(self, folder):
        self.folder = folder
        self.counts = Counter()
        self.why = Counter()

    def check(self, seed, draw, most_steps):
        program = drawn(seed, draw, most_steps)
        if program is None:
            return
        arrays, steps = program
        sources = [each.ancestors().leaves[0] for each in load(self.folder, arrays)]
        if len({len(each) for each in arrays}) > 1:
            return  # new rows of several sources are rows of one table
        rng = np.random.default_rng(seed)
        new = [self.changed(rng, each) for each in arrays]
        note = f"seed {seed}\n{steps}"

        def is_frozen(tensor):
            held = rows_of(Analysis(tensor.node, sources))
            return held is None or (held[0] == 1 and len(arrays[0]) != 1)

        run = partial(with_statistics, steps)
        try:
            recorded, plain = run_quietly(run, load(self.folder, arrays), new, is_frozen)
        except FAILURES:
            recorded, plain = run_quietly(steps, *load(self.folder, arrays)), None
        for i, tensor in enumerate(recorded[len(arrays) :], len(arrays)):
            unknown = plain is None or is_frozen(tensor) or looks_rows_up(tensor, sources)
            expected = None if unknown else plain[i]
            self.check_variable(tensor, sources, arrays, new, expected, f"{note}\nresult {i}")

    @staticmethod
    def changed(rng, array):
        """Rows of which some have cells of other rows."""
        other = array.copy()
        flat = other.reshape(-1)
        for place in np.flatnonzero(rng.random(flat.size) < 0.2):
            flat[place] = array.reshape(-1)[rng.integers(array.size)]
        return other

    def check_variable(self, tensor, sources, arrays, new, expected, note):
        own = tensor.ancestors().leaves
        given = {s: a for s, a in zip(sources, arrays, strict=True) if s in own}
        if not given or not tensor.shape:
            return
        apply = partial(tp.apply, tensor, return_kept=True)
        try:
            out, kept = run_quietly(apply, given)
        except LineageError as refused:
            if "can't be appl" not in str(refused):
                refused.add_note(note)
                raise
            self.counts["refused"] += 1
            self.counts["refused, of single rows"] += is_of_single_rows(tensor)
            self.why[str(refused).partition(": ")[2]] += 1
            return
        self.counts["applied"] += 1
        axis = rows_of(Analysis(tensor.node, list(given)))[1]
        rows, of = pairs_of(tensor, given)
        if axis != -len(tensor.node.shape):
            rows = rows[:0]  # its axis 0 holds other things than rows, and so do its origins
        else:
            place = np.searchsorted(np.flatnonzero(kept), of)
            assert kept[of].all(), note
            assert is_equal(out[place], values(tensor)[rows]), note
            self.counts["own rows"] += len(rows)
        fresh = {s: a for s, a in zip(sources, new, strict=True) if s in own}
        try:
            many, many_kept = run_quietly(apply, fresh)
        except LineageError:
            self.counts["new rows don't fit"] += 1
            return
        self.check_alone(apply, fresh, many, many_kept, axis, note)
        if expected is not None and np.array_equal(kept, many_kept) and len(rows):
            place = np.searchsorted(np.flatnonzero(kept), of)
            want = np.take(np.asarray(expected), rows, axis=axis)
            assert is_equal(np.take(many, place, axis=axis), want), f"{note}\n{many!r}\n{want!r}"
            self.counts["new rows as the program"] += len(rows)

    def check_alone(self, apply, fresh, many, kept, axis, note):
        """Compare two of the new rows with what they give alone."""
        for j, row in enumerate(np.flatnonzero(kept)[:2]):
            one, _ = run_quietly(apply, {s: a[row : row + 1] for s, a in fresh.items()})
            assert is_equal(one, np.take(many, [j], axis=axis)), f"{note}\nrow {row}"
            self.counts["alone"] += 1


@pytest.mark.filterwarnings("ignore::traceprop.errors.LineageEscapeWarning")
@pytest.mark.parametrize(
    ("draw", "most_steps", "most_refused", "most_of_single_rows"),
    [
        (draw_sources, MOST_STEPS, 0.84, 0.4),
        (draw_tables, MOST_STEPS, 0.85, 0.4),
        (draw_tables, 3, 0.68, 0.4),
    ],
)
def test_applied_rows_are_those_of_the_recording(
    tmp_path, draw, most_steps, most_refused, most_of_single_rows
):
    programs = Programs(tmp_path)
    for seed in range(150):
        programs.check(seed, draw, most_steps)
    counts = programs.counts
    share = counts["refused"] / (counts["refused"] + counts["applied"])
    print(f"{dict(counts)}: {share:.1%} refused")
    for why, count in programs.why.most_common():
        print(f"{count:5}  {why}")
    assert share < most_refused
    assert counts["refused, of single rows"] < most_of_single_rows * counts["refused"]
    assert counts["new rows as the program"] > 200
