"""Damaged real files: flipped bits, cut ends, chunks twice; read or refused, never a wrong row."""

from __future__ import annotations

import csv
import gzip
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets

import traceprop as tp
from traceprop.errors import SourceError
from traceprop.lineage import values
from traceprop.sources.csv import index as csv_index
from traceprop.sources.csv import stream as csv_stream
from traceprop.sources.csv.format import MISSING

BYTES = 12_000  # of each file, cut at a line end
PACKAGED = Path(datasets.__file__).parent / "data"
#: Name → how to fetch it from the folder of published data sets, and how it is read.
FILES: dict[str, tuple[Callable[[Path], bytes], dict[str, object]]] = {
    "breast_cancer.csv": (
        lambda _: (PACKAGED / "breast_cancer.csv").read_bytes(),
        {"skip_rows": 1, "header": False},
    ),
    "adult.data": (
        lambda shared: (shared / "adult.data").read_bytes(),
        {"header": False, "delimiter": ", ", "missing": "?"},
    ),
    "german.data": (
        lambda shared: (shared / "german.data").read_bytes(),
        {"header": False, "delimiter": " "},
    ),
    "bank-additional-full.csv": (
        lambda shared: zipfile.ZipFile(shared / "bank-additional.zip").read(
            "bank-additional/bank-additional-full.csv"
        ),
        {"delimiter": ";"},
    ),
}


def flip_bits(data: bytearray, random_: random.Random) -> None:
    for _ in range(random_.choice([1, 1, 3, 30])):
        data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)


def cut_off(data: bytearray, random_: random.Random) -> None:
    del data[random_.randrange(1, len(data)) :]


def double_lines(data: bytearray, random_: random.Random) -> None:
    lines = data.splitlines(keepends=True)
    start, at = random_.randrange(len(lines)), random_.randrange(len(lines))
    lines[at:at] = lines[start : start + random_.choice([1, 10, 100])]
    data[:] = b"".join(lines)


def double_a_chunk(data: bytearray, random_: random.Random) -> None:
    start = random_.randrange(len(data))
    chunk = data[start : start + random_.choice([1, 10, 1000, 5000])]
    at = random_.randrange(len(data))
    data[at:at] = chunk


def drop_a_chunk(data: bytearray, random_: random.Random) -> None:
    start = random_.randrange(len(data))
    del data[start : start + random_.choice([1, 10, 1000])]


MUTATIONS = [flip_bits, cut_off, double_lines, double_a_chunk, drop_a_chunk]


def expected_rows(content: bytes, options: dict) -> list[tuple[int, list[str]]]:
    """Physical line and cells of every data row, as csv.reader has them."""
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
    for _ in range(options.get("skip_rows", 0)):
        next(text)
    line = options.get("skip_rows", 0)
    delimiter = options.get("delimiter", ",")
    reader = csv.reader(text, delimiter=delimiter[0], skipinitialspace=" " in delimiter)
    rows = []
    for cells in reader:
        begins, line = line + 1, options.get("skip_rows", 0) + reader.line_num
        if delimiter == " " and cells and not cells[-1]:
            cells.pop()  # csv.reader takes spaces at the end of a line for an empty value
        if cells and not (" " in delimiter and cells == [""]):
            rows.append((begins, cells))
    return rows[1:] if options.get("header", True) else rows


def check(table: tp.Table, first: int, rows: list[tuple[int, list[str]]], markers: set) -> None:
    """Compare a table with the rows of the file from `first` on: lines, and every text."""
    n = len(table)
    lines, _ = table.source.locate(range(first, first + n))
    assert lines.tolist() == [line for line, _ in rows[first : first + n]]
    for j, name in enumerate(table.columns):
        cells = [cells[j] for _, cells in rows[first : first + n]]
        if name in table.categories:
            found = values(table[name]).tolist()
            assert found == ["" if cell in markers else cell for cell in cells], name
        elif values(table[name]).dtype.kind in "if":
            numbers = [np.nan if cell in markers else float(cell) for cell in cells]
            assert np.array_equal(values(table[name]), numbers, equal_nan=True), name


def read_or_refuse(path: Path, options: dict) -> tp.Table | str:
    try:
        return tp.read_csv(path, **options)
    except SourceError as refusal:
        return str(refusal)


def streamed_or_refused(path: Path, options: dict) -> list[tp.Table] | str:
    try:
        return list(tp.read_csv(path, batch_rows=37, **options))
    except SourceError as refusal:
        return str(refusal)


@pytest.mark.parametrize("name", FILES)
def test_damaged_real_files(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fetch, options = FILES[name]
    shared = PACKAGED if name == "breast_cancer.csv" else request.getfixturevalue("shared_data")
    content = fetch(shared)
    markers = {"", options["missing"]} if "missing" in options else set(MISSING)
    monkeypatch.setattr(csv_stream, "_CHUNK", 1000)
    monkeypatch.setattr(csv_index, "_MARK_ROWS", 50)
    random_ = random.Random(name)
    read = refused = 0
    for turn in range(150):
        begin = content.find(b"\n", random_.randrange(len(content) - BYTES)) + 1
        top = content[: content.find(b"\n") + 1] if name != "adult.data" else b""
        data = bytearray(top + content[begin : content.rfind(b"\n", begin, begin + BYTES) + 1])
        for mutate in random_.sample(MUTATIONS, random_.choice([1, 1, 2])):
            mutate(data, random_)
        path = tmp_path / (f"{name}.gz" if turn % 5 == 0 else name)
        path.write_bytes(gzip.compress(bytes(data)) if turn % 5 == 0 else bytes(data))
        table, batches = read_or_refuse(path, options), streamed_or_refused(path, options)
        if isinstance(table, str):
            assert path.name in table
            assert isinstance(batches, str), table
            refused += 1
            continue
        read += 1
        rows = expected_rows(bytes(data), options)
        assert len(table) == len(rows)
        check(table, 0, rows, markers)
        if isinstance(batches, str):
            assert "declare another type with dtypes=" in batches  # than an earlier batch's
            continue
        for k, batch in enumerate(batches):
            check(batch, 37 * k, rows, markers)
    assert read > 20
    assert refused > 20
