"""Tables: columns, rows chosen for all of them, numbers out, and the lineage of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import traceprop as tp
from traceprop.errors import DataError, RowError, SourceError
from traceprop.lineage import load_lineage, save_lineage, values

CONTENT = b"""age,job,since,paid,member
31,clerk,2020-01-05,10.5,true
,clerk,,2,false
45,,2019-03-01,,
27,"smith, black",2021-12-31,7,true
"""


@pytest.fixture
def table(tmp_path: Path) -> tp.Table:
    path = tmp_path / "people.csv"
    path.write_bytes(CONTENT)
    return tp.read_csv(path)


def rows_of(tensor: tp.ProvenanceTensor) -> list[int]:
    (rows,) = tensor.sources().values()
    return list(rows)


def test_columns_have_their_kinds_and_missing_values_are_kept(table: tp.Table) -> None:
    assert table.columns == ("age", "job", "since", "paid", "member")
    assert len(table) == 4
    assert "job" in table
    assert list(table) == list(table.columns)
    assert table.categories == {"job": ("clerk", "smith, black")}
    assert np.array_equal(values(table["age"]), [31, np.nan, 45, 27], equal_nan=True)
    assert np.array_equal(values(table["member"]), [1, 0, np.nan, 1], equal_nan=True)
    assert values(table.codes("job")).tolist() == [0, 0, -1, 1]
    assert values(table["job"]).tolist() == ["clerk", "clerk", "", "smith, black"]
    assert np.isnat(values(table["since"])).tolist() == [False, True, False, False]
    assert repr(table).startswith("Table of people.csv, 4 rows (age: float64, job: 2 categories")


def test_each_column_knows_its_rows_and_name(table: tp.Table) -> None:
    for name in table.columns:
        assert rows_of(table[name]) == [0, 1, 2, 3]
    assert table["age"].columns is None or table["age"].columns == ("age",)
    assert table.source.name == "people.csv"
    assert table["job"][3].trace().trace_to_file() == "people.csv row 3"


@pytest.mark.parametrize(
    ("column", "expected"),
    [("age", [0, 1, 0, 0]), ("job", [0, 0, 1, 0]), ("since", [0, 1, 0, 0]), ("paid", [0, 0, 1, 0])],
)
def test_missing_is_a_mask(table: tp.Table, column: str, expected: list[int]) -> None:
    assert values(table.missing(column)).tolist() == [bool(each) for each in expected]


def test_rows_chosen_by_a_tracked_mask(table: tp.Table) -> None:
    chosen = table[table["age"] < 40]
    assert isinstance(chosen, tp.Table)
    assert values(chosen["paid"]).tolist() == [10.5, 7]
    assert rows_of(chosen["paid"]) == [0, 3]
    assert rows_of(chosen.codes("job")) == [0, 3]
    again = chosen[chosen["job"] == "smith, black"]
    assert values(again["age"]).tolist() == [27]
    assert rows_of(again["age"]) == [3]
    assert again["age"].ops() == ["row_filter", "row_filter"]
    control = again["age"].dependencies().control
    assert [str(source) for source in control] == ["people.csv"]
    assert len(table) == 4


@pytest.mark.parametrize(
    ("key", "rows"),
    [
        ([2, 0], [2, 0]),
        (np.array([3, 3]), [3, 3]),
        ([True, False, False, True], [0, 3]),
        (np.array([False] * 4), []),
        ([], []),
        (slice(1, 3), [1, 2]),
        (slice(None, None, -1), [3, 2, 1, 0]),
        (-1, [3]),
    ],
)
def test_rows_chosen_by_plain_keys(table: tp.Table, key, rows: list[int]) -> None:
    chosen = table[key]
    expected = values(table["age"])[rows]
    assert np.array_equal(values(chosen["age"]), expected, equal_nan=True)
    for at, row in enumerate(rows):
        assert rows_of(chosen["job"][at]) == [row]


def test_a_filter_is_one_step_however_many_columns_it_goes_through(table: tp.Table) -> None:
    X = table[~table.missing("job")][["age", "job", "paid"]].to_tensor()
    assert X.ops() == ["row_filter", "one_hot"]


def test_columns_are_not_written_into(table: tp.Table) -> None:
    for column in (table["age"], table[[0, 1]]["age"], table["job"]):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = "1"
        own = column.copy()
        own[0] = "1"
        assert values(table["age"])[0] == 31


def test_an_index_that_is_written_into_afterwards_changes_nothing(table: tp.Table) -> None:
    index = np.array([2, 0])
    chosen = table[index]
    index[:] = 1
    assert rows_of(chosen["age"][0]) == [2]
    assert values(chosen.codes("job")).tolist() == [-1, 0]


def test_columns_chosen_by_name(table: tp.Table) -> None:
    some = table[["paid", "job"]]
    assert some.columns == ("paid", "job")
    assert dict(some.categories) == {"job": ("clerk", "smith, black")}


def test_numbers_out(table: tp.Table) -> None:
    X = table.to_tensor(["job", "paid", "member"])
    assert X.columns == ("job=clerk", "job=smith, black", "job=(missing)", "paid", "member")
    expected = [[1, 0, 0, 10.5, 1], [1, 0, 0, 2, 0], [0, 0, 1, np.nan, np.nan], [0, 1, 0, 7, 1]]
    assert np.array_equal(values(X), expected, equal_nan=True)
    assert X.dtype == np.float64
    assert X.ops() == ["one_hot"]
    for row in range(4):
        assert rows_of(X[row]) == [row]
    assert table.to_tensor(["paid"]).ops() == []
    assert table.to_tensor("paid").shape == (4, 1)


def test_one_hot_keeps_the_columns_of_the_whole_source_whatever_the_rows(table: tp.Table) -> None:
    hot = table[[3]].one_hot("job")
    assert hot.columns == ("job=clerk", "job=smith, black", "job=(missing)")
    assert values(hot).tolist() == [[0, 1, 0]]


def test_names_stay_through_a_normalisation(table: tp.Table) -> None:
    X = table[[0, 3]].to_tensor(["age", "paid"])
    normal = (X - X.mean(axis=0)) / X.std(axis=0)
    assert normal.columns == ("age", "paid")
    assert normal[:, 1].trace().steps == ("row_filter", "normalize")


def test_lineage_of_a_table_is_saved_and_loaded(table: tp.Table, tmp_path: Path) -> None:
    chosen = table[table["job"] == "clerk"]
    save_lineage(tmp_path / "lineage.arrow", chosen.to_tensor(["job", "paid"]))
    graph = load_lineage(tmp_path / "lineage.arrow")
    ((source, rows),) = graph.sources().items()
    assert source == table.source
    assert list(rows) == [0, 1]
    assert source.locate([1])[0].tolist() == [3]


def test_what_a_table_refuses(table: tp.Table) -> None:
    with pytest.raises(SourceError, match=r"people\.csv has no column 'name'; it has age, job"):
        table["name"]
    with pytest.raises(SourceError, match=r"'age' of people\.csv is float64, not text"):
        table.codes("age")
    with pytest.raises(SourceError, match="not text"):
        table.one_hot("paid")
    with pytest.raises(DataError, match=r"'since' of people\.csv holds dates"):
        table.to_tensor()
    with pytest.raises(SourceError, match="names no column"):
        table.to_tensor([])
    with pytest.raises(RowError, match="rows 0 to 3"):
        table[[4]]
    with pytest.raises(RowError, match="rows 0 to 3"):
        table[np.array([True, False])]
    with pytest.raises(RowError, match="1-D mask or index"):
        table[np.zeros((2, 2), int)]


def test_a_column_is_read_again(table: tp.Table) -> None:
    for name in table.columns:
        again = table.source.read(name)
        tensor = table.codes(name) if name in table.categories else table[name]
        assert again.dtype == tensor.dtype
        assert np.array_equal(again, values(tensor), equal_nan=True)
    with pytest.raises(SourceError, match="say which column"):
        table.source.read()


cells = st.one_of(st.just(""), st.sampled_from(["lo", "mid", "hi"]))


@given(st.lists(st.tuples(cells, st.integers(0, 9)), min_size=1, max_size=15), st.data())
def test_one_hot_is_the_naive_one(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("hot") / "t.csv"
    path.write_text("a,b\n" + "".join(f'"{a}x",{b}\n' if a else f",{b}\n" for a, b in rows))
    table = tp.read_csv(path)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=9))
    if "a" not in table.categories:  # every cell is missing: a column of NaN
        assert not any(a for a, _ in rows)
        return
    categories = sorted({a + "x" for a, _ in rows if a})
    gap = any(not a for a, _ in rows)
    found = values(table[chosen].to_tensor())
    for line, row in zip(found, chosen, strict=True):
        a, b = rows[row]
        naive = [float(a + "x" == c) if a else 0.0 for c in categories] + [float(not a)] * gap
        assert line.tolist() == [*naive, float(b)]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from("xyz")), min_size=2, max_size=12),
    st.data(),
)
def test_the_rows_that_a_nudged_cell_changes_are_the_rows_that_name_it(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("nudge") / "t.csv"
    order = data.draw(st.permutations(range(len(rows))))
    nudged = data.draw(st.integers(0, len(rows) - 1))

    def build(amounts: list[float]) -> tp.ProvenanceTensor:
        lines = [f"{a},{b},{c}\n" for a, (b, c) in zip(amounts, rows, strict=True)]
        path.write_text("amount,level,kind\n" + "".join(lines))
        table = tp.read_csv(path)[np.array(order)]
        kept = table[(table["level"] > 2) | (table["kind"] == "x")]
        return kept.to_tensor(["kind", "amount"])

    amounts = [float(i) for i in range(len(rows))]
    before = build(amounts)
    amounts[nudged] += 0.5
    after = build(amounts)
    changed = (values(before) != values(after)).any(axis=1)
    naming = [nudged in rows_of(before[i]) for i in range(len(before))]
    assert changed.tolist() == naming
