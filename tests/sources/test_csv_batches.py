"""CSV files in batches: the same rows as whole, under the same numbers, in constant memory."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import traceprop as tp
from tests.sources.test_csv_rows import Written, numbers, texts, written
from traceprop.errors import SourceError
from traceprop.lineage import values
from traceprop.sources.csv import index as csv_index
from traceprop.sources.csv import stream as csv_stream

reuse = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read little at a time, and mark every other row, so that small files cross all boundaries."""
    monkeypatch.setattr(csv_stream, "_CHUNK", 5)
    monkeypatch.setattr(csv_stream, "_SCAN_ROWS", 3)
    monkeypatch.setattr(csv_index, "_MARK_ROWS", 2)
    monkeypatch.setattr(csv_index, "_CHUNK", 5)


@reuse
@given(written(numbers), st.integers(1, 5))
def test_streamed_numbers_are_those_of_the_whole(tmp_path: Path, file: Written, n: int) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(file.content)
    whole = tp.load_csv(path, **file.options)
    batches = [*tp.load_csv(path, batch_rows=n, **file.options)]
    assert [len(batch) for batch in batches[:-1]] == [n] * (len(batches) - 1)
    assert np.array_equal(np.concatenate([*map(values, batches)]), values(whole), equal_nan=True)
    (source,) = whole.sources()
    first = 0
    for batch in batches:
        ((streamed, rows),) = batch.sources().items()
        assert streamed == source
        assert streamed.n_rows == source.n_rows
        assert rows.to_numpy().tolist() == [*range(first, first + len(batch))]
        found, expected = streamed.locate([*rows]), source.locate([*rows])
        assert [each.tolist() for each in found] == [each.tolist() for each in expected]
        first += len(batch)


@reuse
@given(written(texts), st.integers(1, 5), st.booleans())
def test_streamed_text_is_that_of_the_whole(
    tmp_path: Path, file: Written, n: int, compressed: bool
) -> None:
    path = tmp_path / ("t.csv.gz" if compressed else "t.csv")
    path.write_bytes(gzip.compress(file.content) if compressed else file.content)
    whole = tp.read_csv(path, **file.options)
    batches = [*tp.read_csv(path, batch_rows=n, **file.options)]
    for name in whole.columns:
        found = [text for batch in batches for text in values(batch[name]).tolist()]
        assert found == values(whole[name]).tolist()
    every = range(len(whole))
    found, expected = batches[-1].source.locate(every), whole.source.locate(every)
    assert [each.tolist() for each in found] == [each.tolist() for each in expected]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-be", "cp1252", "shift_jis"])
def test_batches_of_other_encodings(tmp_path: Path, encoding: str) -> None:
    word = "é" if encoding != "shift_jis" else "表"
    content = "# top\na,b\n" + "".join(f'{word}{i},"{i}\n"\n' for i in range(7))
    path = tmp_path / "t.csv"
    path.write_bytes(content.encode(encoding))
    options = {"encoding": encoding, "comment": "#", "dtypes": {"b": str}}
    batches = [*tp.read_csv(path, batch_rows=3, **options)]
    assert [text for each in batches for text in values(each["a"])] == [
        f"{word}{i}" for i in range(7)
    ]
    lines, offsets = batches[0].source.locate(range(7))
    assert lines.tolist() == [*range(3, 17, 2)]
    whole = tp.read_csv(path, **options)
    assert offsets.tolist() == whole.source.locate(range(7))[1].tolist()


def test_a_lineage_saved_from_a_batch_finds_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "".join(f"{i},{i * i}\n" for i in range(20)))
    *_, last = tp.load_csv(path, batch_rows=6)
    kept = last[last[:, 0] > 18]
    tp.save_lineage(tmp_path / "lineage.arrow", kept)
    (source,) = kept.sources()
    del last, kept
    graph = tp.load_lineage(tmp_path / "lineage.arrow")
    assert str(graph.trace(0)).startswith("t.csv row 19 (line 21)")
    (again,) = graph.sources()
    assert again == source
    assert again.streamed
    assert np.array_equal(again.read()[19], [19, 361])
    path.write_text("a,b\n" + "".join(f"{i},{i * i + 1}\n" for i in range(20)))
    assert "changed since it was loaded" in str(graph.trace(0))


def test_several_files_in_batches_name_their_own_rows(tmp_path: Path) -> None:
    for name in "xyz":
        (tmp_path / f"{name}.csv").write_text(f"a,b\n1,{name}1\n2,{name}2\n3,{name}3\n")
    batches = [*tp.read_csv(tmp_path / "*.csv", batch_rows=2)]
    places = [(str(each.source), [*each["a"].sources()[each.source]]) for each in batches]
    assert places == [
        *(("x.csv", [0, 1]), ("x.csv", [2]), ("y.csv", [0, 1]), ("y.csv", [2])),
        *(("z.csv", [0, 1]), ("z.csv", [2])),
    ]
    assert [text for each in batches for text in values(each["b"])] == [
        f"{name}{i}" for name in "xyz" for i in (1, 2, 3)
    ]


def test_columns_and_options_are_checked_before_the_first_batch(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("a,b\n1,2\n")
    two.write_text("a,c\n1,2\n")
    with pytest.raises(SourceError, match=r"column 2 is 'b' in one\.csv but 'c' in two\.csv"):
        tp.load_csv([one, two], batch_rows=1)
    for wrong in (0, "3", 2.5):
        with pytest.raises(SourceError, match=f"batch_rows={wrong!r} is no number of rows"):
            tp.load_csv(one, batch_rows=wrong)
    with pytest.raises(SourceError, match=r"gone\.csv does not exist"):
        tp.load_csv(tmp_path / "gone.csv", batch_rows=1)
    with pytest.raises(SourceError, match="load_csv gives numbers"):
        tp.load_csv(one, batch_rows=1, dtypes={"a": str})


PROBLEMS = {
    "ragged": (b"a,b\n1,2\n3,4\n5\n", r"line 4 \(row 2\) has 1 value where the header has 2"),
    "unclosed": (b'a,b\n1,2\n3,4\n5,"6\n', r"line 4, column 2: a quote opens here and never"),
    "NUL": (b"a,b\n1,2\n3,4\n5,\0\n", r"line 4, column 2: a NUL byte"),
    "text": (b"a,b\n1,2\n3,4\n5,x\n", r"line 4 \(row 2\), column 'b': 'x' is not a number"),
    "encoding": (b"a,b\n1,2\n3,4\n5,\xe9\n", r"line 4"),
    "empty": (b"", "is empty"),
    "repeated name": (b"a,a\n1,2\n", r"line 1: the header names 'a' more than once"),
    "header only": (b"a,b\n", "has a header but no data row"),
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_bad_input_is_named_as_in_a_whole_file(
    tmp_path: Path, problem: str, compressed: bool
) -> None:
    content, message = PROBLEMS[problem]
    path = tmp_path / ("in.csv.gz" if compressed else "in.csv")
    path.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(SourceError, match=message) as whole:
        tp.load_csv(path)
    with pytest.raises(SourceError, match=message) as streamed:
        list(tp.load_csv(path, batch_rows=2))
    if problem != "encoding":  # not a number, and not text either
        assert str(streamed.value) == str(whole.value)


def test_a_type_is_that_of_the_first_batch_with_values(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,\n2,\n3,4\n4,5\n5,word\n")
    batches = tp.read_csv(path, batch_rows=2)
    assert values(next(batches)["a"]).dtype == np.int64
    assert values(next(batches)["b"]).dtype == np.int64
    with pytest.raises(
        SourceError, match=r"line 6 \(row 4\), column 'b': 'word' is not a value of type int64"
    ) as refused:
        next(batches)
    assert "dtypes=" in str(refused.value)
    (*_, last) = tp.read_csv(path, batch_rows=2, dtypes={"b": str})
    assert values(last["b"]).tolist() == ["word"]


def test_a_file_that_changes_between_batches_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n" + "1\n" * 9)
    batches = tp.load_csv(path, batch_rows=3)
    next(batches)
    path.write_text("a\n" + "2\n" * 9)
    os.utime(path, (1, 1))
    with pytest.raises(SourceError, match=r"t\.csv changed while it was read in batches"):
        next(batches)


def test_changed_bytes_are_found_though_the_times_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n" + "1\n" * 9)
    monkeypatch.setattr("traceprop.sources.inputs.files.FileStamp.is_untouched", lambda *_: True)
    for content in ("a\n" + "1\n" * 8 + "2\n", "a\n" + "1\n" * 8, "a\n" + "1\n" * 10):
        path.write_text("a\n" + "1\n" * 9)
        batches = tp.load_csv(path, batch_rows=3)
        next(batches)
        path.write_text(content)
        with pytest.raises(SourceError, match=r"t\.csv changed while it was read in batches"):
            list(batches)


def test_a_row_too_long_to_be_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_stream, "_LONGEST_ROW", 1 << 20)
    monkeypatch.setattr(csv_stream, "_CHUNK", 1 << 16)
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b'a,b\n1,2\n3,"' + b"x" * (3 << 20)))
    with pytest.raises(SourceError, match=r"line 3: a row of over 1 MiB begins here; does a"):
        list(tp.load_csv(path, batch_rows=2))


MEMORY = """
import resource, sys
import numpy as np
import traceprop as tp
from traceprop.lineage import values
path, limit = sys.argv[1], int(sys.argv[2])
[*tp.load_csv(sys.argv[3], batch_rows=10)]  # what is imported and compiled takes memory too
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
total = rows = 0
for batch in tp.load_csv(path, batch_rows=20_000):
    total += float(values(batch)[:, 0].sum())
    rows += len(batch)
(source,) = batch.sources()
lines, _ = source.locate([rows - 1])
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(rows, int(total), int(lines[0]), grown)
assert grown < limit, grown
"""


@pytest.mark.parametrize("compressed", [False, True])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, compressed: bool) -> None:
    """A file of 120 MB within 60 MB beyond what a small one takes."""
    rows = 1_000_000
    path = tmp_path / ("big.csv.gz" if compressed else "big.csv")
    tail = b"," + b"1.2345678901" * 1 + b"," + b"0" * 95
    small = tmp_path / "small.csv"
    small.write_bytes(b"a,b,c\n1,2,3\n" * 1)
    with gzip.open(path, "wb", 1) if compressed else path.open("wb") as file:
        file.write(b"a,b,c\n")
        for start in range(0, rows, 10_000):
            file.write(b"".join(b"%d%s\n" % (i, tail) for i in range(start, start + 10_000)))
    command = [sys.executable, "-c", MEMORY, str(path), str(60 << 10), str(small)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:3] == [str(rows), str(rows * (rows - 1) // 2), str(rows + 1)]
