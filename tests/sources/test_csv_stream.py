"""20,000 random files: the rows of csv.reader, whether a file is scanned whole or streamed."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator

import numpy as np
import pytest

from traceprop.errors import SourceError
from traceprop.sources.csv import stream as csv_stream
from traceprop.sources.csv.encoding import TextEncoding
from traceprop.sources.csv.format import CsvFormat
from traceprop.sources.csv.stream import RowStream
from traceprop.sources.csv.text import CsvText, skip_lines
from traceprop.sources.identity import row_index
from traceprop.sources.identity.row_index import ScanProblem, scan_rows

PIECES = ['"', '""', ",", "\n", "\r", "\r\n", "a", "12.5", "é", "x" * 23, "#", ',"', '",', "\n#"]
FILES = 20_000
NOTHING = np.empty(0, np.uint8)


class LinesWithoutComments:
    """Lines for csv.reader, less those that begin with # where a record begins."""

    def __init__(self, text: str, skipped: int, comment: str) -> None:
        self._lines = iter(io.StringIO(text, newline=""))
        self._comment = comment
        self.at_record = False
        self.line = 0  # physical lines passed
        for _ in range(skipped):
            next(self)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.line += 1
        while self.at_record and self._comment and line.startswith(self._comment):
            line = next(self._lines)
            self.line += 1
        if self.at_record:
            self.first_line = self.line
        self.at_record = False
        return line


def lines_of_csv_reader(text: str, format: CsvFormat) -> list[int]:
    """Lines on which records begin."""
    try:
        lines = LinesWithoutComments(text, format.skip_rows, format.comment)
    except StopIteration:
        return []
    reader = csv.reader(lines)
    found = []
    while True:
        lines.at_record = True
        try:
            fields = next(reader)
        except StopIteration:
            return found
        if fields:
            found.append(lines.first_line)


def whole(data: bytes, format: CsvFormat) -> list[list[int]] | str:
    units = np.frombuffer(data, np.uint8).copy()
    begin = skip_lines(units, TextEncoding("utf-8", 1, 0), format)
    try:
        index = scan_rows(units, *begin, format.grammar)
    except ScanProblem as problem:
        return f"line {problem.line}"
    return [each.tolist() for each in index.locate(np.arange(index.n_rows))]


def streamed(data: bytes, format: CsvFormat, most: int) -> list[list[int]] | str:
    encoding = TextEncoding("utf-8", 1, 0)
    text = CsvText("f.csv", NOTHING, NOTHING, encoding, format, (), (), {}, 0, 1)
    begin, line = skip_lines(np.frombuffer(data, np.uint8).copy(), encoding, format)
    rows = RowStream(io.BytesIO(data[begin:]), text, unit=begin, line=line)
    lines, offsets, number = [], [], 0
    try:
        while (stretch := rows.take(most)) is not None:
            assert stretch.row == number
            assert stretch.content.tobytes() == data[stretch.unit :][: stretch.content.size]
            number += stretch.n_rows
            lines += (stretch.lines + stretch.line).tolist()
            offsets += (stretch.starts + stretch.unit).tolist()
    except SourceError as refused:
        return str(refused).partition("f.csv ")[2].partition(",")[0]
    return [lines, offsets]


@pytest.mark.parametrize("part", range(4))
def test_rows_of_random_files(monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    random_ = random.Random(part)
    monkeypatch.setattr(row_index, "_BLOCK_ROWS", 4)
    monkeypatch.setattr(csv_stream, "_SCAN_ROWS", 3)
    refused = found_rows = 0
    for _ in range(FILES // 4):
        text = "".join(random_.choices(PIECES, k=random_.randint(0, 60)))
        format = CsvFormat(
            skip_rows=random_.choice([0, 0, 1, 3]), comment=random_.choice(["", "#"])
        )
        data = text.encode()
        monkeypatch.setattr(csv_stream, "_CHUNK", random_.choice([1, 7, 50, 1000]))
        found = whole(data, format)
        assert streamed(data, format, random_.choice([1, 2, 5, 100])) == found, (text, format)
        if isinstance(found, str):
            refused += 1  # csv.reader accepts a quote that never closes; we refuse it
        else:
            assert found[0] == lines_of_csv_reader(text, format), (text, format)
            found_rows += len(found[0])
    assert refused > 100
    assert found_rows > 10_000
