"""Every row map, composition and kernel against lists of sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numba_kernels import rowmaps as kernels
from tests.naive import rowmaps as naive
from traceprop import lineage
from traceprop.errors import LineageError
from traceprop.lineage import RowSet, halves
from traceprop.lineage.answers.compose import (
    Chain,
    Merged,
    compose,
    compose_takes,
    image_along,
    merge,
)
from traceprop.lineage.rowmap import (
    All,
    Blocks,
    Filter,
    Groups,
    Identity,
    Nothing,
    Outside,
    Patch,
    Prefix,
    RowMap,
    Slice,
    Spans,
    Take,
    Window,
)


@st.composite
def maps(draw, n_out=None, n_in=None):
    """A map of any kind, with the sets that it stands for."""
    n_out = draw(st.integers(0, 7)) if n_out is None else n_out
    n_in = draw(st.integers(1, 7)) if n_in is None else n_in
    index = np.array(draw(st.lists(st.integers(-1, n_in - 1), min_size=n_out, max_size=n_out)))
    index = index.astype(np.int32)
    low = np.array(draw(st.lists(st.integers(0, n_in), min_size=n_out, max_size=n_out)), np.int64)
    high = np.minimum(low + draw(st.integers(0, 3)), n_in)
    sets = [set(draw(st.sets(st.integers(0, n_in - 1)))) for _ in range(n_out)]
    before, after = sorted(draw(st.tuples(st.integers(-3, 3), st.integers(-3, 3))))
    cut = draw(st.integers(0, n_out))
    stop = draw(st.integers(cut, min(n_out, cut + n_in)))
    chosen = draw(st.sets(st.integers(0, n_in - 1)))
    whole, none = set(range(n_in)), [set() for _ in range(n_out)]
    choices: list[tuple[RowMap, naive.Sets]] = [
        (Nothing(n_out, n_in), none),
        (Take(index, n_in), naive.from_index(index)),
        (Take(np.maximum(index, 0), n_in, full=True), naive.from_index(np.maximum(index, 0))),
        (Spans(low, high, n_in), naive.from_spans(low, high)),
        (Groups(*naive.to_groups(sets), n_in), sets),
        (All(n_out, n_in), [whole] * n_out),
        (All(n_out, n_in, RowSet(chosen)), [chosen] * n_out),
        (
            Window(before, after, n_out, n_in),
            [{j for j in range(i + before, i + after + 1) if 0 <= j < n_in} for i in range(n_out)],
        ),
        (Prefix(n_out, n_in), [set(range(min(i + 1, n_in))) for i in range(n_out)]),
        (
            Prefix(n_out, n_in, low.astype(np.int32) - 1),
            [set(range(min(int(e), n_in))) for e in low],
        ),
        (
            Patch(cut, stop, n_out, n_in),
            [{i - cut} if cut <= i < stop else set() for i in range(n_out)],
        ),
        (Slice(n_in - 1, 0, n_out, n_in), [{n_in - 1}] * n_out),
    ]
    if n_out <= n_in:
        start = draw(st.integers(0, n_in - n_out))
        choices.append((Slice(start, 1, n_out, n_in), [{start + i} for i in range(n_out)]))
        choices.append((Slice(n_in - 1, -1, n_out, n_in), [{n_in - 1 - i} for i in range(n_out)]))
    if n_out <= n_in:
        kept_rows = sorted(draw(st.permutations(range(n_in)))[:n_out])
        mask = np.isin(np.arange(n_in), kept_rows)
        choices.append((Filter(mask), [{row} for row in kept_rows]))
    if n_out == n_in:
        choices.append((Identity(n_in), [{i} for i in range(n_in)]))
        kept = [set() if cut <= i < stop else {i} for i in range(n_in)]
        choices.append((Outside(cut, stop, n_in), kept))
    if n_out:
        cells = n_out * n_in
        owners = np.arange(cells) // n_out  # a reshape from rows of n_out cells to rows of n_in
        blocks = [set(owners[i * n_in : (i + 1) * n_in].tolist()) for i in range(n_out)]
        choices.append((Blocks(n_in, n_out, n_out, n_in), blocks))
    return draw(st.sampled_from(choices))


@settings(max_examples=400)
@given(maps(), st.data())
def test_a_map_answers_as_its_sets(pair, data):
    row_map, sets = pair
    assert naive.from_groups(*row_map.groups()) == sets
    asked = data.draw(st.sets(st.integers(0, row_map.n_out - 1)) if sets else st.just(set()))
    assert row_map.image(RowSet(asked)) == naive.image(sets, asked)
    found = data.draw(st.sets(st.integers(0, row_map.n_in - 1)))
    assert row_map.preimage(RowSet(found)) == naive.preimage(sets, found)
    if row_map.functional:
        assert naive.from_index(row_map.index()) == sets


@settings(max_examples=600)
@given(st.data())
def test_composing_and_merging(data):
    outer, outer_sets = data.draw(maps())
    inner, inner_sets = data.draw(maps(n_out=outer.n_in))
    for composed in (compose(outer, inner), Chain(outer, inner)):
        expected = naive.compose(outer_sets, inner_sets)
        assert (composed.n_out, composed.n_in) == (outer.n_out, inner.n_in)
        assert naive.from_groups(*composed.groups()) == expected
        assert composed.image(RowSet.span(0, outer.n_out)) == set().union(*expected)
    other, other_sets = data.draw(maps(n_out=outer.n_out, n_in=outer.n_in))
    for merged in (merge(outer, other), Merged(outer, other)):
        assert naive.from_groups(*merged.groups()) == naive.merge(outer_sets, other_sets)


@settings(max_examples=300)
@given(st.data())
def test_rows_carried_along_a_path(data):
    n = data.draw(st.integers(1, 7))
    path, sets, n_in = [], [{i} for i in range(n)], n
    for _ in range(data.draw(st.integers(0, 4))):
        row_map, more = data.draw(maps(n_out=n_in))
        path.append(row_map)
        sets, n_in = naive.compose(sets, more), row_map.n_in
    assert image_along(path, n) == set().union(*sets)


@given(st.data())
def test_kernels_against_their_twins(data):
    n, m, k = (data.draw(st.integers(1, 6)) for _ in range(3))
    index = np.array(data.draw(st.lists(st.integers(-1, m - 1), min_size=n, max_size=n)), np.int32)
    inner = np.array(data.draw(st.lists(st.integers(-1, k - 1), min_size=m, max_size=m)), np.int32)
    composed = np.empty(n, np.int32)
    kernels.compose_takes(index, inner, composed)
    np.testing.assert_array_equal(composed, compose_takes(index, inner))
    assert naive.from_index(composed) == naive.compose(
        naive.from_index(index), naive.from_index(inner)
    )
    whole = np.maximum(index, 0)
    kernels.take_rows(whole, inner, composed)
    np.testing.assert_array_equal(composed, inner[whole])
    signed = np.array(data.draw(st.lists(st.integers(-m, m - 1), min_size=n, max_size=n)))
    narrowed = np.empty(n, np.int32)
    lowest, highest = kernels.narrow_index(signed, narrowed)
    np.testing.assert_array_equal(narrowed, signed)
    assert (lowest, highest) == (signed.min(initial=0), signed.max(initial=0))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    picked = np.empty(mask.sum(), np.int32)
    kernels.pick(index, mask, picked)
    np.testing.assert_array_equal(picked, index[mask])
    marked = np.zeros(m, dtype=bool)
    kernels.mark(index, marked)
    assert set(np.flatnonzero(marked)) == naive.image(naive.from_index(index), set(range(n)))
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    marked[:] = False
    kernels.mark_chosen(index, chosen, marked)
    assert set(np.flatnonzero(marked)) == set(index[chosen & (index >= 0)].tolist())
    marked[:] = False
    assert kernels.mark_index(signed, chosen, marked)
    assert set(np.flatnonzero(marked)) == set((signed[chosen] % m).tolist())
    for outside in (m, -m - 1):
        assert not kernels.mark_index(np.array([0, outside]), np.ones(2, bool), np.zeros(m, bool))
    left = mask.copy()
    kernels.spread(chosen, left)
    np.testing.assert_array_equal(left[mask], chosen[: mask.sum()])
    assert not left[~mask].any()
    sets = [set(data.draw(st.sets(st.integers(0, k - 1)))) for _ in range(m)]
    groups = naive.to_groups(sets)
    taken = kernels.take_groups(index, *groups)
    assert naive.from_groups(*taken) == naive.compose(naive.from_index(index), sets)
    cells = np.array(data.draw(st.lists(st.integers(-1, 5), min_size=12, max_size=12)), np.int32)
    cells = cells.reshape(4, 3)
    assert naive.from_groups(*kernels.group_cells(cells)) == naive.from_cells(cells)


def test_writing_out_all_against_all_is_refused():
    with pytest.raises(LineageError, match=r"single rows: X\[i\]"):
        All(100_000, 100_000).groups()


def test_twenty_steps_compose_to_the_rows_that_numpy_picks():
    rng = np.random.default_rng(0)
    rows, row_map = np.arange(50_000), Identity(50_000)
    for step in range(20):
        if step % 2:
            index = rng.permutation(len(rows)).astype(np.int32)
        else:
            index = np.flatnonzero(rng.random(len(rows)) < 0.9).astype(np.int32)
        rows = rows[index]
        row_map = compose(Take(index, row_map.n_out), row_map)
    np.testing.assert_array_equal(row_map.index(), rows)


def shuffled():
    rng = np.random.default_rng(1)
    x = lineage.array(rng.normal(size=20_000))
    for _ in range(3):
        x = x[x > -2.5]
        x = x[np.argsort(x)].take(rng.permutation(len(x)) - len(x) // 2)
    return x


def test_halves_of_the_rows_give_what_the_whole_gives(monkeypatch):
    (alone,) = lineage.origins(shuffled())
    monkeypatch.setattr(halves, "LARGE_FROM", 1)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    (shared,) = lineage.origins(shuffled())
    np.testing.assert_array_equal(shared.rows, alone.rows)
    (rows,) = shuffled().sources().values()
    assert rows == set(alone.rows.tolist())
    assert halves.in_halves(lambda a, b: (a, b), 7) == [(0, 3), (3, 7)]


def test_two_threads_begin_after_one_has_called_with_no_rows(monkeypatch):
    """The first call of a kernel loads or compiles it, which two threads must not do at once."""
    monkeypatch.setattr(halves, "LARGE_FROM", 1)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    calls: list[tuple[int, int]] = []
    halves.in_halves(lambda a, b: calls.append((a, b)), 7)
    assert calls[0] == (0, 0)
    assert sorted(calls[1:]) == [(0, 3), (3, 7)]


def test_what_a_half_raises_is_raised(monkeypatch):
    monkeypatch.setattr(halves, "LARGE_FROM", 1)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    with pytest.raises(ZeroDivisionError):
        halves.in_halves(lambda a, b: 1 // (a - 2), 4)
