"""Mutated real files: read or refused, never a crash and never a wrong row."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest

import traceprop as tp
from traceprop.errors import SourceError
from traceprop.lineage import values

_MARKS = [b'"', b'""', b"\n", b"\r", b"\r\n", b" ", b";", b",", b"\0", b"\xff", b"", b'";"', b"x"]
_START = b'age;job;note\n31;clerk;"a ""b"" c"\n44;"smith; black";"two\nlines"\n' + b"".join(
    b"%d;job%d;plain\n" % (20 + i, i) for i in range(12)
)


def mutated(content: bytes, random_: random.Random) -> bytes:
    """Replace, insert or remove bytes at one or two places."""
    data = bytearray(content)
    for _ in range(random_.randint(1, 2)):
        at = random_.randrange(len(data))
        data[at : at + random_.choice([0, 0, 1, 1, 5])] = random_.choice(_MARKS)
    return bytes(data)


def rows_by_csv_reader(content: bytes) -> list[list[str]]:
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
    return [row for row in csv.reader(text, delimiter=";") if row]


@pytest.mark.parametrize("seed", range(6))
def test_a_mutated_file_is_read_as_csv_reader_does_or_refused(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    path = tmp_path / "t.csv"
    read, refusals = 0, []
    for _ in range(100):
        content = mutated(_START, random_)
        path.write_bytes(content)
        try:
            table = tp.read_csv(path, delimiter=";")
        except SourceError as refusal:
            refusals.append(str(refusal))
            continue
        read += 1
        header, *expected = rows_by_csv_reader(content)
        assert list(table.columns) == header
        assert len(table) == len(expected)
        _, offsets = table.source.locate(range(len(table)))
        for row, offset in enumerate(offsets):
            assert rows_by_csv_reader(content[offset:])[0] == expected[row]
        for j, name in enumerate(header):
            if name in table.categories:
                found = values(table[name]).tolist()
                assert [cell or "" for cell in found] == [
                    "" if row[j] in ("NA", "nan", "null") else row[j] for row in expected
                ]
    assert read > 10
    assert all("t.csv" in refusal for refusal in refusals)
