"""Rows chosen by masks and indices: over the kernels' sizes, and when the array is written into."""

from __future__ import annotations

import numpy as np
import pytest

import traceprop as tp
from traceprop.errors import ChangedArrayError
from traceprop.lineage import RowSet
from traceprop.lineage.answers.compose import compose_path, compose_takes
from traceprop.lineage.rowmap import Filter, Identity, Slice, Take

LARGE = 300_000  # rows: past every size from which on something else is done


def rows_of(tensor) -> np.ndarray:
    """Source row of each row of a tensor made of single rows of one source."""
    (origin,) = tp.lineage.origins(tensor)
    np.testing.assert_array_equal(origin.indptr, np.arange(len(tensor) + 1))
    return origin.rows


def test_twenty_large_steps_lead_to_the_rows_that_numpy_picks():
    rng = np.random.default_rng(0)
    rows, x = np.arange(LARGE), tp.array(rng.normal(size=LARGE))
    for step in range(20):
        if step % 3 == 0:
            mask = rng.random(len(rows)) < 0.95
            x, rows = x[mask], rows[mask]
        elif step % 3 == 1:
            order = np.argsort(x)
            x, rows = x[order], rows[tp.lineage.values(order)]
        else:
            index = rng.integers(-len(rows), len(rows), size=len(rows))
            x, rows = x.take(index), rows[index]
    np.testing.assert_array_equal(rows_of(x), rows)
    (found,) = x.sources().values()
    assert found == RowSet(np.unique(rows))


def test_a_short_output_is_followed_from_its_end():
    rng = np.random.default_rng(0)
    mask, index = rng.random(LARGE) < 0.5, rng.permutation(LARGE).astype(np.int32)
    path = [Slice(7, 11, 9, int(mask.sum())), Filter(mask), Take(index, LARGE)]
    composed = compose_path(path, 9).index()
    np.testing.assert_array_equal(composed, index[mask][7 : 7 + 99 : 11])
    assert type(compose_path([], 5)) is Identity


def test_the_kernel_composes_as_one_line_of_numpy():
    rng = np.random.default_rng(0)
    inner = rng.integers(-1, 50, size=LARGE).astype(np.int32)
    outer = rng.integers(-1, LARGE, size=LARGE + 1).astype(np.int32)
    expected = np.where(outer < 0, -1, inner[outer])
    np.testing.assert_array_equal(compose_takes(outer, inner), expected)


@pytest.mark.parametrize("density", [0.001, 0.5, 1.0])
def test_a_filter_finds_a_few_rows_without_writing_itself_out(density):
    rng = np.random.default_rng(0)
    mask = rng.random(100_003) < density
    row_map, rows = Filter(mask), np.flatnonzero(mask)
    assert row_map.nbytes < len(mask) / 7
    for asked in (0, 1, len(rows) // 2, len(rows) - 1):
        assert list(row_map.image(RowSet([asked]))) == [rows[asked]]
    some = np.sort(rng.choice(len(rows), size=min(20, len(rows)), replace=False))
    np.testing.assert_array_equal(row_map.look_up(some), rows[some])
    assert row_map.image(RowSet.span(0, len(rows))) == RowSet(rows)
    assert row_map.preimage(RowSet(rows[some])) == RowSet(some)


def test_a_tracked_index_is_read_as_it_is_until_its_rows_are_looked_up():
    rng = np.random.default_rng(0)
    index = tp.array(rng.integers(-LARGE, LARGE, size=LARGE))
    x = tp.array(np.arange(float(LARGE)))[index][rng.random(LARGE) < 0.5]
    (held,) = (part for part in x.node.inputs[0].args if hasattr(part, "mark"))
    expected = RowSet(np.unique(tp.lineage.values(x).astype(int)))
    assert list(x.sources().values()) == [expected]
    assert held.array is index._array
    index[:] = 0
    np.testing.assert_array_equal(rows_of(x), tp.lineage.values(x))
    assert list((x + 1).sources().values()) == [expected]


@pytest.mark.parametrize("outside", [LARGE, -LARGE - 1])
def test_an_index_of_a_damaged_lineage_is_refused(outside):
    x = tp.array(np.arange(float(LARGE)))[tp.array(np.arange(LARGE))]
    (held,) = (part for part in x.node.args if hasattr(part, "mark"))
    held.array = held.array.copy()
    held.array[-1] = outside
    for ask in (tp.lineage.ProvenanceTensor.sources, tp.lineage.origins):
        with pytest.raises(ChangedArrayError, match="a row that isn't among the 300000"):
            ask(x)


def test_an_index_shared_by_arrays_of_different_lengths_counts_from_each_end():
    index = tp.array(np.array([-1, 0]))
    a, b = tp.array(np.arange(10.0)), tp.array(np.arange(20.0))
    x, y = a[index], b[index]
    assert [list(tp.lineage.origins(each)[0].rows) for each in (x, y)] == [[9, 0], [19, 0]]


def test_take_reads_a_mask_as_zeros_and_ones():
    x = tp.array(np.array([5.0, 6.0, 7.0])).take(np.array([True, False, True]))
    assert list(rows_of(x)) == [1, 0, 1]


def test_rows_are_kept_from_the_first_question_on():
    x = tp.array(np.arange(float(LARGE)))
    mask, index = np.arange(LARGE) % 3 == 0, np.arange(LARGE)[::-1].copy()
    kept, turned = x[mask], x[index]
    before = [rows_of(kept).copy(), rows_of(turned).copy()]
    kept.node.memo.origins = turned.node.memo.origins = None
    mask[:], index[:] = False, 0
    np.testing.assert_array_equal(rows_of(kept), before[0])
    np.testing.assert_array_equal(rows_of(turned), before[1])


@pytest.mark.parametrize(
    "choose",
    [
        lambda x, index: x[index],
        lambda x, index: x.take(index),
        lambda x, index: np.delete(x, index),
        lambda x, index: np.repeat(x, index),
    ],
)
def test_an_index_changed_before_the_first_question_gives_every_row(choose):
    index = np.zeros(LARGE, dtype=np.int64)
    index[::2] = 1
    x = choose(tp.array(np.arange(float(LARGE))), index)
    index[:] = LARGE + 7
    with pytest.warns(UserWarning, match="changed afterwards"):
        (found,) = x.sources().values()
    assert found == RowSet.span(0, LARGE)
