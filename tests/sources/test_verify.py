"""Trace.verify(): what became of rows, against plain Python over the rows' own text."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import traceprop as tp
from tests.naive.edits import edited
from tests.naive.row_hashes import xxh64
from tests.naive.row_matches import fates
from traceprop.errors import RowError
from traceprop.lineage.answers.verdict import Verification

ROWS = [b"%d,%d" % (i, i * i) for i in range(12)]


def write(path: Path, rows: list[bytes], end: bytes = b"\n") -> Path:
    path.write_bytes(b"a,b" + end + end.join(rows) + end)
    return path


def states(found: Verification) -> list[tuple[str, int | None]]:
    return [(verdict.state, verdict.now) for verdict in found]


@pytest.mark.parametrize("seed", range(60))
def test_random_edits_of_random_files(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    kinds = random_.choice([2, 5, 1000])  # few different rows, or hardly two alike
    rows = [b"%d,7" % random_.randrange(kinds) for _ in range(random_.randrange(1, 25))]
    path = write(tmp_path / "t.csv", rows)
    X = tp.load_csv(path)
    new = edited(rows, random_.randrange(1, 8), random_)
    new = new or [b"0,0"]
    write(path, new)
    found = X.trace().verify()
    if new == rows:
        assert all(verdict.state == "same bytes" for verdict in found)
        return
    assert states(found) == [tuple(fate) for fate in fates(rows, new)]
    for verdict in found:
        if verdict.now is not None:
            assert verdict.line == verdict.now + 2
            assert (new[verdict.now] == rows[verdict.row]) == verdict.unchanged
        elif verdict.state == "gone":
            assert new.count(rows[verdict.row]) < rows.count(rows[verdict.row])


@given(st.lists(st.integers(0, 9), max_size=10), st.lists(st.integers(0, 9), max_size=10))
def test_one_place_of_each_row_alone(deleted: list[int], changed: list[int]) -> None:
    """Where rows are told apart, what was done to each is what is said of it."""
    new = [row + b"x" * (i in changed) for i, row in enumerate(ROWS) if i not in deleted]
    for i, fate in enumerate(fates(ROWS, new)):
        if i in deleted:
            assert fate.state in ("gone", "changed")  # a neighbour changed may stand in its place
        elif i in changed:
            assert fate.state != "same row"
        else:
            assert fate == ("same row", new.index(ROWS[i]))


def test_the_four_answers_in_words(tmp_path: Path) -> None:
    path = write(tmp_path / "scores.csv", ROWS)
    X = tp.load_csv(path)
    assert str(X[4].trace().verify()) == "scores.csv row 4: the file has the same bytes"
    write(path, [*ROWS[:3], b"new,row", ROWS[3], b"4,99", *ROWS[5:7], *ROWS[8:]])
    told = [str(X[i].trace().verify()) for i in (2, 3, 4, 7)]
    assert told == [
        "scores.csv row 2: the file changed, this row is the same",
        "scores.csv row 3: the file changed, this row is the same and is row 4 (line 6) now",
        "scores.csv row 4: this row changed; row 5 (line 7) stands in its place",
        "scores.csv row 7: this row is gone",
    ]
    assert not X.trace().verify().unchanged
    assert X[:4].trace().verify().unchanged
    assert X.trace().verify().counts == {"same row": 10, "changed": 1, "gone": 1}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "scores.csv", ROWS)
    trace = tp.load_csv(path)[4].trace()
    path.unlink()
    (verdict,) = trace.verify()
    assert (verdict.state, verdict.unchanged) == ("gone", False)
    assert str(verdict).startswith("scores.csv row 4: this row is gone (scores.csv does not exist")


def test_a_file_that_can_not_be_read_any_more(tmp_path: Path) -> None:
    path = write(tmp_path / "scores.csv", ROWS)
    trace = tp.load_csv(path)[4].trace()
    write(path, [*ROWS, b'"open'])
    (verdict,) = trace.verify()
    assert verdict.state == "unknown"
    assert "a quote opens here and never closes" in verdict.note


def test_rows_of_several_files(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.csv", ROWS[:5]), write(tmp_path / "two.csv", ROWS[5:])
    X = tp.load_csv([one, two])
    write(two, ROWS[6:])
    found = X.trace().verify()
    assert found.counts == {"same bytes": 5, "same row": 6, "gone": 1}
    assert [str(v) for v in found if v.state == "gone"] == ["two.csv row 0: this row is gone"]


def test_line_ends_are_no_part_of_a_row(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ROWS)
    X = tp.load_csv(path)
    write(path, [ROWS[0], b"", *ROWS[1:]], end=b"\r\n")
    assert states(X.trace().verify()) == [("same row", i) for i in range(12)]
    assert X[11].trace().verify()[0].line == 14


def test_a_compressed_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"\n".join(ROWS)))
    X = tp.load_csv(path)
    assert X.trace().verify().counts == {"same bytes": 12}
    path.write_bytes(gzip.compress(b"a,b\n" + b"\n".join(ROWS), compresslevel=1, mtime=7))
    assert X.trace().verify().counts == {"same row": 12}
    path.write_bytes(gzip.compress(b"a,b\n" + b"\n".join(ROWS[1:])))
    assert X.trace().verify().counts == {"gone": 1, "same row": 11}


def test_a_parquet_file(tmp_path: Path) -> None:
    table = pa.table({"x": range(10), "name": [f"n{i}" for i in range(10)], "other": range(10)})
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    for load in (tp.load_parquet, tp.read_parquet):
        pq.write_table(table, path)
        columns = ["x", "other"] if load is tp.load_parquet else ["name", "x"]
        loaded = load(path, columns=columns)
        trace = (loaded if load is tp.load_parquet else loaded["x"]).trace()
        assert trace.verify().counts == {"same bytes": 10}
        pq.write_table(table, path, row_group_size=3, compression="none")
        assert states(trace.verify()) == [("same row", i) for i in range(10)]
        changed = table.set_column(0, "x", pa.array([0, -1, *range(2, 10)])).slice(0, 8)
        pq.write_table(pa.concat_tables([table.slice(9), changed]), path)
        assert states(trace.verify()) == [
            ("same row", 1),
            ("changed", 2),
            *(("same row", i + 1) for i in range(2, 8)),
            ("gone", None),
            ("same row", 0),
        ]
        pq.write_table(table.rename_columns(["z", "nom", "other"]), path)
        (verdict, *_) = trace.verify()
        assert verdict.state == "unknown"
        assert "has no column" in verdict.note


def test_a_lineage_that_was_saved_knows_the_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ROWS)
    tp.save_lineage(tmp_path / "lineage.arrow", np.sqrt(tp.load_csv(path))[2:])
    write(path, ROWS[1:])
    graph = tp.load_lineage(tmp_path / "lineage.arrow")
    assert str(graph.trace(0).verify()) == (
        "t.csv row 2: the file changed, this row is the same and is row 1 (line 3) now"
    )


def test_hashes_that_do_not_fit_make_a_lineage_a_damaged_one(tmp_path: Path) -> None:
    source = tp.load_csv(write(tmp_path / "t.csv", ROWS))
    (only,) = source.sources()
    only.row_hashes = only.row_hashes[1:]
    tp.save_lineage(tmp_path / "lineage.arrow", source)
    with pytest.raises(tp.errors.LineageError, match="damaged"):
        tp.load_lineage(tmp_path / "lineage.arrow")


def test_arrays_in_memory_can_not_be_opened_again() -> None:
    (verdict,) = tp.array(np.arange(3.0))[1].trace().verify()
    assert (verdict.state, verdict.row) == ("unknown", 1)
    assert "memory can't be opened again" in str(verdict)


def test_rows_that_are_not_the_sources(tmp_path: Path) -> None:
    (source,) = tp.load_csv(write(tmp_path / "t.csv", ROWS)).sources()
    with pytest.raises(RowError, match="no row 12"):
        source.verify([12])


def test_a_long_verification_prints_what_went_wrong_first(tmp_path: Path) -> None:
    rows = [b"%d,0" % i for i in range(500)]
    path = write(tmp_path / "t.csv", rows)
    X = tp.load_csv(path)
    write(path, rows[:-1])
    lines = str(X.trace().verify()).splitlines()
    assert lines[0] == "t.csv row 499: this row is gone"
    assert lines[-1] == "… 500 rows: 499 same row, 1 gone"
    assert len(lines) == 21
    assert str(Verification([])) == "no source row"


def test_verdicts_are_a_sequence(tmp_path: Path) -> None:
    found = tp.load_csv(write(tmp_path / "t.csv", ROWS)).trace().verify()
    assert len(found) == len(found.verdicts) == 12
    assert isinstance(found[2:4], Verification)
    assert [verdict.row for verdict in found[2:4]] == [2, 3]
    assert not any(verdict.moved for verdict in found)


def test_a_file_behind_a_url() -> None:
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    files.pipe("/verify/t.csv", b"a,b\n" + b"\n".join(ROWS))
    trace = tp.load_csv("memory://verify/t.csv").trace()
    assert trace.verify().counts == {"same bytes": 12}
    files.pipe("/verify/t.csv", b"x,y\n" + b"\n".join(ROWS[3:]))
    assert trace.verify().counts == {"gone": 3, "same row": 9}
    files.rm("/verify/t.csv")
    assert trace.verify().counts == {"gone": 12}
    assert "t.csv does not exist" in trace.verify()[0].note


def test_rows_read_in_batches(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ROWS)
    (*_, last) = tp.load_csv(path, batch_rows=5)
    assert [(v.row, v.state, v.line) for v in last.trace().verify()] == [
        (10, "same bytes", 12),
        (11, "same bytes", 13),
    ]
    write(path, ROWS[1:])
    assert states(last.trace().verify()) == [("same row", 9), ("same row", 10)]
    (whole,) = tp.load_csv(write(path, ROWS)).sources()
    (source,) = last.sources()
    assert np.array_equal(source.row_hashes, whole.row_hashes)
    table = pa.table({"x": range(12)})
    pq.write_table(table, tmp_path / "t.parquet")
    (*_, last) = tp.load_parquet(tmp_path / "t.parquet", batch_rows=5)
    pq.write_table(table.slice(1), tmp_path / "t.parquet")
    assert states(last.trace().verify()) == [("same row", 9), ("same row", 10)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-be", "latin-1"])
def test_batches_hash_as_the_whole_does(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes('a,b\n1,"é\nè"\n\n2,ü\n'.encode(encoding))
    whole = tp.read_csv(path, encoding=encoding).source
    (part, _) = tp.read_csv(path, encoding=encoding, batch_rows=1)
    (source,) = part.sources()
    assert np.array_equal(source.row_hashes, whole.row_hashes)
    text = '1,"é\nè"'.encode("utf-16-le" if encoding == "utf-16" else encoding)
    assert whole.row_hashes[0] == xxh64(text)
