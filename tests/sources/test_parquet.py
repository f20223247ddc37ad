"""Parquet files: values, row groups, batches, refusals; rows hashed as they are read."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import traceprop as tp
from tests.naive.row_hashes import hash_of_row
from traceprop.errors import SourceError
from traceprop.lineage import values
from traceprop.sources.parquet import read as parquet_read
from traceprop.sources.parquet import source as parquet_source

DAY = datetime.date(2024, 2, 29)
MOMENT = datetime.datetime(2024, 2, 29, 13, 59, 1, 250_000)
UTC = datetime.UTC


@pytest.fixture
def loans(tmp_path: Path) -> Path:
    """Seven rows in row groups of three, of every kind of column."""
    table = pa.table(
        {
            "id": pa.array(range(100, 107), pa.int64()),
            "age": pa.array([31, None, 50, 22, 44, 60, 19], pa.int16()),
            "rate": pa.array([0.5, 1.5, None, float("nan"), -0.0, 2.0, 7.25], pa.float32()),
            "paid": pa.array([True, False, None, True, True, False, True]),
            "amount": pa.array(
                [None if i == 4 else decimal.Decimal(i) / 4 for i in range(7)],
                pa.decimal128(9, 2),
            ),
            "purpose": pa.array(["car", "tv", None, "car", "", "żółć", "tv"]),
            "city": pa.array(["A", "B", None, "A", "A", "B", "B"]).dictionary_encode(),
            "day": pa.array([DAY, None, *[DAY] * 5]),
            "at": pa.array([MOMENT, None, *[MOMENT] * 5], pa.timestamp("us")),
            "utc": pa.array([MOMENT, None, *[MOMENT] * 5], pa.timestamp("ms", tz="Europe/Oslo")),
            "time": pa.array([MOMENT.time(), None, *[MOMENT.time()] * 5], pa.time64("us")),
            "nothing": pa.nulls(7),
        }
    )
    path = tmp_path / "loans.parquet"
    pq.write_table(table, path, row_group_size=3)
    return path


NUMBERS = ["id", "age", "rate", "paid", "amount", "nothing"]


def test_numbers_become_a_matrix(loans: Path) -> None:
    X = tp.load_parquet(loans, columns=NUMBERS)
    expected = pq.read_table(loans, columns=NUMBERS).to_pandas().astype(float).to_numpy()
    assert X.columns == tuple(NUMBERS)
    assert np.array_equal(values(X), expected, equal_nan=True)
    (source,) = X.sources()
    assert (source.kind, source.n_rows, source.name) == ("parquet", 7, "loans.parquet")


def test_a_table_keeps_kinds_and_missing_values(loans: Path) -> None:
    table = tp.read_parquet(loans)
    assert table.categories["purpose"] == ("", "car", "tv", "żółć")
    assert table.categories["city"] == ("A", "B")
    assert values(table.codes("city")).tolist() == [0, 1, -1, 0, 0, 1, 1]
    assert values(table["at"])[0] == np.datetime64(MOMENT)
    assert np.isnat(values(table["at"])[1])
    assert values(table["utc"])[0] == np.datetime64(MOMENT)
    assert values(table["day"])[2] == np.datetime64(DAY)
    assert values(table["time"])[0] == np.timedelta64(MOMENT - datetime.datetime(2024, 2, 29))
    assert values(table["id"]).tolist() == list(range(100, 107))
    assert values(table["id"]).dtype == np.int64
    assert np.array_equal(
        values(table["amount"]), [0, 0.25, 0.5, 0.75, np.nan, 1.25, 1.5], equal_nan=True
    )
    assert np.isnan(values(table["nothing"])).all()


def test_rows_are_hashed_by_their_values(loans: Path) -> None:
    rows = pq.read_table(loans).to_pylist()
    plain = [
        [v.astimezone(UTC) if isinstance(v, datetime.datetime) and v.tzinfo else v for v in row]
        for row in (row.values() for row in rows)
    ]
    assert tp.read_parquet(loans).source.row_hashes.tolist() == [hash_of_row(r) for r in plain]
    (source,) = tp.load_parquet(loans, columns=["id", "age"]).sources()
    assert source.row_hashes.tolist() == [hash_of_row([r["id"], r["age"]]) for r in rows]


def test_a_row_has_a_row_group_and_a_position(loans: Path) -> None:
    X = tp.load_parquet(loans, columns=["age"])
    (source,) = X.sources()
    groups, positions = source.row_groups([0, 2, 3, 6])
    assert groups.tolist() == [0, 0, 1, 2]
    assert positions.tolist() == [0, 2, 0, 0]
    assert str(X[6].trace()) == "loans.parquet row 6 (row group 2, position 0)"
    with pytest.raises(tp.errors.RowError, match="no row 7"):
        source.row_groups([7])


def test_columns_by_position_and_in_the_order_asked(loans: Path) -> None:
    X = tp.load_parquet(loans, columns=[4, "id"])
    assert X.columns == ("amount", "id")
    assert values(X)[3].tolist() == [0.75, 103.0]
    assert tp.load_parquet(loans, columns="id").columns == ("id",)


def test_batches_carry_the_right_rows(loans: Path) -> None:
    whole = tp.load_parquet(loans, columns=["id"])
    tensors = list(tp.load_parquet(loans, columns=["id"], batch_rows=2))
    assert sum(len(each) for each in tensors) == 7
    assert np.array_equal(np.concatenate([values(each) for each in tensors]), values(whole))
    source = next(iter(whole.sources()))
    rows = [row for each in tensors for row in each.sources()[source]]
    assert rows == list(range(7))
    last = next(iter(tensors[-1].sources()))
    assert np.array_equal(last.row_hashes, source.row_hashes)
    assert last == source
    tables = list(tp.read_parquet(loans, batch_rows=4))
    assert [list(t["id"].sources()[source]) for t in tables] == [[0, 1, 2, 3], [4, 5, 6]]
    assert "".join("|".join(values(t["purpose"])) for t in tables).count("car") == 2


def test_several_files_name_their_own_rows(loans: Path) -> None:
    other = loans.with_name("more.parquet")
    pq.write_table(pq.read_table(loans).slice(2, 3), other)
    X = tp.load_parquet([loans, other], columns=["id"])
    assert values(X).ravel().tolist() == [*range(100, 107), 102, 103, 104]
    assert str(X[8].trace()) == "more.parquet row 1 · concat"
    table = tp.read_parquet(str(loans.parent / "*.parquet"))
    assert len(table) == 10
    pq.write_table(pq.read_table(loans).drop_columns(["age"]), other)
    with pytest.raises(SourceError, match=r"more.parquet has no column 'age', which loans"):
        tp.read_parquet([loans, other])
    pq.write_table(pq.read_table(loans).select(["age", "id"]), other)
    pq.write_table(pq.read_table(loans).select(["id", "age"]), loans)
    with pytest.raises(SourceError, match="another order"):
        tp.load_parquet([loans, other])


@given(
    st.lists(st.one_of(st.none(), st.floats(width=32)), min_size=1, max_size=20),
    st.integers(1, 7),
    st.integers(1, 7),
    st.integers(1, 9),
)
def test_row_groups_and_batches_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, column: list, group: int, size: int, run: int
) -> None:
    path = tmp_path_factory.mktemp("p") / "t.parquet"
    table = pa.table({"x": pa.array(column, pa.float64()), "n": range(len(column))})
    pq.write_table(table, path, row_group_size=group)
    expected = [hash_of_row([x, n]) for n, x in enumerate(column)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_read, "_BATCH_ROWS", size)
        patch.setattr(parquet_read, "_MATRIX_RUN_ROWS", run)
        whole = tp.load_parquet(path)
    assert next(iter(whole.sources())).row_hashes.tolist() == expected
    parts = [values(t) for t in tp.load_parquet(path, batch_rows=size)]
    assert np.array_equal(np.concatenate(parts), values(whole), equal_nan=True)


def test_a_saved_lineage_finds_the_file_again(loans: Path) -> None:
    X = tp.load_parquet(loans, columns=["id", "age"])[3:]
    tp.save_lineage(loans.with_name("lineage.arrow"), X)
    graph = tp.load_lineage(loans.with_name("lineage.arrow"))
    assert str(graph.trace(0)) == "loans.parquet row 3 (row group 1, position 0) · row_slice"
    (source,) = graph.leaves
    assert np.array_equal(source.read(), pq.read_table(loans, columns=["id", "age"]).to_pandas(),
                          equal_nan=True)  # fmt: skip
    assert np.array_equal(source.row_hashes, next(iter(X.sources())).row_hashes)


def test_a_source_reads_again_only_what_was_loaded(loans: Path) -> None:
    table = tp.read_parquet(loans)
    source = table.source
    assert np.array_equal(source.read("purpose"), values(table.codes("purpose")))
    with pytest.raises(SourceError, match="say which column"):
        source.read()
    source.check()
    pq.write_table(pq.read_table(loans).slice(1), loans)
    for ask in (source.check, lambda: source.read("purpose")):
        with pytest.raises(SourceError, match="changed since it was loaded"):
            ask()


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ({"x": [[1]]}, {}, r"column 'x' is nested \(list<.*\); leave it out"),
        ({"x": [{"a": 1}]}, {}, r"column 'x' is nested \(struct<.*pyarrow.Table.flatten"),
        ({"x": [b"a"]}, {}, r"column 'x' holds binary; only numbers, text"),
        ({"x": [DAY]}, {}, r"column 'x' holds date32\[day\], not numbers.*read_parquet"),
        ({"x": ["a"]}, {}, r"column 'x' holds string, not numbers"),
        ({"x": [2**53 + 1]}, {}, r"column 'x' holds 9007199254740993, which a float64 can't"),
        ({"x": [1]}, {"columns": ["y"]}, "has no column 'y'; it has x"),
        ({"x": [1]}, {"columns": [1]}, "no column at position 1"),
        ({"x": [1]}, {"columns": []}, "must name each wanted column"),
        ({"x": [1]}, {"columns": ["x", "x"]}, "must name each wanted column"),
        ({"x": pa.array([], pa.int64())}, {}, "has no rows"),
        ({"x": [1]}, {"batch_rows": 0}, "batch_rows=0 is no number of rows"),
        ({"x": [1]}, {"batch_rows": "3"}, "batch_rows='3' is no number of rows"),
        ({"x": [1]}, {"columns": 0}, "columns=0 must be a list"),
    ],
)
def test_refusals_name_file_and_column(
    tmp_path: Path, table: dict, options: dict, message: str
) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(table), path)
    with pytest.raises(SourceError, match=message) as caught:
        list(tp.load_parquet(path, **options))
    said = str(caught.value)
    assert "t.parquet" in said or said.startswith(("batch_rows=", "columns="))


def test_a_table_refuses_what_floats_would_lose(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": [2**60, None]}), path)
    with pytest.raises(SourceError, match=r"t.parquet, column 'x' holds 1152921504606846976"):
        tp.read_parquet(path)


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(SourceError, match="two columns 'a'"):
        tp.load_parquet(path)


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "footer", "pages"])
@pytest.mark.parametrize("options", [{}, {"batch_rows": 2}])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, damage: str, options: dict) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": np.arange(1000.0)}), path)
    data = bytearray(path.read_bytes())
    if damage == "pages":
        data[30:400] = bytes(range(185)) * 2
    path.write_bytes(
        {
            "empty": b"",
            "text": b"a,b\n1,2\n",
            "cut": data[:-5],
            "footer": data[:-20] + b"\xff" * 12 + data[-8:],
            "pages": data,
        }[damage]
    )
    with pytest.raises(SourceError, match=r"^t.parquet can't be read as Parquet \("):
        list(tp.load_parquet(path, **options))


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        tp.load_parquet(tmp_path / "none.parquet")
    with pytest.raises(SourceError, match="is a folder"):
        tp.read_parquet(tmp_path)


def test_a_file_that_changes_between_its_batches_is_refused(loans: Path) -> None:
    batches = tp.load_parquet(loans, columns=["id"], batch_rows=2)
    next(batches)
    loans.write_bytes(loans.read_bytes() + b"")
    import os

    os.utime(loans, ns=(1, 1))
    with pytest.raises(SourceError, match="changed while it was read"):
        list(batches)


@pytest.mark.parametrize("rows", [1, 3, 4, 100])
def test_a_table_may_be_decoded_in_runs_of_row_groups(
    loans: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    whole = tp.read_parquet(loans)
    monkeypatch.setattr(parquet_read, "_TABLE_RUN_ROWS", rows)
    in_runs = tp.read_parquet(loans)
    assert np.array_equal(in_runs.source.row_hashes, whole.source.row_hashes)
    pd.testing.assert_frame_equal(in_runs.to_pandas(), whole.to_pandas())


def test_rows_that_were_never_read_are_unknown_in_a_changed_file(loans: Path) -> None:
    batches = tp.load_parquet(loans, columns=["id"], batch_rows=2)
    (source,) = next(batches).sources()
    pq.write_table(pq.read_table(loans).slice(1), loans)
    verdicts = source.verify([0, 1, 5])
    assert [verdict.state for verdict in verdicts] == ["gone", "same row", "unknown"]
    assert "was not read" in str(verdicts[2])
    assert verdicts[1].now == 0


@pytest.mark.parametrize("encoded", [False, True])
def test_text_that_is_not_utf8_is_refused_by_name(tmp_path: Path, encoded: bool) -> None:
    text = pa.array([b"good", b"\xae\xff", b"good"]).view(pa.string())
    text = text.dictionary_encode() if encoded else text
    pq.write_table(pa.table({"x": [1, 2, 3], "t": text}), tmp_path / "t.parquet")
    for options in ({}, {"batch_rows": 2}):
        with pytest.raises(SourceError, match=r"t\.parquet, column 't' holds text that isn't UTF"):
            list(tp.read_parquet(tmp_path / "t.parquet", **options))
    assert len(tp.read_parquet(tmp_path / "t.parquet", columns=["x"])) == 3


def test_batches_of_files_with_other_kinds_of_columns_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1], "t": pa.nulls(1)}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [0.5], "t": ["b"]}), tmp_path / "b.parquet")
    pq.write_table(pa.table({"x": ["one"], "t": ["b"]}), tmp_path / "c.parquet")
    for options in ({}, {"batch_rows": 1}):
        assert len(list(tp.read_parquet(tmp_path / "[ab].parquet", **options)))
        with pytest.raises(SourceError, match=r"'x' is numbers in .\.parquet and text in c"):
            list(tp.read_parquet(tmp_path / "*.parquet", **options))


def test_a_changed_count_is_refused(loans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = parquet_read.open_parquet

    def lying(*arguments, **options):
        opened = original(*arguments, **options)
        return parquet_read.OpenParquet(
            opened.file, opened.name, opened.columns, opened.n_rows + 1, opened.group_starts
        )

    monkeypatch.setattr(parquet_source.reading, "open_parquet", lying)
    with pytest.raises(SourceError, match="has 7 rows where its footer says 8"):
        tp.load_parquet(loans, columns=["id"])
