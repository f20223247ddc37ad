"""New rows prepared as the recorded ones were: forms that they come in, filters, errors, files."""

from __future__ import annotations

import json

import numpy as np
import pytest

import traceprop as tp
from tests.replays.stored import load
from traceprop.errors import (
    DataError,
    LineageError,
    LineageEscapeWarning,
    RowError,
    SourceError,
)
from traceprop.lineage import values
from traceprop.replays.compare import same_bits
from traceprop.replays.pipeline.applying import pipeline_of

APPLICANTS = """age,income,debt,purpose
41,38000,1200,car
29,21500,300,home
63,54000,0,car
17,900,40,phone
35,,700,home
52,71000,9100,
24,19000,2300,phone
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "applicants.csv"
    path.write_text(APPLICANTS)
    return path


def prepare(table):
    """What a bank does: drop minors, impute, take a ratio and logarithms, standardise, encode."""
    table = table[table["age"] >= 18]
    income = table["income"]
    income = np.where(np.isnan(income), np.nanmedian(income), income)
    numbers = np.column_stack([np.log1p(income), table["debt"] / np.maximum(income, 1.0)])
    numbers = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
    return np.hstack([numbers, table.one_hot("purpose")])


def prepared_by_hand(row, kept):
    """The same of one new row, from the rows that were kept, in plain Python."""
    incomes = [r[1] for r in kept]
    median = float(np.nanmedian(incomes))
    pairs = [(median if r[1] != r[1] else r[1], r[2]) for r in kept]
    old = np.array([[np.log1p(i), d / max(i, 1.0)] for i, d in pairs])
    income = median if row["income"] is None else row["income"]
    new = np.array([np.log1p(income), row["debt"] / max(income, 1.0)])
    purposes = ["car", "home", "phone", None]
    return [*(new - old.mean(axis=0)) / old.std(axis=0),
            *(float(row["purpose"] == each) for each in purposes)]  # fmt: skip


KEPT = [(41, 38000, 1200), (29, 21500, 300), (63, 54000, 0), (35, np.nan, 700), (52, 71000, 9100),
        (24, 19000, 2300)]  # fmt: skip
NEW = {"age": 44, "income": 40000.0, "debt": 15.0, "purpose": "phone"}


def test_one_new_row_of_a_table(path):
    X = prepare(tp.read_csv(path))
    assert np.allclose(tp.apply(X, NEW), [prepared_by_hand(NEW, KEPT)], rtol=1e-12)
    missing = {**NEW, "income": None, "purpose": ""}
    wanted = prepared_by_hand({**missing, "purpose": None}, KEPT)
    assert np.allclose(tp.apply(X, missing), [wanted], rtol=1e-12)


def test_every_form_of_rows_gives_the_same(path):
    pd = pytest.importorskip("pandas")
    X = prepare(tp.read_csv(path))
    frame = pd.DataFrame([NEW, {**NEW, "age": 30}])
    expected = tp.apply(X, [NEW, {**NEW, "age": 30}])
    assert same_bits(tp.apply(X, frame), expected)
    assert same_bits(tp.apply(X, frame.iloc[0]), expected[:1])
    assert same_bits(tp.apply(X, list(NEW.values())), expected[:1])
    assert same_bits(tp.apply(X, {path.name: frame}), expected)
    table = tp.read_csv(path)
    assert same_bits(tp.apply(X, table[table["age"] >= 18]), values(X))
    polars = pytest.importorskip("polars")
    assert same_bits(tp.apply(X, polars.DataFrame([NEW, {**NEW, "age": 30}])), expected)


def test_a_row_that_a_filter_drops_is_named_or_left_out(path):
    X = prepare(tp.read_csv(path))
    rows = [NEW, {**NEW, "age": 17}, {**NEW, "age": 18}]
    with pytest.raises(RowError, match=r"1 of 3 new rows \(1\).*greater_equal of age"):
        tp.apply(X, rows)
    found, kept = tp.apply(X, rows, return_kept=True)
    assert kept.tolist() == [True, False, True]
    assert same_bits(found[:1], tp.apply(X, NEW))


def test_after_a_replay_its_own_statistics_are_used(path):
    X = prepare(tp.read_csv(path))
    X2 = tp.replay(X, without={path: [2]})
    kept = [row for row in KEPT if row[0] != 63]
    assert np.allclose(tp.apply(X2, NEW), [prepared_by_hand(NEW, kept)], rtol=1e-12)
    X3 = tp.replay(X2, without={path: [4]})
    kept = [row for row in kept if row[0] != 35]
    assert np.allclose(tp.apply(X3, NEW), [prepared_by_hand(NEW, kept)], rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"purpose": "boat"}, "'boat' in column 'purpose'.*'car', 'home', 'phone'"),
        ({"debt": "much"}, "column 'debt'.*holds text"),
        ({"age": 20.5}, "column 'age'.*can't"),
    ],
)
def test_values_that_do_not_fit(path, change, says):
    X = prepare(tp.read_csv(path))
    with pytest.raises(DataError, match=says):
        tp.apply(X, {**NEW, **change})


def test_columns_that_are_missing_or_not_needed(path):
    X = prepare(tp.read_csv(path))
    with pytest.raises(DataError, match="no column 'debt'"):
        tp.apply(X, {name: value for name, value in NEW.items() if name != "debt"})
    numbers = tp.load_csv(path, ["age", "income", "debt"])
    scaled = numbers[:, :-1] / 100  # the last column is a label, which a declined row hasn't
    assert tp.apply(scaled, {"age": 50, "income": 200}).tolist() == [[0.5, 2.0]]
    with pytest.raises(DataError, match=r"a row of applicants.csv is \[3\]"):
        tp.apply(scaled, [50, 200])


REFUSED = {
    "cumsum": (lambda X: np.cumsum(X, axis=0), "cumsum.*works along the rows"),
    "diff": (lambda X: X[1:] - X[:-1], "subtract.*another choice or order"),
    "sort": (lambda X: np.sort(X, axis=0), "sort.*works along the rows"),
    "ranks": (lambda X: np.column_stack([X, np.argsort(np.argsort(X[:, 0]))]), "argsort.*works"),
    "the best": (lambda X: X[np.argsort(X[:, 0])[:3]], "getitem.*rank among the others"),
    "the best, sorted": (lambda X: X[np.argsort(X[:, 0])][:3], "getitem.*rank among the others"),
    "by rank": (lambda X: X[np.argsort(np.argsort(X[:, 0])) < 3], "getitem.*against others"),
    "a mean": (lambda X: X.mean(axis=0), "mean.*statistic of all rows"),
    "a lambda": (lambda X: np.apply_along_axis(lambda r: r * 2, 1, X), "apply_along_axis"),
    "doubled": (lambda X: np.concatenate([X, -X]), "concatenate.*become several"),
    "beside plain rows": (lambda X: X + np.ones((40, 1)), "add.*a value for each row"),
}


def test_a_mask_made_of_values_that_left_is_refused(tmp_path):
    table = np.random.default_rng(0).normal(size=(40, 3))
    (X,) = load(tmp_path, [table])
    assert tp.apply(X[np.arange(40) % 2 == 0], table[1]).shape == (1, 3)
    with pytest.warns(LineageEscapeWarning):
        mask = np.asarray(X)[:, 0] > 0
    with pytest.raises(
        LineageError, match=r"getitem.*may come of values that left.*np\.asarray at"
    ):
        tp.apply(X[mask], table[1])


def test_no_rows_give_no_rows(path):
    X = prepare(tp.read_csv(path))
    empty = {"age": [], "income": [], "debt": [], "purpose": []}
    found, kept = tp.apply(X, empty, return_kept=True)
    assert found.shape == (0, 6)
    assert kept.shape == (0,)


def test_what_comes_back_is_nobody_elses_memory(tmp_path):
    table = np.random.default_rng(0).normal(size=(40, 3))
    (X,) = load(tmp_path, [table])
    rows = table[:3].copy()
    for made in (X, X[:, 1:], X.T.T, np.broadcast_to(X[:, :1], (40, 3)), X - X.mean(axis=0)):
        found = tp.apply(made, rows)
        found[...] = 0
        assert same_bits(rows, table[:3])
        assert tp.apply(made, rows).any()


@pytest.mark.parametrize("what", REFUSED)
def test_steps_that_are_not_row_by_row_are_refused_by_name(tmp_path, what):
    program, says = REFUSED[what]
    table = np.random.default_rng(0).normal(size=(40, 3))
    (X,) = load(tmp_path, [table])
    made = program(X)
    with pytest.raises(LineageError, match=says):
        tp.apply(made, table[0])


def test_a_table_to_look_things_up_in_stays_as_it_was(tmp_path):
    rng = np.random.default_rng(0)
    orders = np.column_stack([rng.integers(0, 5, 30) * 10.0, rng.normal(size=30)])
    customers = np.column_stack([rng.permutation(5) * 10.0, rng.normal(size=5)])
    A, B = load(tmp_path, [orders, customers])
    B = B[np.argsort(B[:, 0])]
    joined = np.hstack([A, B[np.searchsorted(B[:, 0], A[:, 0]), 1:]])
    source = A.ancestors().leaves[0]
    assert same_bits(tp.apply(joined, {source: orders[3:6]}), values(joined)[3:6])
    with pytest.raises(LineageError, match="can't be applied"):
        tp.apply(joined, {source: orders[:3], B.ancestors().leaves[0]: customers[:3]})


def test_a_few_recorded_rows_can_be_what_rows_are_set_against(tmp_path):
    table = np.random.default_rng(0).normal(size=(40, 3))
    (X,) = load(tmp_path, [table])
    nearest = ((X[:3][np.newaxis] - X[:, np.newaxis]) ** 2).sum(axis=-1).argmin(axis=1)
    new = np.random.default_rng(1).normal(size=(7, 3))
    expected = ((table[:3] - new[:, np.newaxis]) ** 2).sum(axis=-1).argmin(axis=1)
    assert tp.apply(nearest, new).tolist() == expected.tolist()
    with pytest.raises(LineageError, match="every row against every row"):
        tp.apply(((X[np.newaxis] - X[:, np.newaxis]) ** 2).sum(axis=-1), new)


def test_data_that_was_in_memory_is_asked_for():
    X = tp.array([[1.0, 2.0], [3.0, 5.0]], name="numbers")
    assert tp.apply(X * 2, [4.0, 5.0]).tolist() == [[8.0, 10.0]]
    centred = X - X.mean(axis=0)
    with pytest.raises(SourceError, match="was in memory"):
        tp.apply(centred, [4.0, 5.0])
    given = {"numbers": [[1.0, 2.0], [3.0, 5.0]]}
    assert tp.apply(centred, [4.0, 5.0], sources=given).tolist() == [[2.0, 1.5]]


class TestFiles:
    def test_a_saved_pipeline_needs_no_source(self, path, tmp_path):
        X = prepare(tp.read_csv(path))
        expected = tp.apply(X, NEW)
        saved = tp.save_pipeline(tmp_path / "prepare.arrow", X)
        path.unlink()
        loaded = tp.load_pipeline(tmp_path / "prepare.arrow")
        assert same_bits(tp.apply(loaded, NEW), expected)
        assert loaded.categories == {"purpose": ("car", "home", "phone")}
        assert [s.name for s in loaded.statistics] == [s.name for s in saved.statistics]
        assert all(
            same_bits(a.values, b.values)
            for a, b in zip(loaded.statistics, saved.statistics, strict=True)
        )
        assert [s.name for s in loaded.statistics if s.of_rows] == ["nanmedian", "mean", "std"]
        with pytest.raises(RowError, match="greater_equal of age"):
            tp.apply(loaded, {**NEW, "age": 3})

    @pytest.mark.parametrize("place", [200, 2000, -300, -3000])
    def test_a_damaged_file_is_refused(self, path, tmp_path, place):
        file = tmp_path / "prepare.arrow"
        expected = tp.save_pipeline(file, prepare(tp.read_csv(path))).apply(NEW)
        whole = file.read_bytes()
        refused = 0
        for shift in range(40):
            data = bytearray(whole)
            data[(place + shift) % len(data)] ^= 0x55
            file.write_bytes(data)
            try:
                loaded = tp.load_pipeline(file)
            except LineageError:
                refused += 1
            else:  # Arrow has its schema twice, and padding: nothing that is read was damaged
                assert same_bits(tp.apply(loaded, NEW), expected)
        assert refused or place in (200, 2000)

    def test_another_file_is_refused(self, path, tmp_path):
        X = prepare(tp.read_csv(path))
        tp.save_lineage(tmp_path / "lineage.arrow", X)
        with pytest.raises(LineageError, match="is not a saved pipeline"):
            tp.load_pipeline(tmp_path / "lineage.arrow")
        with pytest.raises(LineageError, match="no saved pipeline"):
            tp.load_pipeline(tmp_path / "none.arrow")


def test_what_a_removal_moved(path):
    X = prepare(tp.read_csv(path))
    X2 = tp.replay(X, without={path: [2]})
    found = tp.diff(X, X2)
    assert found.shape == ((6, 6), (5, 6))
    (left,) = found.left.values()
    assert left.to_numpy().tolist() == [2]
    assert not found.entered
    moved = {each.name: each for each in found.moved}
    assert moved["nanmedian"].before == 38000
    assert moved["nanmedian"].after == (21500 + 38000) / 2
    assert "nanmedian  38000 → 29750" in repr(found)
    told = json.dumps(found.to_json())
    assert "38000" not in told
    assert found.to_json()["rows"] == [
        {"source": str(path), "sha256": X.ancestors().leaves[0].sha256, "entered": 0, "left": 1}
    ]
    assert found.to_json(details=True)["rows"][0]["left_rows"] == [2]
    with pytest.raises(LineageError, match="aren't of one program"):
        tp.diff(X, tp.read_csv(path)["age"])


def test_a_filter_by_a_statistic_lets_rows_enter(tmp_path):
    table = np.array([[1.0], [2.0], [3.0], [100.0]])
    (X,) = load(tmp_path, [table])
    low = X[X[:, 0] >= X[:, 0].mean()]
    found = tp.diff(low, tp.replay(low, without={X.ancestors().leaves[0]: [3]}))
    (entered,) = found.entered.values()
    assert entered.to_numpy().tolist() == [1, 2]


def test_a_plan_is_made_once(path):
    X = prepare(tp.read_csv(path))
    assert pipeline_of(X) is pipeline_of(X)
    assert pipeline_of(X).off == 0.0
    assert pipeline_of(X).tried == 6


def test_rows_that_were_shuffled_in_place_are_rows(path):
    X = prepare(tp.read_csv(path))
    plain = X * 2
    tp.rng(3).shuffle(X)
    assert np.array_equal(tp.apply(X * 2, NEW), tp.apply(plain, NEW))
