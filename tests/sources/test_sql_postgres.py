"""Queries of a real PostgreSQL server, over ADBC by URI and over psycopg."""

from __future__ import annotations

import asyncio
import datetime
import pickle
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi
import numpy as np
import psycopg
import pytest
from psycopg.rows import dict_row

import traceprop as tp
from tests.sources.conftest import PASSWORD, PostgresServer
from traceprop.errors import SourceError, SourceWarning
from traceprop.lineage import load_lineage, save_lineage, values
from traceprop.sources import SqlSource

N_ROWS = 100_000
QUERY = "SELECT id, amount, rate FROM loans ORDER BY id"


@pytest.fixture(scope="module")
def loans(postgres: PostgresServer) -> PostgresServer:
    """A server with 100,000 loans."""
    with postgres.connect() as connection:
        connection.execute(
            "CREATE TABLE loans (id int8 PRIMARY KEY, amount numeric(12, 2), rate float4);"
            "INSERT INTO loans SELECT g, g * 1.01, g * 0.1::float4"
            f" FROM generate_series(1, {N_ROWS}) AS g"
        )
    return postgres


@pytest.fixture
def small(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A server with a table of three rows that a test may change."""
    with postgres.connect() as connection:
        connection.execute(
            "CREATE TABLE small (id int, day date, x float8, PRIMARY KEY (id, day));"
            "INSERT INTO small VALUES (1, '2020-01-01', 1.5), (1, '2020-01-02', NULL),"
            " (2, '2020-01-01', 2.5)"
        )
        yield postgres
        connection.execute("DROP TABLE small")


@pytest.fixture(params=["uri", "adbc", "psycopg", "psycopg in a transaction"])
def connection(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[Any]:
    """Each form of connection to the server."""
    if request.param == "uri":
        yield postgres.uri
    elif request.param == "adbc":
        with closing(adbc_driver_postgresql.dbapi.connect(postgres.uri)) as opened:
            yield opened
    else:
        with closing(postgres.connect(autocommit=request.param == "psycopg")) as opened:
            yield opened


def source_of(tensor: tp.ProvenanceTensor) -> SqlSource:
    (source,) = tensor.sources()
    assert isinstance(source, SqlSource)
    return source


TYPES = """
    SELECT n, 1::int2 AS small, 2::int4 AS medium, 3::int8 AS large, 0.1::float4 AS single,
           0.1::float8 AS double, 1.50::numeric AS decimal, n = 1 AS flag, 'ä' || n AS text,
           'c'::varchar(5) AS short, date '2020-01-02' AS day, time '03:04:05' AS hour,
           timestamp '2020-01-02 03:04:05.678901' AS naive,
           timestamptz '2020-01-02 03:04:05+02' AS moment,
           'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS id,
           NULLIF(n, 2) AS gaps, NULLIF('t', 't') AS nothing
    FROM generate_series(1, 2) AS n ORDER BY n
"""


def test_types(connection: Any) -> None:
    table = tp.read_sql(TYPES, connection)
    for name, expected in {
        "small": [1, 1], "medium": [2, 2], "large": [3, 3], "double": [0.1, 0.1],
        "single": [float(np.float32(0.1))] * 2, "decimal": [1.5, 1.5], "flag": [True, False],
        "text": ["ä1", "ä2"], "short": ["c", "c"], "day": [datetime.date(2020, 1, 2)] * 2,
        "hour": [datetime.timedelta(hours=3, minutes=4, seconds=5)] * 2,
        "naive": [datetime.datetime(2020, 1, 2, 3, 4, 5, 678901)] * 2,
        "moment": [datetime.datetime(2020, 1, 2, 1, 4, 5)] * 2,
        "id": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"] * 2,
    }.items():  # fmt: skip
        assert values(table[name]).tolist() == expected, name
    assert np.array_equal(values(table["gaps"]), [1, np.nan], equal_nan=True)
    assert np.isnan(values(table["nothing"])).all()


def test_every_driver_gives_the_same_digest_and_hashes(loans: PostgresServer) -> None:
    by_uri = source_of(tp.load_sql(QUERY, loans.uri, key="id"))
    types_by_uri = tp.read_sql(TYPES, loans.uri).source
    with loans.connect() as opened:
        by_psycopg = source_of(tp.load_sql(QUERY, opened, key="id"))
        types_by_psycopg = tp.read_sql(TYPES, opened).source
    assert by_uri == by_psycopg
    assert by_uri.sha256 == by_psycopg.sha256
    assert by_uri.uri == by_psycopg.uri
    assert np.array_equal(by_uri.row_hashes, by_psycopg.row_hashes)
    assert types_by_uri.sha256 == types_by_psycopg.sha256


def test_a_composite_key_names_a_row(small: PostgresServer) -> None:
    X = tp.load_sql("SELECT * FROM small", small.uri, key=["id", "day"])
    assert X.columns == ("x",)
    labels = {str(row.trace()) for row in (X[i] for i in range(3))}
    assert "small (postgres) row 1 (id=1, day=2020-01-02)" in labels
    with pytest.raises(SourceError, match="id=1 is in row 0 and in row 1"):
        tp.load_sql("SELECT * FROM small ORDER BY id, day", small.uri, key="id")


def test_order(small: PostgresServer) -> None:
    with pytest.warns(SourceWarning, match="no ORDER BY"):
        tp.load_sql("SELECT x FROM small", small.uri)
    X = tp.load_sql("SELECT x FROM small ORDER BY x DESC NULLS LAST", small.uri)
    assert np.array_equal(values(X)[:, 0], [2.5, 1.5, np.nan], equal_nan=True)


def test_parameters(small: PostgresServer) -> None:
    X = tp.load_sql("SELECT x FROM small WHERE id = $1 ORDER BY x", small.uri, params=[2])
    assert values(X).tolist() == [[2.5]]
    assert source_of(X).read().tolist() == [[2.5]]
    with small.connect() as opened:
        query = "SELECT x FROM small WHERE id = %(id)s AND day < %(day)s ORDER BY x"
        params = {"id": 1, "day": datetime.date(2020, 1, 2)}
        Y = tp.load_sql(query, opened, params=params)
        assert values(Y).tolist() == [[1.5]]
        restored = SqlSource.restore(source_of(Y).to_json())
        restored.connect(opened)
        assert restored.read().tolist() == [[1.5]]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT nope FROM pg_class ORDER BY 1",
         "'SELECT nope FROM pg_class ORDER BY …' failed in .*column \"nope\" does not exist"),
        ("SELECT 1 / (n - 3) AS x FROM generate_series(1, 5) n ORDER BY n", "division by zero"),
        ("SELECT interval '1 month' AS x ORDER BY 1", "'x' holds intervals"),
        (r"SELECT '\x00'::bytea AS x ORDER BY 1", "'x' holds bytes"),
        ("SELECT ARRAY[1] AS x ORDER BY 1", "'x' holds values of type list"),
        ("SELECT 'infinity'::timestamp AS x ORDER BY 1", "years 1 to 9999|year 10K"),
        ("SELECT 1e400::numeric AS x ORDER BY 1", "'x' holds the decimal"),
        ("SELECT timetz '01:02:03+02' AS x ORDER BY 1", "'x' holds (values of type timetz|times)"),
        ("SELECT 1 AS x, 2 AS x ORDER BY 1", "two columns named 'x'"),
        ("SELECT 1 AS x WHERE false ORDER BY 1", "gives no row"),
    ],
)  # fmt: skip
def test_what_is_refused(connection: Any, query: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        tp.read_sql(query, connection)
    if not isinstance(connection, str):  # and the connection can still be used
        if "adbc" in type(connection).__module__:
            connection.rollback()
        assert len(tp.read_sql("SELECT 1 AS x ORDER BY 1", connection)) == 1


def test_a_query_that_writes_by_a_function_is_refused_over_a_connection_of_ours(
    small: PostgresServer,
) -> None:
    with small.connect() as opened:
        opened.execute(
            "CREATE OR REPLACE FUNCTION wipe() RETURNS int LANGUAGE sql AS"
            " 'DELETE FROM small; SELECT 1'"
        )
    with pytest.raises(SourceError, match="read-only transaction"):
        tp.load_sql("SELECT wipe() ORDER BY 1", small.uri)
    assert len(tp.load_sql("SELECT * FROM small", small.uri, key=["id", "day"])) == 3


@pytest.mark.parametrize("form", ["adbc", "psycopg"])
def test_a_closed_connection(postgres: PostgresServer, form: str) -> None:
    adbc = adbc_driver_postgresql.dbapi
    opened = adbc.connect(postgres.uri) if form == "adbc" else postgres.connect()
    opened.close()
    with pytest.raises(SourceError, match=r"the connection can't be used \(is it still open\?\)"):
        tp.load_sql("SELECT 1 AS x ORDER BY 1", opened)


def test_an_asynchronous_connection(postgres: PostgresServer) -> None:
    async def load() -> None:
        async with await psycopg.AsyncConnection.connect(postgres.uri) as opened:
            with pytest.raises(SourceError, match="AsyncConnection is asynchronous"):
                tp.load_sql("SELECT 1 AS x ORDER BY 1", opened)

    asyncio.run(load())


# Large results.


@pytest.mark.parametrize("form", ["uri", "psycopg"])
def test_a_large_result_is_streamed_in_the_memory_of_a_batch(
    loans: PostgresServer, form: str
) -> None:
    whole = tp.load_sql(QUERY, loans.uri, key="id")
    size = 7_000
    with loans.connect(autocommit=False) as opened:
        given = loans.uri if form == "uri" else opened
        batches = tp.load_sql(QUERY, given, key="id", batch_rows=size)
        first, held = 0, []
        tracemalloc.start()
        try:
            for batch in batches:
                expected = values(whole)[first : first + size]
                assert np.array_equal(values(batch), expected)
                (rows,) = batch.sources().values()
                assert (rows.to_numpy()[0], len(rows)) == (first, len(expected))
                first += len(batch)
                held.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        assert first == N_ROWS
        assert str(batch[-1].trace()) == f"loans (postgres) row {N_ROWS - 1} (id={N_ROWS})"
        source = source_of(batch)
        assert source == source_of(whole)
        assert source.sha256 == source_of(whole).sha256
        # Hashes and row numbers grow, 8 bytes a row and their room to grow; the data do not.
        assert max(held[3:]) - held[2] < 24 * N_ROWS
        if form == "psycopg":
            assert opened.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_psycopg_reads_through_a_cursor_on_the_server(loans: PostgresServer) -> None:
    with loans.connect(autocommit=False) as opened, loans.connect() as other:
        batches = tp.load_sql(QUERY, opened, key="id", batch_rows=5_000)
        next(batches)
        (count,) = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'FETCH FORWARD%'"
        ).fetchone()
        assert count == 1
        batches.close()
        assert opened.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_a_connection_that_makes_dicts_of_rows(small: PostgresServer) -> None:
    with psycopg.connect(small.uri, row_factory=dict_row) as opened:
        assert tp.load_sql("SELECT * FROM small", opened, key=["id", "day"]).shape == (3, 1)


@pytest.mark.parametrize("form", ["uri", "psycopg"])
def test_a_connection_that_is_lost_midway(loans: PostgresServer, form: str) -> None:
    query = "SELECT n, repeat('x', 1000) AS filler FROM generate_series(1, 100000) n ORDER BY n"
    with loans.connect() as other, closing(loans.connect(autocommit=False)) as opened:
        given = loans.uri if form == "uri" else opened
        batches = tp.read_sql(query, given, key="n", batch_rows=1_000)
        next(batches)
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        with pytest.raises(SourceError, match=r"SELECT n, repeat.* failed in .*(terminat|closed)"):
            list(batches)


# What changed since.


def test_rows_that_changed_or_are_gone(small: PostgresServer) -> None:
    X = tp.load_sql("SELECT * FROM small ORDER BY id, day", small.uri, key=["id", "day"])
    assert X.trace().verify().unchanged
    with small.connect() as opened:
        opened.execute("DELETE FROM small WHERE day = '2020-01-02'")
        opened.execute("UPDATE small SET x = 3 WHERE id = 2")
        opened.execute("INSERT INTO small VALUES (0, '2020-01-01', 0)")
        found = [(verdict.state, verdict.now) for verdict in X.trace().verify()]
        assert found == [("same row", 1), ("gone", None), ("changed", 2)]
        with pytest.raises(SourceError, match=r"gone: 1 \(the first: id=1, day=2020-01-02\)"):
            source_of(X).read()


# Passwords.


def test_a_password_is_kept_nowhere(loans: PostgresServer, tmp_path: Path) -> None:
    with loans.connect() as opened:
        opened.execute("GRANT SELECT ON loans TO teller")
    X = tp.load_sql(f"{QUERY} LIMIT 5", loans.uri_with_password, key="id")
    source = source_of(X)
    assert len(source.read()) == 5  # this process was told the password
    save_lineage(tmp_path / "lineage", X * 2)
    seen = [
        source.uri, source.path, repr(source._database), str(source.to_json()), repr(source),
        str(X[0].trace()), str(X.trace().verify()),
        *(file.read_bytes().decode("latin-1") for file in tmp_path.rglob("*") if file.is_file()),
        pickle.dumps(source).decode("latin-1"),
    ]  # fmt: skip
    assert not any(PASSWORD in text for text in seen)
    assert source.uri.startswith("postgresql:///postgres;query=")
    (again,) = load_lineage(tmp_path / "lineage").leaves
    assert again.place(4) == "id=5"


def test_a_wrong_password_is_not_repeated(loans: PostgresServer) -> None:
    wrong = loans.uri_with_password.replace(PASSWORD, "Wr0ng%zzWord")
    for uri in (wrong, wrong.replace("%zz", "")):
        with pytest.raises(
            SourceError, match=r"^postgresql:///postgres can't be opened"
        ) as refusal:
            tp.load_sql(QUERY, uri, key="id")
        assert "Wr0ng" not in str(refusal.value)
        assert refusal.value.__suppress_context__


def test_a_server_that_only_a_saved_lineage_names_is_not_connected_to(
    loans: PostgresServer,
) -> None:
    X = tp.load_sql(f"{QUERY} LIMIT 5", loans.uri, key="id")
    stored = source_of(X).to_json()
    stored["database"]["address"] = stored["database"]["address"].replace("postgres@", "other@")
    source = SqlSource.restore(stored)
    with pytest.raises(SourceError, match="was not told to connect"):
        source.read()
    source.connect(loans.uri)
    assert np.array_equal(source.read(), values(X))
