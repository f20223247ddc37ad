"""pandas, polars and Arrow: out, through what people do there, and in again with the same rows."""

from __future__ import annotations

import copy
import datetime
import gc
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import traceprop as tp
from tests.naive import tables as naive
from tests.sources.tables import assert_same, columns, read, rows_of, table
from traceprop.errors import DataError, EscapeError, LineageEscapeWarning
from traceprop.lineage import values
from traceprop.lineage.recording.escapes import forget_warned
from traceprop.testing import assert_sound

DAY = datetime.date(2020, 1, 1)


@pytest.fixture(autouse=True)
def warn_again() -> Iterator[None]:
    forget_warned()
    yield
    forget_warned()


@pytest.fixture
def people() -> tp.Table:
    return table(
        "people",
        {
            "t": ["ann", "bob", None, "ann"],
            "x": [1.5, None, 3.0, 4.0],
            "i": [7, 8, 9, 10],
            "d": [DAY, None, DAY, None],
        },
    )


def test_a_data_frame_has_the_values_and_the_source_s_rows(people: tp.Table) -> None:
    frame = people[people["i"] > 7].to_pandas()
    assert frame.index.name == "people row"
    assert list(frame.index) == [1, 2, 3]
    assert frame["t"].tolist()[::2] == ["bob", "ann"]
    assert pd.isna(frame["t"].iloc[1])
    assert frame["x"].isna().tolist() == [True, False, False]
    assert frame["d"].isna().tolist() == [True, False, True]
    assert frame["i"].dtype == np.int64
    frame.loc[1, "i"] = 99  # a copy: the table stays
    assert values(people["i"])[1] == 8


@pytest.mark.parametrize(
    ("what", "rows"),
    [
        (lambda f: f, [0, 1, 2, 3]),
        (lambda f: f[f["i"] > 8], [2, 3]),
        (lambda f: f.query("i < 9").sort_values("i", ascending=False), [1, 0]),
        (lambda f: f.dropna(subset=["t"]), [0, 1, 3]),
        (lambda f: f.iloc[[3, 3, 0]], [3, 3, 0]),
        (lambda f: f.drop_duplicates("t"), [0, 1, 2]),
        (lambda f: pd.concat([f.head(1), f.tail(1)]), [0, 3]),
        (lambda f: f.assign(i=f["i"].astype("float32")), [0, 1, 2, 3]),
        (copy.deepcopy, [0, 1, 2, 3]),
    ],
)
def test_rows_chosen_in_pandas_are_found_again(
    people: tp.Table, what: Callable[[pd.DataFrame], pd.DataFrame], rows: list[int]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = tp.Table.from_pandas(what(people.to_pandas()))
    expected = naive.table("people", {name: [plain for plain, _ in cells] for name, cells in {
        name: [row[name] for row in read(people)] for name in people}.items()})  # fmt: skip
    assert_same(back, [expected[row] for row in rows])
    assert back["x"].ops() == ["pandas"]
    assert back["x"].dependencies().control == {"people": {0, 1, 2, 3}}


def test_what_was_made_in_pandas_is_an_escape_and_rests_on_all_rows(people: tp.Table) -> None:
    frame = people.to_pandas()
    frame = frame.assign(double=frame["x"] * 2, i=frame["i"] + 1)[frame["i"] > 7]
    with pytest.warns(LineageEscapeWarning, match="columns 'i', 'double' from pandas: .*every row"):
        back = tp.Table.from_pandas(frame)
    assert rows_of(back["double"][0]) == {("people", i) for i in range(4)}
    assert rows_of(back["x"][0]) == {("people", 1)}
    for name in ("i", "double", "x"):  # x too: its values may be in theirs
        assert [each.door for each in back[name].escapes()] == ["columns 'i', 'double' from pandas"]
    with tp.strict(), pytest.raises(EscapeError, match="columns 'i', 'double' from pandas"):
        tp.Table.from_pandas(frame)


@pytest.mark.parametrize(
    "what",
    [
        lambda f: f.reset_index(drop=True),
        lambda f: f.groupby("t", observed=True)[["x"]].sum(),
        lambda f: f.set_index("i"),
        lambda f: pd.concat([f, f.rename(index={0: 77}).head(1)]),
    ],
)
def test_rows_that_pandas_lost_are_any_rows(people: tp.Table, what: Any) -> None:
    with pytest.warns(LineageEscapeWarning):
        back = tp.Table.from_pandas(what(people.to_pandas()))
    for name in back:
        assert rows_of(back[name][0]) == {("people", i) for i in range(4)}


def test_a_table_of_several_sources_and_back(people: tp.Table) -> None:
    other = table("other", {"t": ["ann", "ann"], "k": ["p", "q"]})
    joined = people.join(other, "t", "left")
    frame = joined.to_pandas()
    assert frame.index.name == "table row"
    back = tp.Table.from_pandas(frame[frame["k"] == "q"])
    assert rows_of(back.to_tensor(["i", "k"])[1]) == {("people", 3), ("other", 1)}


def test_a_data_frame_of_one_s_own_is_a_source(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "words": ["a", None, "b"],
            "numbers": pd.array([1, None, 3], dtype="Int64"),
            "flags": [True, False, True],
            "when": pd.to_datetime(["2020-01-01", None, "2020-01-02"]),
        },
        index=pd.Index([10, 20, 30], name="key"),
    )
    made = tp.Table.from_pandas(frame, source="frame")
    assert made.columns == ("key", "words", "numbers", "flags", "when")
    assert made.source == "frame"
    assert len(made.source.sha256) == 64
    assert made.source.sha256 == tp.Table.from_pandas(frame, source="x").source.sha256
    assert made.source.sha256 != tp.Table.from_pandas(frame[:2], source="x").source.sha256
    assert rows_of(made["numbers"][2]) == {("frame", 2)}
    assert values(made.missing("numbers")).tolist() == [False, True, False]
    assert values(made.missing("when")).tolist() == [False, True, False]
    linked = made.to_pandas()
    assert tp.Table.from_pandas(linked, source="anew").source == "anew"


def test_data_without_a_link_is_a_new_source_and_says_so(people: tp.Table) -> None:
    frame = people.to_pandas()
    merged = frame.merge(pd.DataFrame({"i": [7, 8], "z": [1, 2]}), on="i")
    with pytest.warns(LineageEscapeWarning, match="pandas without a link.*new source, table-"):
        back = tp.from_pandas(merged)
    assert str(back.source).startswith("table-")
    counted = people.to_polars().group_by("t").len()
    with pytest.warns(LineageEscapeWarning, match="polars without a link"):
        tp.Table.from_polars(counted)
    with tp.strict(), pytest.raises(EscapeError, match="without a link"):
        tp.from_pandas(merged)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tp.from_pandas(merged, source="merged").source == "merged"
        code = "import traceprop as tp, pandas as pd; tp.from_pandas(pd.DataFrame({'a': [1]}))"
        subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


WITHOUT_LIBRARIES = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pandas", "polars"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
import numpy as np, traceprop as tp
from traceprop.errors import MissingExtraError
table = tp.Table.from_tensors({"a": np.arange(3)})
for call in (table.to_pandas, table.to_polars, lambda: tp.from_pandas(1)):
    try:
        call()
    except MissingExtraError as error:
        assert "[dataframes]" in str(error)
    else:
        raise AssertionError(call)
assert table.to_arrow().num_rows == 3
"""


def test_without_the_libraries_their_extra_is_named() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_LIBRARIES], check=True)


def test_what_pandas_writes_and_copies_takes_the_link_for_a_text(
    people: tp.Table, tmp_path: Path
) -> None:
    frame = people.to_pandas()
    assert json.dumps(frame.attrs) == '{"traceprop": "people row"}'
    frame.to_parquet(tmp_path / "frame.parquet")
    again = pd.read_parquet(tmp_path / "frame.parquet")
    assert tp.Table.from_pandas(again, source="again").source == "again"
    frame.to_pickle(tmp_path / "frame.pickle")


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (pd.DataFrame({0: [1]}), "column 0 isn't called by a text"),
        (pd.DataFrame({"a": [1, "x"]}), "'a' holds values of several kinds"),
        (pd.DataFrame({"a": [[1], [2]]}), r"'a' holds list<"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are called 'a'"),
        (pd.DataFrame(index=[1]), "no columns"),
        ("no frame", "takes a DataFrame, not str"),
    ],
)
def test_data_frames_that_can_t_be_tables(frame: Any, match: str) -> None:
    with pytest.raises(DataError, match=match):
        tp.Table.from_pandas(frame)


def test_polars_and_back(people: tp.Table) -> None:
    frame = people.to_polars()
    mark = frame.columns[-1]
    assert mark.startswith("traceprop_row_")
    chosen = frame.filter(pl.col("i") > 7).sort("i", descending=True).select("t", "x", "d", mark)
    back = tp.Table.from_polars(chosen)
    assert back.columns == ("t", "x", "d")
    assert [rows_of(back["d"][i]) for i in range(3)] == [{("people", 3 - i)} for i in range(3)]
    assert back["x"].ops() == ["polars"]
    lazy = frame.lazy().with_columns(y=pl.col("x") + 1).filter(pl.col("x") > 2)
    with pytest.warns(LineageEscapeWarning, match="column 'y' from polars"):
        back = tp.Table.from_polars(lazy)
    assert rows_of(back["x"][0]) == {("people", 2)}
    assert rows_of(back["y"][0]) == {("people", i) for i in range(4)}


def test_polars_joins_bring_their_rows(people: tp.Table) -> None:
    other = pl.DataFrame({"t": ["ann", "cid"], "z": [5, 6]})
    joined = people.to_polars().with_columns(pl.col("t").cast(pl.String)).join(other, on="t")
    with pytest.warns(LineageEscapeWarning, match="column 'z' from polars"):
        back = tp.Table.from_polars(joined)
    assert [rows_of(back["t"][i]) for i in range(2)] == [{("people", 0)}, {("people", 3)}]


def test_arrow_streams_and_back(people: tp.Table) -> None:
    sent = pa.table(people)
    assert sent.column_names[:-1] == list(people)
    back = tp.Table.from_arrow(sent.take([2, 0]))
    assert [rows_of(back["x"][i]) for i in range(2)] == [{("people", 2)}, {("people", 0)}]
    assert people.to_arrow(rows=False).column_names == list(people)
    assert people.to_arrow()["t"].to_pylist() == ["ann", "bob", None, "ann"]
    assert people.to_arrow()["d"].to_pylist() == [DAY, None, DAY, None]
    frame = pl.DataFrame(people)
    assert tp.Table.from_arrow(frame).columns == people.columns
    added = sent.append_column("traceprop_row_x", sent.column(sent.num_columns - 1))
    with pytest.warns(LineageEscapeWarning):
        assert rows_of(tp.Table.from_arrow(added)["x"][0]) == {("people", i) for i in range(4)}


def test_rows_of_a_table_that_is_gone(people: tp.Table) -> None:
    lost = table("lost", {"i": [1, 2]})
    sent = lost.to_arrow()
    del lost
    gc.collect()
    with pytest.raises(DataError, match="numbers rows of a table that is gone"):
        tp.Table.from_arrow(sent)
    plain = sent.drop_columns([sent.column_names[-1]])
    assert len(tp.Table.from_arrow(plain, "plain")) == 2


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (pa.array(["a", None], pa.large_string()), ["a", ""]),
        (pa.array(["a", None], pa.string_view()), ["a", ""]),
        (pa.array([1, 2]).dictionary_encode(), [1, 2]),
        (pa.array([datetime.time(1), None], pa.time64("us")), [3600, None]),
        (pa.array([None, None]), [np.nan, np.nan]),
    ],
)
def test_arrow_types(data: pa.Array, found: list[Any]) -> None:
    made = values(tp.Table.from_arrow(pa.table({"a": data}), "data")["a"])
    expected = (
        np.array(found, made.dtype) if None not in found else np.array([3600, "NaT"], "m8[s]")
    )
    assert made.tolist() == expected.tolist() or np.array_equal(made, expected, equal_nan=True)


def test_arrow_columns_that_a_table_can_t_hold() -> None:
    with pytest.raises(DataError, match="'a' holds binary"):
        tp.Table.from_arrow(pa.table({"a": pa.array([b"x"])}))
    with pytest.raises(DataError, match="no columns"):
        tp.Table.from_arrow(pa.table({}))
    with pytest.raises(DataError, match="two columns are called 'a'"):
        tp.Table.from_arrow(pa.table([[1], [2]], names=["a", "a"]))


@given(columns("txid", min_size=1), st.data())
def test_any_rows_through_any_library(cells: Any, data: st.DataObject) -> None:
    made, rows = table("made", cells), naive.table("made", cells)
    count = len(rows)
    chosen = data.draw(st.lists(st.integers(0, count - 1), max_size=6))
    library = data.draw(st.sampled_from(["pandas", "polars", "arrow"]))
    if library == "pandas":
        back = tp.Table.from_pandas(made.to_pandas().iloc[chosen])
    elif library == "polars":
        back = tp.Table.from_polars(made.to_polars()[chosen])
    else:
        back = tp.Table.from_arrow(made.to_arrow().take(pa.array(chosen, pa.int64())))
    assert_same(back, [rows[i] for i in chosen])


def test_rows_that_change_through_pandas_name_the_row_that_was_nudged() -> None:
    def program(x: Any, k: Any) -> list[Any]:
        made = tp.Table.from_tensors({"x": x, "k": k})
        frame = made.to_pandas()
        frame = frame[frame["x"] > 0].sort_values("k")
        frame["total"] = frame["x"].sum()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with tp.strict(False):
                back = tp.Table.from_pandas(frame)
        return [values(back[n]) if isinstance(x, np.ndarray) else back[n] for n in back]

    assert_sound(program, np.array([1.0, 2.0, -1.0, 0.5]), np.array([3, 1, 2, 1]))


def test_nothing_of_this_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, traceprop as tp, numpy as np;"
        "t = tp.Table.from_tensors({'a': np.arange(3)}); repr(t.sort('a'));"
        "assert not {'pandas', 'polars'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
