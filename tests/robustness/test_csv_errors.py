"""Bad CSV input: one clear SourceError each, that names file, line and column, and the way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import traceprop as tp
from traceprop.errors import RowError, SourceError
from traceprop.lineage import values

Write = Callable[[bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: bytes) -> Path:
        path = tmp_path / "in.csv"
        path.write_bytes(content)
        return path

    return write


STRUCTURE = {
    "ragged, short": (b"a,b\n1,2\n3\n", r"in\.csv line 3 \(row 1\) has 1 value .* has 2"),
    "ragged, long": (b"a,b\n1,2\n\n3,4,5\n", r"line 4 \(row 1\) has 3 values where the header has"),
    "ragged after a quoted newline": (b'a,b\n"1\n",2\n3\n', r"line 4 \(row 1\) has 1 value"),
    "empty": (b"", r"in\.csv is empty"),
    "only blank lines": (b"\n\r\n\n", r"in\.csv is empty"),
    "only a byte-order mark": (b"\xef\xbb\xbf", r"in\.csv is empty"),
    "header only": (b"a,b\n", r"in\.csv has a header but no data row"),
    "unclosed quote": (b'a,b\n1,2\n3,"4\n5,6\n', r"line 3, column 2: a quote opens here and never"),
    "unclosed quote in the header": (b'a,"b\n1,2\n', r"line 1, column 2: a quote opens"),
    "unclosed quote, last": (b'a\n1\n"', r"line 3, column 1: a quote opens"),
    "NUL byte": (b"a,b\n1,2\n3,\x004\n", r"in\.csv line 3, column 2: a NUL byte"),
    "NUL byte in the header": (b"a,\x00b\n1,2\n", r"line 1, column 2: a NUL byte"),
    "repeated name": (b"a,b,a\n1,2,3\n", r"line 1: the header names 'a' more .*columns 1, 3"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), r"in\.csv is UTF-16 text.*encoding='utf-16'"),
    "UTF-16 without a mark": ("a,b\n1,2\n".encode("utf-16-le"), r"a NUL byte.*encoding='utf-16'"),
    "Latin-1 header": (b"a,\xe9t\xe9\n1,2\n", r"line 1, the header, is not utf-8 .*encoding="),
}


@pytest.mark.parametrize("load", [tp.load_csv, tp.read_csv])
@pytest.mark.parametrize("case", STRUCTURE)
def test_damaged_files(write: Write, load, case: str) -> None:
    content, message = STRUCTURE[case]
    path = write(content)
    with pytest.raises(SourceError, match=message):
        load(path)
    assert path.read_bytes() == content


def test_text_in_load_csv_names_column_line_value_and_ways_out(write: Write) -> None:
    path = write(b'age,job\n"31",\n32,"ad\nmin"\n33,tech\n')
    with pytest.raises(
        SourceError, match=r"in\.csv line 3 \(row 1\), column 'job': 'ad\\nmin'"
    ) as e:
        tp.load_csv(path)
    assert "columns=" in str(e.value)
    assert "read_csv" in str(e.value)
    assert values(tp.load_csv(path, columns=["age"])).tolist() == [[31.0], [32.0], [33.0]]


def test_a_stray_text_deep_in_a_numeric_column_is_found(write: Write) -> None:
    rows = [b"%d,%d" % (i, i) for i in range(150_000)]
    rows[140_001] = b"5,oops"
    path = write(b"a,b\n" + b"\n".join(rows) + b"\n")
    with pytest.raises(SourceError, match=r"line 140003 \(row 140001\), column 'b': 'oops'"):
        tp.load_csv(path)


def test_the_wrong_delimiter_is_suspected(write: Write) -> None:
    with pytest.raises(SourceError, match=r"is delimiter=';' meant"):
        tp.load_csv(write(b"a;b\n1;2\n"))


def test_foreign_bytes_name_line_and_column(write: Write) -> None:
    path = write(b'a,b\n1,"x\n"\n2,caf\xe9\n')
    with pytest.raises(SourceError, match=r"line 4, column 'b' is not utf-8 text \(byte 0xE9\)"):
        tp.read_csv(path)
    assert tp.read_csv(path, encoding="latin-1").categories["b"] == ("café", "x\n")
    with pytest.raises(SourceError, match=r"line 4, column 'b' is not ascii text"):
        tp.read_csv(path, encoding="ascii")


def test_columns_that_are_not_there(write: Write) -> None:
    path = write(b"a,b\n1,2\n")
    with pytest.raises(SourceError, match=r"in\.csv has no column 'c'; it has a, b"):
        tp.load_csv(path, columns=["c"])
    with pytest.raises(SourceError, match="no column at position 2; positions are 0 to 1"):
        tp.load_csv(path, columns=[0, 2])
    with pytest.raises(SourceError, match="must name each wanted column"):
        tp.load_csv(path, columns=["a", "a"])
    with pytest.raises(SourceError, match="must name each wanted column"):
        tp.load_csv(path, columns=[])
    with pytest.raises(SourceError, match="has 2 columns but columns= names 1"):
        tp.load_csv(path, header=False, columns=["a"])


@pytest.mark.parametrize("load", [tp.load_csv, tp.read_csv])
def test_what_is_not_there_or_no_file(tmp_path: Path, load) -> None:
    with pytest.raises(SourceError, match=r"gone\.csv does not exist"):
        load(tmp_path / "gone.csv")
    with pytest.raises(SourceError, match="is a folder"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": "::"}, "delimiter '::' can't be used"),
        ({"delimiter": ""}, "delimiter '' can't be used"),
        ({"delimiter": '"'}, "can't be used"),
        ({"encoding": "klingon"}, "encoding 'klingon' is not known"),
        ({"encoding": "iso2022_jp"}, "does not extend ASCII"),
        ({"encoding": "gbk", "delimiter": "|"}, "does not extend ASCII"),
    ],
)
def test_options_that_cannot_be(write: Write, options: dict, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        tp.read_csv(write(b"a,b\n1,2\n"), **options)


def test_a_row_that_does_not_exist(write: Write) -> None:
    (source,) = tp.load_csv(write(b"a,b\n1,2\n3,4\n")).sources()
    for rows in ([2], [-1], [0, 99]):
        with pytest.raises(RowError, match=r"in\.csv has no row -?\d+: its rows are 0 to 1"):
            source.locate(rows)


def test_a_changed_file_is_reported_and_never_cited(write: Write) -> None:
    path = write(b"a,b\n1,2\n3,4\n")
    (source,) = tp.load_csv(path).sources()
    source.check()
    assert source.locate([1])[0].tolist() == [3]
    path.write_bytes(b"a,b\n1,2\n3,5\n")
    for question in (source.check, source.read, lambda: source.locate([1])):
        with pytest.raises(SourceError, match=r"in\.csv changed since it was loaded: its SHA-256 "):
            question()
    path.write_bytes(b"a,b\n1\n")
    with pytest.raises(SourceError, match="changed since it was loaded"):
        source.read()
    path.write_bytes(b"a,b\n1,2\n3,4\n")
    source.check()
    assert source.locate([1])[0].tolist() == [3]
    assert np.array_equal(source.read(), [[1, 2], [3, 4]])
    path.unlink()
    with pytest.raises(SourceError, match="does not exist"):
        source.locate([1])


def test_a_missing_number_is_kept_as_nan(write: Write) -> None:
    table = tp.load_csv(write(b"a,b\n1,\nNA,4\n"))
    assert np.array_equal(values(table), [[1, np.nan], [np.nan, 4]], equal_nan=True)
    with pytest.raises(SourceError, match="column 'a': 'NA' is not a number"):
        tp.load_csv(write(b"a,b\n1,\nNA,4\n"), missing="?")
