"""Row → line → the very text, for every row of random CSV files; and values as csv.reader reads."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import traceprop as tp
from traceprop.lineage import values
from traceprop.sources.csv import arrow as csv_arrow
from traceprop.sources.csv.format import MISSING
from traceprop.sources.identity import row_index

LINE_END = re.compile(r"\r\n|\r|\n")
COMMENT = re.compile(r"(?<![^\r\n])#[^\r\n]*")


@dataclass
class Written:
    """A CSV file, and what was written into it."""

    content: bytes
    cells: list[list[str]]
    options: dict


@st.composite
def written(draw: st.DrawFn, cell: st.SearchStrategy[str]) -> Written:
    """Write a random table: quoting, line ends, blank, skipped and commented lines, encoding."""
    width = draw(st.integers(1, 3))
    cells = draw(st.lists(st.lists(cell, min_size=width, max_size=width), min_size=1, max_size=12))
    delimiter = draw(st.sampled_from([",", ";", "\t", " ", "|", ", "]))
    header = draw(st.booleans())
    rows = [[f"n{j}" for j in range(width)], *cells] if header else cells
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32-le"]))
    comments = draw(st.booleans())
    skipped = draw(st.lists(st.sampled_from(['a "title', "", "# x", '"']), max_size=2))
    line_ends = st.sampled_from(["\n", "\r\n", "\n\n", "\r\n\r\n", "\r"])
    parts = [line + draw(st.sampled_from(["\n", "\r\n"])) for line in skipped]
    for row in rows:
        for j, text in enumerate(row):
            special = any(mark in text for mark in (delimiter[0], '"', "\n", "\r"))
            outer_space = text != text.strip(" ")
            if special or outer_space or not text or draw(st.booleans()):
                text = '"' + text.replace('"', '""') + '"'
            gap = draw(st.sampled_from(["", " ", "   "])) if " " in delimiter else ""
            parts.append((delimiter[0] if j else "") + gap + text)
        parts.append(draw(st.sampled_from(["", "  "])) if delimiter == " " else "")
        parts.append(draw(line_ends))
        if comments:
            parts.append(draw(st.sampled_from(["", "#\n", '# "a, b\r\n', "##é\r"])))
    text = "".join(parts)
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    options = {"delimiter": delimiter, "header": header, "encoding": encoding}
    if comments:
        options["comment"] = "#"
    if skipped:
        options["skip_rows"] = len(skipped)
    return Written(text.encode(encoding), cells, options)


# Every text ends in "t", so that no column looks like numbers, dates or truth values.
texts = st.text(st.sampled_from('ab ,;|\t"\n\ré€𝄞'), max_size=6).map(lambda s: s + "t")
numbers = st.one_of(
    st.integers(-(2**53), 2**53).map(str), st.floats(allow_nan=False).map(repr), st.just("")
)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut files into small blocks, on both sides, so that small files cross their boundaries."""
    monkeypatch.setattr(row_index, "_BLOCK_ROWS", 3)
    monkeypatch.setattr(csv_arrow, "_BLOCK_BYTES", 64)


reuse = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def check_rows(path: Path, source, file: Written) -> None:
    """Look up every row by line and by offset, and read there what was written."""
    assert source.sha256 == hashlib.sha256(file.content).hexdigest()
    assert source.n_rows == len(file.cells)
    lines, offsets = source.locate(range(source.n_rows))
    codec = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}.get(
        file.options["encoding"], file.options["encoding"]
    )
    for row, (line, offset) in enumerate(zip(lines, offsets, strict=True)):
        assert line == len(LINE_END.findall(file.content[:offset].decode(codec))) + 1
        end = offsets[row + 1] if row + 1 < source.n_rows else len(file.content)
        text = COMMENT.sub("", file.content[offset:end].decode(codec))
        reader = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=file.options["delimiter"][0],
            skipinitialspace=" " in file.options["delimiter"],
        )
        found = [cells for cells in reader if cells]
        if file.options["delimiter"] == " " and len(found[0]) > len(file.cells[row]):
            assert (
                found[0].pop() == ""
            )  # csv.reader takes spaces at the end of a line for an empty value
        assert found == [file.cells[row]]


@reuse
@given(written(texts))
def test_every_row_of_text_is_found_again(tmp_path: Path, small_blocks, file: Written) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(file.content)
    table = tp.read_csv(path, **file.options)
    check_rows(path, table.source, file)
    for j, name in enumerate(table.columns):
        categories = table.categories[name]
        assert categories == tuple(sorted({row[j] for row in file.cells}))
        codes = values(table.codes(name))
        assert [categories[code] for code in codes] == [row[j] for row in file.cells]


@reuse
@given(written(numbers))
def test_every_row_of_numbers_is_found_again(tmp_path: Path, small_blocks, file: Written) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(file.content)
    tensor = tp.load_csv(path, **file.options)
    (source,) = tensor.sources()
    check_rows(path, source, file)
    expected = [[float(cell) if cell else np.nan for cell in row] for row in file.cells]
    assert np.array_equal(values(tensor), expected, equal_nan=True)
    assert np.array_equal(source.read(), values(tensor), equal_nan=True)


@reuse
@given(written(texts))
def test_a_saved_source_finds_the_same_rows(tmp_path: Path, small_blocks, file: Written) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(file.content)
    source = tp.read_csv(path, **file.options).source
    again = type(source).from_json(source.to_json())
    assert again == source
    assert again.to_json() == source.to_json()
    check_rows(path, again, file)


def test_the_usual_missing_markers_are_pyarrows() -> None:
    pyarrow_csv = pytest.importorskip("pyarrow.csv")
    assert set(MISSING) == set(pyarrow_csv.ConvertOptions().null_values)


def test_a_row_longer_than_pyarrows_block(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_bytes(b"a,b\n1," + b"x" * 3_000_000 + b"\n2,y\n")
    table = tp.read_csv(path)
    assert [len(text) for text in table.categories["b"]] == [3_000_000, 1]
    assert table.source.locate([1])[0].tolist() == [3]


def test_a_long_row_that_grows_in_utf8(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_bytes(b"a,b\n1," + b"\x80" * 400_000 + b"\n2,y\n")
    table = tp.read_csv(path, encoding="cp1252")
    assert table.categories["b"] == ("y", "€" * 400_000)
