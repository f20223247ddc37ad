"""Recorded draws: the numbers of NumPy's own generator, replayed whole and for fewer rows."""

from __future__ import annotations

import numpy as np
import pytest

import traceprop as tp
from tests.replays.stored import load
from traceprop.errors import LineageError
from traceprop.lineage import values
from traceprop.replays.compare import same_bits

TABLE = np.random.default_rng(3).normal(size=(60, 3))
GONE = [0, 17, 59]


def program(X, rng):
    """Shuffle, sample, add noise made for the rows, and choose again after another draw."""
    X = rng.permutation(X)
    kept = X[X[:, 0] > -1]
    bag = rng.choice(kept, 20)
    again = rng.permutation(bag) * rng.normal(2.0, size=3)
    return again + rng.integers(0, 9, size=(20, 1))


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937, np.random.Philox,
                                  np.random.SFC64])  # fmt: skip
def test_draws_are_those_of_numpy_and_replay(tmp_path, bits):
    (X,) = load(tmp_path, [TABLE])
    made = program(X, tp.rng(np.random.Generator(bits(5))))
    assert same_bits(values(made), program(TABLE, np.random.Generator(bits(5))))
    assert same_bits(values(tp.replay(made)), values(made))
    tp.save_lineage(tmp_path / "lineage.arrow", made)
    loaded = tp.load_lineage(tmp_path / "lineage.arrow")
    assert same_bits(values(tp.replay(loaded)), values(made))


def test_without_rows_it_is_the_program_on_the_rest_with_the_same_seed(tmp_path):
    (X,) = load(tmp_path, [TABLE])
    made = program(X, tp.rng(5))
    expected = program(np.delete(TABLE, GONE, axis=0), np.random.default_rng(5))
    found = tp.replay(made, without={X.ancestors().leaves[0]: GONE})
    assert same_bits(values(found), expected)


def test_rows_keep_their_names(tmp_path):
    (X,) = load(tmp_path, [TABLE])
    shuffled = tp.rng(1).permutation(X)
    source = X.ancestors().leaves[0]
    for i in (0, 7):
        (row,) = shuffled[i].sources()[source]
        assert same_bits(values(shuffled)[i], TABLE[row])


def test_a_shuffle_in_place_keeps_the_rows(tmp_path):
    (X,) = load(tmp_path, [TABLE])
    X = X.copy()
    tp.rng(1).shuffle(X)
    source = X.ancestors().leaves[0]
    rows = [int(next(iter(X[i].sources()[source]))) for i in range(len(values(X)))]
    assert same_bits(values(X), TABLE[rows])
    assert sorted(rows) == list(range(60)) != rows
    assert same_bits(values(tp.replay(X)), values(X))


def test_a_given_generator_is_taken_as_it_is(tmp_path):
    plain = np.random.default_rng(3)
    plain.random(7)
    ours = tp.rng(plain)
    assert values(ours.random(4)).tolist() == plain.random(4).tolist()


def test_noise_as_long_as_the_rows_by_a_number_is_refused(tmp_path):
    (X,) = load(tmp_path, [TABLE])
    made = X + tp.rng(1).normal(size=(60, 1))
    with pytest.raises(LineageError, match=r"draw.*can't be replayed without rows: 60"):
        tp.replay(made, without={X.ancestors().leaves[0]: GONE})


def test_what_cannot_be_recorded_is_refused(tmp_path):
    class Own(np.random.PCG64):
        pass

    with pytest.raises(LineageError, match="the state of Own can't be recorded"):
        tp.rng(np.random.Generator(Own(1)))
    array = TABLE.copy()
    with pytest.raises(LineageError, match="nothing was written"):
        tp.rng(1).shuffle(array)
    assert same_bits(array, TABLE)
    (X,) = load(tmp_path, [TABLE])
    with pytest.raises(LineageError, match="tracked parameters"):
        tp.rng(1).normal(X.mean())
    with pytest.raises(AttributeError, match="records no draw 'zipf'"):
        tp.rng(1).zipf(2.0)


def test_new_rows_pass_a_shuffle_and_a_sample(tmp_path):
    (X,) = load(tmp_path, [TABLE])
    rng = tp.rng(1)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    Z = rng.choice(rng.permutation(Z), 30, replace=False)
    source = Z.ancestors().leaves[0]
    rows = [int(next(iter(Z[i].sources()[source]))) for i in range(5)]
    assert same_bits(tp.apply(Z, TABLE[rows]), values(Z)[:5])
