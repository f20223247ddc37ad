"""Sort, join, group-by, concat, derived columns: what they give, what decides, what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import traceprop as tp
from tests.sources.tables import plain, read, rows_of, table
from traceprop.errors import DataError, RowError, SourceError
from traceprop.lineage import load_lineage, save_lineage, values
from traceprop.testing import assert_sound


@pytest.fixture
def loans() -> tp.Table:
    return table(
        "loans",
        {
            "t": ["ann", "bob", None, "ann", "cid"],
            "x": [10.0, 20.0, 30.0, None, 50.0],
            "i": [1, 2, 3, 4, 5],
        },
    )


@pytest.fixture
def people() -> tp.Table:
    return table("people", {"t": ["cid", "ann", "ann", None], "i": [33, 44, 45, 46]})


def column(table: tp.Table, name: str) -> list[Any]:
    return [plain(each) for each in values(table[name])]


def control(tensor: tp.ProvenanceTensor) -> dict[str, list[int]]:
    found = tensor.dependencies().control
    return {str(source): list(rows) for source, rows in found.items()}


def test_a_left_join(loans: tp.Table, people: tp.Table) -> None:
    joined = loans.join(people, "t", how="left")
    assert joined.columns == ("t", "x", "i", "i_right")
    assert column(joined, "i") == [1, 1, 2, 3, 4, 4, 5]
    assert column(joined, "i_right") == [44, 45, None, None, 44, 45, 33]
    X = joined.to_tensor(["x", "i_right"])
    assert X.ops() == ["join"]
    assert rows_of(X[1]) == {("loans", 0), ("people", 2)}
    assert rows_of(X[2]) == {("loans", 1)}
    assert control(X[1]) == {"loans": [0, 1, 2, 3, 4], "people": [0, 1, 2, 3]}
    assert joined.sources() == {"loans": {0, 1, 2, 3, 4}, "people": {0, 1, 2}}
    with pytest.raises(SourceError, match=r"come from 2 sources \(loans and people\)"):
        _ = joined.source


def test_a_join_keeps_the_type_of_integers_unless_rows_are_missing(
    loans: tp.Table, people: tp.Table
) -> None:
    assert loans.join(people, "t")["i_right"].dtype == np.int64
    assert loans.join(people, "t", "left")["i_right"].dtype == np.float64
    assert "i_right: float64" in repr(loans.join(people, "t", "left"))
    large = tp.Table.from_tensors({"t": np.array(["ann"]), "id": np.array([2**60 + 1])})
    with pytest.raises(DataError, match="over 2"):
        loans.join(large, "t", "left")["id"]


def test_keys_of_other_names_and_types(loans: tp.Table) -> None:
    other = tp.Table.from_tensors({"number": np.array([2.0, 4.5, np.nan, 5.0]), "y": np.arange(4)})
    joined = loans.join(other, {"i": "number"})
    assert joined.columns == ("t", "x", "i", "y")
    assert (column(joined, "i"), column(joined, "y")) == ([2, 5], [0, 3])
    huge = tp.Table.from_tensors({"i": np.array([2**63], np.uint64), "z": np.array([1.0])})
    assert len(huge.join(tp.Table.from_tensors({"i": np.array([-(2**63)])}), "i")) == 0
    days = np.array(["2020-01-01", "NaT", "2020-01-02"], "M8[D]")
    hours = np.array(["2020-01-02T00", "2020-01-01T05", "NaT"], "M8[h]")
    left = tp.Table.from_tensors({"d": days, "a": np.arange(3)})
    right = tp.Table.from_tensors({"d": hours, "b": np.arange(3)})
    assert read(left.join(right, "d"))[0]["b"][0] == 0
    assert len(left.join(right, "d")) == 1


def test_a_joined_table_is_filtered_as_one_step(loans: tp.Table, people: tp.Table) -> None:
    joined = loans.join(people, "t")
    chosen = joined[joined["i_right"] > 40].to_tensor(["i", "i_right"])
    assert chosen.ops() == ["join", "row_filter"]
    assert rows_of(chosen[3]) == {("loans", 3), ("people", 2)}


def test_a_table_joined_with_itself(loans: tp.Table) -> None:
    pairs = loans.join(loans, "t", suffixes=("_a", "_b"))
    assert pairs.columns == ("t", "x_a", "i_a", "x_b", "i_b")
    assert column(pairs, "i_a") == [1, 1, 2, 4, 4, 5]
    assert column(pairs, "i_b") == [1, 4, 2, 1, 4, 5]


def test_groups(loans: tp.Table) -> None:
    groups = loans.group_by("t", n="count", mean=("x", "mean"), first=("i", "first"))
    assert column(groups, "t") == ["ann", "bob", "cid", None]
    assert column(groups, "n") == [2, 1, 1, 1]
    assert column(groups, "mean") == [10, 20, 50, 30]
    X = groups.to_tensor(["n", "mean", "first"])
    assert X.ops() == ["group_by"]
    assert X[0].trace().steps == ("group_by",)
    assert rows_of(X[0]) == {("loans", 0), ("loans", 3)}
    assert rows_of(groups["first"][0]) == {("loans", 0)}
    assert control(X[0]) == {"loans": [0, 1, 2, 3, 4]}
    assert groups.source == "loans"


def test_a_group_s_mean_beside_single_rows_is_a_statistic(loans: tp.Table) -> None:
    means = loans.group_by("t", mean=("x", "mean"))
    both = loans.join(means, "t")
    centred = both["x"] - both["mean"]
    found = centred[0].dependencies()
    assert found.direct == {"loans": {0}}
    assert found.statistic == {"loans": {0, 3}}


def test_sorting(loans: tp.Table) -> None:
    ordered = loans.sort(["t", "x"], descending=[True, False])
    assert column(ordered, "i") == [5, 2, 1, 4, 3]
    assert ordered["i"].ops() == ["sort"]
    assert rows_of(ordered["i"][0]) == {("loans", 4)}
    assert control(ordered["i"][0]) == {"loans": [0, 1, 2, 3, 4]}
    assert column(loans.sort("x", True), "i") == [5, 3, 2, 1, 4]


@pytest.mark.parametrize("dtype", ["i8", "u1", "?", "f4", "M8[D]", "m8[s]"])
@pytest.mark.parametrize("descending", [False, True])
def test_every_dtype_sorts_both_ways_and_stably(dtype: str, descending: bool) -> None:
    plain_values = np.array([3, 0, 1, 3, 1, 0]).astype(dtype)
    made = tp.Table.from_tensors({"v": plain_values, "at": np.arange(6)})
    order = sorted(range(6), key=lambda i: plain_values[i].astype(int), reverse=descending)
    assert column(made.sort("v", descending), "at") == order


def test_order_and_groups_hang_on_every_key() -> None:
    ties, words = np.array([1.0, 1.0, 0.0, 1.0]), np.array(["b", "a", "c", "a"])

    def ordered(x: Any, t: Any) -> list[Any]:
        made = tp.Table.from_tensors({"x": x, "t": t, "n": np.arange(4.0)}).sort(["x", "t"])
        return [values(made["n"])] if isinstance(x, np.ndarray) else [made["n"]]

    assert_sound(ordered, ties, words)

    def grouped(x: Any, t: Any) -> list[Any]:
        made = tp.Table.from_tensors({"x": x, "t": t}).group_by(["x", "t"], n="count")
        return [values(made[c]) if isinstance(x, np.ndarray) else made[c] for c in made]

    assert_sound(grouped, ties, words)


def test_concat_merges_categories_and_columns_without_values(loans: tp.Table) -> None:
    empty = tp.Table.from_arrow(pa.table({"t": pa.nulls(2), "x": [1, 2], "i": [6.5, 7.0]}), "empty")
    other = table("other", {"t": ["zoe", "ann"], "x": [1.0, 2.0], "i": [8, 9]})
    whole = tp.Table.concat([loans, empty, other])
    assert whole.categories["t"] == ("ann", "bob", "cid", "zoe")
    assert column(whole, "t")[5:] == [None, None, "zoe", "ann"]
    assert column(whole, "i")[4:] == [5, 6.5, 7, 8, 9]
    assert rows_of(whole["t"][8]) == {("other", 1)}
    assert whole[[8, 0]].to_tensor().ops() == ["concat", "row_select", "one_hot"]
    assert repr(whole).startswith("Table of loans and empty and other, 9 rows (t: 4 categories")


def test_concat_of_dates() -> None:
    days = tp.Table.from_tensors({"d": np.array(["2020-01-01"], "M8[D]")})
    hours = tp.Table.from_tensors({"d": np.array(["2020-01-01T05"], "M8[h]")})
    nothing = tp.Table.from_tensors({"d": np.array([np.nan])})
    found = values(tp.Table.concat([days, nothing, hours])["d"])
    assert found.dtype == "M8[h]"
    assert np.isnat(found).tolist() == [False, True, False]


def test_a_column_of_tensors(loans: tp.Table) -> None:
    ordered = loans.sort("x", descending=True)
    doubled = ordered.with_column("double", ordered["x"] * 2)
    assert column(doubled, "double") == [100, 60, 40, 20, None]
    assert rows_of(doubled["double"][0]) == {("loans", 4)}
    upper = doubled.with_column("upper", np.strings.upper(ordered["t"])).sort("i")
    assert column(upper, "upper") == ["ANN", "BOB", None, "ANN", "CID"]
    assert upper.categories["upper"] == ("ANN", "BOB", "CID")
    assert column(upper.with_column("x", upper["x"] + 1), "x") == [11, 21, 31, None, 51]
    with pytest.raises(DataError, match="its row 0 is loans row 0, the table's is row 4"):
        ordered.with_column("double", loans["x"])
    shifted = ordered.with_column("before", np.roll(ordered["x"], 1), check=False)
    assert rows_of(shifted["before"][1]) == {("loans", 4)}
    with pytest.raises(DataError, match=r"shape \(4,\) and the table 5 rows"):
        loans.with_column("short", loans["x"][1:])
    with pytest.raises(DataError, match="complex128"):
        loans.with_column("c", np.zeros(5, complex))


def test_a_column_stays_when_its_tensor_is_written_into(loans: tp.Table) -> None:
    own = loans["x"] * 1
    made = loans.with_column("own", own)
    own[0] = 99
    assert column(made, "own")[0] == 10


def test_missing_values_filled(loans: tp.Table) -> None:
    filled = loans.fill("t", "nobody").fill("x", np.nanmean(loans["x"]))
    assert column(filled, "t") == ["ann", "bob", "nobody", "ann", "cid"]
    assert filled.one_hot("t").columns == ("t=ann", "t=bob", "t=cid", "t=nobody")
    assert column(filled, "x") == [10, 20, 30, 27.5, 50]
    assert list(filled["x"][3].dependencies().statistic["loans"]) == [0, 1, 2, 3, 4]
    dated = tp.Table.from_tensors({"d": np.array(["NaT", "2020-01-01"], "M8[D]")})
    assert str(values(dated.fill("d", "1999-12-31")["d"])[0]) == "1999-12-31"
    with pytest.raises(SourceError, match="fill it with a number, not 'many'"):
        loans.fill("x", "many")
    with pytest.raises(SourceError, match="fill it with a text, not 3"):
        loans.fill("t", 3)


def test_columns_renamed_and_left_out(loans: tp.Table) -> None:
    assert loans.rename({"x": "amount"}).columns == ("t", "amount", "i")
    assert loans.drop("x").columns == ("t", "i")
    assert loans.select(["i", "t"]).columns == ("i", "t")
    assert column(loans.head(2), "i") == [1, 2]
    assert len(loans.head(-1)) == 0
    with pytest.raises(SourceError, match="two columns of loans one name"):
        loans.rename({"x": "t"})
    with pytest.raises(SourceError, match="no column"):
        loans.drop(["t", "x", "i"])


def test_what_prints(loans: tp.Table, people: tp.Table) -> None:
    lines = repr(loans.join(people, "t", "left")).splitlines()
    assert lines[1].split() == ["t", "x", "i", "i_right"]
    assert lines[2].split() == ["loans", "row", "0;", "people", "row", "1", "ann", "10", "1", "44"]
    assert lines[5].split() == ["loans", "row", "2", "–", "30", "3", "–"]
    many = repr(table("many", {"i": list(range(30))})).splitlines()
    assert many[2].split() == ["row", "0", "0"]
    assert many[-1] == "… 22 more rows"
    html = tp.Table.from_tensors({"t": np.array(["<b>"])})._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<small>1 row of t</small>" in html


def test_lineage_of_steps_is_saved_and_answers_in_another_process(
    loans: tp.Table, people: tp.Table, tmp_path: Path
) -> None:
    joined = loans.join(people, "t", "left").sort("i", descending=True)
    groups = joined.group_by("t", n="count", m=("i_right", "mean"))
    both = tp.Table.concat([groups, groups])
    path = tmp_path / "lineage.arrow"
    save_lineage(path, joined.to_tensor(["t", "i"]), both.to_tensor(["n", "m"]))
    graph = load_lineage(path)
    assert graph.ops(root=0) == ["join", "sort", "one_hot"]
    assert graph.ops(root=1) == ["join", "sort", "group_by", "concat"]
    code = (
        "import sys; from traceprop.lineage import load_lineage; "
        "print(load_lineage(sys.argv[1]).trace(0, root=1))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == str(graph.trace(0, root=1))
    assert graph.trace(0, root=1).trace_to_file() == str(
        both.to_tensor(["n", "m"])[0].trace().trace_to_file()
    )


def test_every_recorded_operation_runs_again(loans: tp.Table, people: tp.Table) -> None:
    """What a replay needs: from plain inputs and the node's own arguments, the same values."""
    from traceprop.lineage.graph.node import SOURCE, inputs_first
    from traceprop.lineage.graph.template import fill

    joined = loans.join(people, "t", "left").sort(["i", "t"], [True, False])
    groups = tp.Table.concat([joined, joined.fill("x", 0.0)]).group_by(
        ["t", "i"], n="count", m=("i_right", "mean"), f=("x", "first"), v=("x", "var")
    )
    end = groups[groups["n"] > 1].to_tensor()
    made: dict[Any, Any] = {}
    for node in inputs_first(end.node):
        if node.op is SOURCE:
            source, rows, column = node.args
            assert rows is None
            made[node] = source.read(column)
            continue
        inputs = [made[parent] for parent in node.inputs]
        made[node] = node.op(*fill(node.args, inputs), **(fill(node.kwargs, inputs) or {}))
    assert np.array_equal(made[end.node], values(end), equal_nan=True)


@pytest.mark.parametrize(
    ("step", "error", "match"),
    [
        (lambda a, b: a.join(b, "z"), SourceError, "loans has no column 'z'"),
        (lambda a, b: a.join(b, "x"), SourceError, "people has no column 'x'"),
        (lambda a, b: a.join(b, []), SourceError, "no key"),
        (lambda a, b: a.join(b, "t", how="outer"), SourceError, "'outer' is no way to join"),
        (lambda a, b: a.join(b, {"t": "i"}), SourceError, "text in the left table and numbers"),
        (lambda a, b: a.join(b, "t", suffixes=("", "")), SourceError, "two columns 'i'"),
        (lambda a, b: a.group_by("z"), SourceError, "no column 'z'"),
        (lambda a, b: a.group_by([]), SourceError, "no key column"),
        (lambda a, b: a.group_by("t", t="count"), SourceError, "two columns 't'"),
        (lambda a, b: a.group_by("t", m=("x", "mode")), SourceError, "is no aggregate"),
        (lambda a, b: a.group_by("i", m=("t", "mean")), DataError, "holds text"),
        (lambda a, b: a.sort([]), SourceError, "0 columns and 0 directions"),
        (lambda a, b: a.sort("x", [True, True]), SourceError, "1 columns and 2 directions"),
        (lambda a, b: tp.Table.concat([]), SourceError, "no tables"),
        (lambda a, b: tp.Table.concat([a, b]), SourceError, "people has no column 'x', which"),
        (lambda a, b: tp.Table.concat([b, a]), SourceError, "'x' that people lacks"),
        (
            lambda a, b: tp.Table.concat([b, b.rename({"t": "i", "i": "t"})]),
            SourceError,
            r"'t' is text in people \('cid' in people row 0\) and numbers in people",
        ),
        (lambda a, b: a.filter([0, 1]), RowError, "row numbers go to take"),
        (lambda a, b: a.take([True] * 5), RowError, "a mask goes to filter"),
        (lambda a, b: tp.Table.from_tensors({}), SourceError, "no columns"),
    ],
)
def test_what_steps_refuse(
    loans: tp.Table, people: tp.Table, step: Any, error: type, match: str
) -> None:
    with pytest.raises(error, match=match):
        step(loans, people)


def test_at_granularity_op_steps_still_answer(loans: tp.Table, people: tp.Table) -> None:
    with tp.granularity("op"):
        joined = loans.join(people, "t").sort("i")
        groups = joined.group_by("t", m=("x", "mean"))
    assert groups["m"].ops() == ["join", "sort", "group_by"]
    assert rows_of(groups["m"]) == {("loans", i) for i in range(5)}


@pytest.mark.parametrize("dtype", ["i4", "u8", "?", "f2", "f4", "f8", "M8[D]", "m8[ms]"])
def test_rows_gathered_by_the_kernel_are_those_of_numpy(dtype: str) -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 100, 50).astype(dtype)
    made = tp.Table.from_tensors({"i": np.arange(50), "v": base})
    keys = rng.integers(0, 60, 9000)
    wide = tp.Table.from_tensors({"i": keys})
    assert np.array_equal(values(wide.join(made, "i")["v"]), base[keys[keys < 50]])
    found = wide.join(made, "i", "left")
    assert np.array_equal(values(found.missing("v")), keys >= 50)
    assert np.array_equal(values(found["v"])[keys < 50], base[keys[keys < 50]])


def test_a_cell_of_a_table_s_tensor_rests_on_its_own_column(loans: tp.Table) -> None:
    X = loans[loans["i"] > 1].to_tensor(["t", "x"])
    assert X.columns == ("t=ann", "t=bob", "t=cid", "t=(missing)", "x")
    assert repr(X.cells((0, 1)).direct) == "{loans: row 1, column t}"
    assert repr(X.cells((3, 4)).direct) == "{loans: row 4, column x}"
    assert repr(X.cells((0, 4)).control) == "{loans: rows 0-4, column i}"
    groups = loans.group_by("t", m=("x", "mean")).to_tensor(["m"])
    assert repr(groups.cells((0, 0)).direct) == "{loans: rows 0, 3, column x}"


def test_joins_and_groups_without_further_columns(loans: tp.Table, people: tp.Table) -> None:
    known = loans.join(people.select("t"), "t")
    assert known.columns == loans.columns
    assert column(known, "i") == [1, 1, 4, 4, 5]
    assert set(map(str, known.dependencies().control)) == {"loans", "people"}
    assert column(loans.group_by("t"), "t") == ["ann", "bob", "cid", None]


def test_tables_without_rows(loans: tp.Table, people: tp.Table) -> None:
    empty = loans[loans["i"] > 9]
    groups = empty.group_by(
        "t", n="count", m=("x", "mean"), f=("x", "first"), u=("i", "nunique"), top=("t", "max")
    )
    for made in (empty.sort("x"), groups, empty.join(people, "t"), people.join(empty, "i")):
        assert len(made) == 0
        assert all(len(made[name]) == 0 for name in made)
    assert column(loans.join(empty.select(["t", "x"]), "t", "left"), "x_right") == [None] * 5
    assert len(tp.Table.concat([empty, loans, empty])) == 5
    assert "0 rows" in repr(empty)
    assert empty["x"].dependencies().control == {"loans": {0, 1, 2, 3, 4}}
