"""Queries of SQLite as sources: values, names of rows, and what is said when they changed."""

from __future__ import annotations

import pickle
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import adbc_driver_sqlite.dbapi
import numpy as np
import pytest

import traceprop as tp
from traceprop.errors import MissingExtraError, RowError, SourceError, SourceWarning
from traceprop.lineage import load_lineage, save_lineage, values
from traceprop.sources import SqlSource

QUERY = "SELECT id, age, amount, job FROM loans"
ROWS = [
    (4711, 31, 10.5, "clerk"),
    (4712, None, 2.0, "smith"),
    (4720, 45, None, None),
    (4730, 27, 7.0, "clerk"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of four loans."""
    path = tmp_path / "orders.db"
    with write(path) as connection:
        connection.execute("CREATE TABLE loans (id INTEGER, age INT, amount REAL, job TEXT)")
        connection.executemany("INSERT INTO loans VALUES (?, ?, ?, ?)", ROWS)
    return path


class write:
    """A connection that commits and closes at the end of its block."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path)

    def __enter__(self) -> sqlite3.Connection:
        return self.connection

    def __exit__(self, *error: object) -> None:
        self.connection.commit()
        self.connection.close()


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path)
    yield connection
    connection.close()


def load(path: Any, query: str = QUERY, **options: Any) -> tp.ProvenanceTensor:
    options = {"key": "id", "columns": ["age", "amount"], **options}
    return tp.load_sql(query, path, **options)


def source_of(tensor: tp.ProvenanceTensor) -> SqlSource:
    (source,) = tensor.sources()
    assert isinstance(source, SqlSource)
    return source


def rows_of(tensor: tp.ProvenanceTensor) -> list[int]:
    (rows,) = tensor.sources().values()
    return list(rows)


def test_numbers_come_as_a_tensor_whose_rows_know_their_key(path: Path) -> None:
    X = tp.load_sql("SELECT id, age, amount FROM loans", path, key="id")
    assert X.columns == ("age", "amount")  # the key is a name, not a feature
    assert np.array_equal(
        values(X), [[31, 10.5], [np.nan, 2], [45, np.nan], [27, 7]], equal_nan=True
    )
    assert str(X[2].trace()) == "loans (orders.db) row 2 (id=4720)"
    assert (X[1:3] * 2)[1].trace().trace_to_file() == "loans (orders.db) row 2"
    kept = X[values(X)[:, 0] > 30]
    assert str(kept[1].trace()).startswith("loans (orders.db) row 2 (id=4720) · ")


def test_any_columns_come_as_a_table(path: Path) -> None:
    table = tp.read_sql(QUERY, str(path), key="id")
    assert table.columns == ("id", "age", "amount", "job")
    assert values(table["id"]).tolist() == [4711, 4712, 4720, 4730]
    assert table.categories == {"job": ("clerk", "smith")}
    assert values(table.codes("job")).tolist() == [0, 1, -1, 0]
    assert str(table["job"][3].trace()).startswith("loans (orders.db) row 3 (id=4730)")
    assert rows_of(table[table["amount"] > 5]["age"]) == [0, 3]


@pytest.mark.parametrize("form", ["path", "str", "uri", "sqlite3", "adbc"])
def test_every_form_of_connection_gives_the_same_source(path: Path, form: str) -> None:
    connections: dict[str, Any] = {"path": path, "str": str(path), "uri": f"sqlite:///{path}"}
    if form == "sqlite3":
        connections[form] = sqlite3.connect(path)
    elif form == "adbc":
        connections[form] = adbc_driver_sqlite.dbapi.connect(str(path))
    X = load(connections[form])
    Y = load(path)
    assert np.array_equal(values(X), values(Y), equal_nan=True)
    source = source_of(X)
    assert source.sha256 == source_of(Y).sha256
    assert str(source) == "loans (orders.db)"
    assert source.uri.endswith(f"orders.db;query={source.query.digest[:16]}")
    if form in ("sqlite3", "adbc"):
        with pytest.raises(SourceError, match=r"source\.connect\(connection\)"):
            source.read()
        source.connect(connections[form])
    assert np.array_equal(source.read(), values(X), equal_nan=True)
    if form in ("sqlite3", "adbc"):
        connections[form].cursor().close()  # ours to use still: it was not closed
        connections[form].close()


def test_a_connection_with_factories_of_its_own_is_read_all_the_same(
    connection: sqlite3.Connection,
) -> None:
    connection.row_factory = lambda cursor, row: {
        column[0]: value for column, value in zip(cursor.description, row, strict=True)
    }
    assert load(connection).shape == (4, 2)
    assert source_of(load(connection)).uri.partition(";")[0].endswith("orders.db")


def test_a_composite_key_names_a_row(path: Path) -> None:
    X = load(path, key=["job", "age"], columns=["amount"], query=f"{QUERY} WHERE age < 40")
    assert str(X[1].trace()) == "loans (orders.db) row 1 (job=clerk, age=27)"


def test_without_a_key_a_row_is_its_ordinal_and_an_unordered_query_warns(path: Path) -> None:
    with pytest.warns(SourceWarning, match=r"no ORDER BY.*give key=, or order the query") as found:
        X = tp.load_sql("SELECT age FROM loans", path)
    assert found[0].filename == __file__
    assert str(X[2].trace()) == "loans (orders.db) row 2"
    ordered = tp.load_sql("SELECT age FROM loans ORDER BY id", path)
    assert str(ordered[2].trace()) == "loans (orders.db) row 2"


def test_parameters_are_bound_and_part_of_the_identity(path: Path) -> None:
    X = load(path, f"{QUERY} WHERE age > ?", params=[30])
    Y = load(path, f"{QUERY} WHERE age > :age", params={"age": 40})
    assert (len(X), len(Y)) == (2, 1)
    assert np.array_equal(source_of(Y).read(), values(Y), equal_nan=True)
    other = load(path, f"{QUERY} WHERE age > ?", params=[29])
    assert source_of(other).uri != source_of(X).uri


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"key": "amount"}, r"key column 'amount' of loans .* is NULL in row 2"),
        ({"key": "job", "query": f"{QUERY} WHERE job > ''"},
         r"key=\['job'\] doesn't identify a row .*: job=clerk is in row 0 and in row 2"),
        ({"key": "number"}, "gives no column 'number', which key= names; it gives id, age"),
        ({"key": []}, "names no column"),
        ({"key": 5}, "key=5 names no column"),
        ({"columns": ["agee"]}, "gives no column 'agee', which columns= names"),
        ({"columns": [9]}, "gives no column 9"),
        ({"columns": ["age", 1]}, "names 'age' twice"),
        ({"columns": []}, "leaves no column"),
        ({"columns": ["job"]}, r"column 'job' of loans .* holds text, such as 'clerk'.*read_sql"),
        ({"query": "SELECT id, id FROM loans"}, "gives two columns named 'id'"),
        ({"query": "SELECT nope FROM loans"},
         "'SELECT nope FROM loans' failed in orders.db: no such column"),
        ({"query": f"{QUERY} WHERE 0"}, "gives no row"),
        ({"query": "DELETE FROM loans"}, "is no query"),
        ({"query": 5}, "must be a str"),
        ({"params": [object()]}, "params= holds a object"),
        ({"params": "x"}, "must be a list, tuple or dict"),
        ({"batch_rows": 0}, "no number of rows"),
        ({"batch_rows": "3"}, "batch_rows='3' is no number of rows"),
        ({"columns": [1.5]}, r"columns=\[1.5\] must be a list of columns' names or of their pos"),
        ({"columns": 1}, "columns=1 must be a list"),
    ],
)  # fmt: skip
def test_what_is_refused(path: Path, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        load(path, **options)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("nowhere.db", "nowhere.db does not exist"),
        (".", "is a folder"),
        (":memory:", "empty when it is opened anew"),
        ("mysql://u:s3cret@host/db", r"^mysql:// can't be opened"),
        ("host=x password=s3cret", "looks like a login"),
        ("u:s3cret@host/db", "looks like a login"),
        ("sqlite://x", "names no file"),
        (5, "a int is no database connection"),
        ("postgresql://u:s3/cret@h/db", "%40, %2F"),
        ("postgresql://u:s3#cret@h/db", "%40, %2F"),
    ],
)
def test_connections_that_are_refused(given: Any, reason: str) -> None:
    with pytest.raises(SourceError, match=reason) as refusal:
        load(given)
    assert "cret" not in str(refusal.value)


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    with pytest.raises(MissingExtraError, match=r"install the extra \[sql\]"):
        load("postgresql://nobody@localhost/none")


def test_a_file_that_is_no_database_and_a_closed_connection(tmp_path: Path, path: Path) -> None:
    other = tmp_path / "notes.db"
    other.write_text("not a database, but longer than a header of one" * 99)
    with pytest.raises(SourceError, match="file is not a database"):
        load(other)
    closed = sqlite3.connect(path)
    closed.close()
    with pytest.raises(SourceError, match=r"still open\?.*closed"):
        load(closed)


@pytest.mark.parametrize("driver", ["sqlite3", "adbc"])
@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("(1), (2.5), ('x')", "'a' holds values of two kinds: number, but text"),
        ("(1), (x'00')", r"'a' holds bytes \(a BLOB\)"),
    ],
)
def test_sqlite_columns_of_mixed_kinds(path: Path, driver: str, cells: str, reason: str) -> None:
    with write(path) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute(f"INSERT INTO t VALUES {cells}")
    module: Any = sqlite3 if driver == "sqlite3" else adbc_driver_sqlite.dbapi
    opened = module.connect(str(path))
    try:
        with pytest.raises(SourceError, match=reason):
            tp.read_sql("SELECT a FROM t ORDER BY rowid", opened)
        numbers = "SELECT a FROM t WHERE typeof(a) IN ('integer', 'real') ORDER BY rowid -- all"
        assert values(tp.read_sql(numbers, opened)["a"]).tolist() == (
            [1, 2.5] if "2.5" in cells else [1]
        )
    finally:
        opened.close()


def test_a_column_whose_kind_changes_after_many_rows(path: Path) -> None:
    with write(path) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (?)", [(i,) for i in range(25_000)])
        connection.execute("INSERT INTO t VALUES ('x')")
    with pytest.raises(SourceError, match=r"number, but text in row 25000 \('x'\)"):
        tp.read_sql("SELECT a FROM t ORDER BY rowid", path)


def test_integers_that_a_float_cannot_hold_are_refused_as_numbers_only(path: Path) -> None:
    with write(path) as connection:
        connection.execute("UPDATE loans SET id = 9007199254740993 WHERE id = 4711")
    with pytest.raises(SourceError, match="'id' holds 9007199254740993"):
        load(path, columns=["id"])
    assert values(tp.read_sql(QUERY, path, key="id")["id"])[0] == 9007199254740993
    assert str(load(path)[0].trace()).endswith("(id=9007199254740993)")


# What changed since.


def test_rows_that_changed_or_are_gone_are_told_by_their_key(path: Path) -> None:
    X = load(path, columns=["age", "amount"])
    assert {verdict.state for verdict in X.trace().verify()} == {"same bytes"}
    assert "the query gives the same rows" in str(X[0].trace().verify())
    with write(path) as connection:
        connection.execute("DELETE FROM loans WHERE id = 4712")
        connection.execute("UPDATE loans SET age = 46 WHERE id = 4720")
    found = X.trace().verify()
    assert [verdict.state for verdict in found] == ["same row", "gone", "changed", "same row"]
    assert [verdict.now for verdict in found] == [0, None, 1, 2]
    assert "the query's result changed, this row is the same and is row 2 now" in str(found[3])
    with pytest.raises(SourceError, match=r"gone: 1 \(the first: id=4712\), rows that are new: 0"):
        source_of(X).read()


def test_a_changed_value_is_named_by_its_key(path: Path) -> None:
    X = load(path)
    with write(path) as connection:
        connection.execute("UPDATE loans SET amount = 0 WHERE id = 4720")
    with pytest.raises(SourceError, match=r"rows changed: 1, the first is row 2 \(id=4720\)"):
        source_of(X).check()
    with write(path) as connection:
        connection.execute("UPDATE loans SET amount = NULL WHERE id = 4720")
    source_of(X).check()


def test_a_column_that_was_not_loaded_may_change(path: Path) -> None:
    X = load(path)
    with write(path) as connection:
        connection.execute("UPDATE loans SET job = 'none'")
    source_of(X).check()


def test_rows_with_a_key_are_read_in_the_order_of_the_load(path: Path) -> None:
    X = load(path)
    with write(path) as connection:
        connection.execute("DELETE FROM loans WHERE id = 4711")
        connection.execute("INSERT INTO loans VALUES (?, ?, ?, ?)", ROWS[0])
    assert tp.load_sql(QUERY, path, key="id", columns=["age"])[0].trace().trace_to_file()
    assert np.array_equal(source_of(X).read(), values(X), equal_nan=True)
    found = X.trace().verify()
    assert [(verdict.state, verdict.now) for verdict in found] == [
        ("same row", 3), ("same row", 0), ("same row", 1), ("same row", 2),
    ]  # fmt: skip


def test_rows_without_a_key_are_found_by_their_content(path: Path) -> None:
    X = tp.load_sql("SELECT age, amount FROM loans ORDER BY id", path)
    with write(path) as connection:
        connection.execute("DELETE FROM loans WHERE id = 4711")
    states = [(verdict.state, verdict.now) for verdict in X.trace().verify()]
    assert states == [("gone", None), ("same row", 0), ("same row", 1), ("same row", 2)]
    with pytest.raises(SourceError, match="it gave 4 rows and gives 3 now"):
        source_of(X).read()


def test_a_database_that_is_gone_or_can_not_be_asked(path: Path) -> None:
    X = load(path)
    with write(path) as connection:
        connection.execute("ALTER TABLE loans RENAME TO debts")
    (verdict,) = X[1].trace().verify()
    assert verdict.state == "unknown"
    assert "no such table" in verdict.note
    assert str(X[1].trace()) == "loans (orders.db) row 1 (id=4712)"
    path.unlink()
    (verdict,) = X[1].trace().verify()
    assert (verdict.state, verdict.now) == ("gone", None)
    with pytest.raises(SourceError, match="does not exist"):
        source_of(X).read()


def test_a_row_that_is_none_of_the_source(path: Path) -> None:
    with pytest.raises(RowError, match="has no row 4"):
        source_of(load(path)).verify([4])


# Saved.


@pytest.mark.parametrize("how", ["saved", "pickled"])
def test_a_restored_source_knows_its_keys_and_asks_again(
    path: Path, tmp_path: Path, how: str
) -> None:
    X = load(path, f"{QUERY} WHERE age > ? OR amount < ?", params=[30, 2.5])
    if how == "saved":
        save_lineage(tmp_path / "lineage", X * 2)
        (source,) = load_lineage(tmp_path / "lineage").leaves
    else:
        source = pickle.loads(pickle.dumps(source_of(X)))  # noqa: S301
    assert isinstance(source, SqlSource)
    assert source == source_of(X)
    assert source.place(1) == "id=4712"
    assert np.array_equal(source.read(), values(X), equal_nan=True)
    with write(path) as connection:
        connection.execute("UPDATE loans SET age = 32 WHERE id = 4711")
    assert [verdict.state for verdict in source.verify([0, 1])] == ["changed", "same row"]


def test_a_table_is_read_again_column_by_column(path: Path) -> None:
    table = tp.read_sql(QUERY, path, key="id")
    source = source_of(table["age"])
    for name in table:
        loaded = table.codes(name) if name in table.categories else table[name]
        assert np.array_equal(source.read(name), values(loaded), equal_nan=True)
    with pytest.raises(SourceError, match="say which column"):
        source.read()


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("keys", "!", "keys in the saved lineage are damaged"),
        ("n_rows", 5, "aren't those of its rows"),
        ("query", {"text": "DELETE FROM loans", "params": None}, "is no query"),
        ("database", {"address": "../orders.db"}, "no absolute path"),
    ],
)
def test_a_damaged_record_is_refused(path: Path, field: str, value: Any, reason: str) -> None:
    stored = source_of(load(path)).to_json()
    stored[field] = {**stored[field], **value} if isinstance(value, dict) else value
    with pytest.raises(SourceError, match=reason):
        SqlSource.restore(stored)


def test_a_source_of_files_takes_no_connection(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (source,) = tp.load_csv(tmp_path / "a.csv").sources()
    with pytest.raises(SourceError, match=r"a\.csv is no query"):
        source.connect("orders.db")


# In batches.


@pytest.mark.parametrize("size", [1, 3, 4, 100])
@pytest.mark.parametrize("key", ["id", None])
def test_batches_have_the_row_numbers_of_the_whole(path: Path, size: int, key: str | None) -> None:
    query = f"{QUERY} ORDER BY id"
    whole = load(path, query, key=key)
    batches = list(load(path, query, key=key, batch_rows=size))
    assert [len(batch) for batch in batches] == [size] * (4 // size) + [4 % size] * (4 % size > 0)
    assert np.array_equal(np.concatenate([values(b) for b in batches]), values(whole),
                          equal_nan=True)  # fmt: skip
    assert [row for batch in batches for row in rows_of(batch)] == [0, 1, 2, 3]
    (source,) = {id(source_of(batch)): source_of(batch) for batch in batches}.values()
    assert source == source_of(whole)
    assert (source.n_rows, source.complete) == (4, True)
    source.check()
    tables = tp.read_sql(query, path, key=key, batch_rows=size)
    assert [rows_of(table["job"]) for table in tables] == [rows_of(batch) for batch in batches]


def test_a_source_that_was_read_in_part_is_the_rows_that_were_read(path: Path) -> None:
    batches = load(path, f"{QUERY} ORDER BY id", batch_rows=2)
    first = next(batches)
    batches.close()
    source = source_of(first)
    assert (source.n_rows, source.complete) == (2, False)
    assert np.array_equal(source.read(), values(first), equal_nan=True)
    assert [verdict.state for verdict in first.trace().verify()] == ["same bytes"] * 2
    with write(path) as connection:
        connection.execute("UPDATE loans SET age = 1 WHERE id = 4730")
    source.check()
    again = SqlSource.restore(source.to_json())
    assert np.array_equal(again.read(), values(first), equal_nan=True)


def test_a_key_that_repeats_in_a_later_batch_is_refused(path: Path) -> None:
    with write(path) as connection:
        connection.execute("INSERT INTO loans VALUES (4711, 1, 1, 'x')")
    with pytest.raises(SourceError, match="id=4711 is in row 0 and in row 4"):
        list(load(path, batch_rows=2))


def test_batches_are_refused_before_the_first_is_asked_for(path: Path) -> None:
    with pytest.raises(SourceError, match="is no query"):
        load(path, "DROP TABLE loans", batch_rows=2)
