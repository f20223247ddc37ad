"""The line scanner against its plain-Python twin and against Python's csv reader."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numba_kernels import lines
from tests.naive.lines import UnclosedQuoteError, records

COMMA, SPACE, QUOTE = ord(","), ord(" "), ord('"')

# Few distinct bytes, so that quotes, delimiters and line ends meet in every way; runs of ordinary
# bytes, so that the eight-byte steps are taken too.
_PIECES = st.sampled_from(
    [b'"', b'""', b",", b"\n", b"\r", b"\r\n", b" ", b"a", b"12.5", b"\xc3\xa9", b"x" * 23, b"#"]
)
texts = st.lists(_PIECES, max_size=60).map(b"".join)
switches = st.booleans()
delimiters = st.sampled_from([COMMA, SPACE])
comments = st.sampled_from([0, ord("#")])


def aligned(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8).copy()


def scan(
    data: bytes, delimiter: int, skip_space: bool, comment: int = 0, room: int = 3
) -> tuple[list[int], list[int], list[int]]:
    """Offsets, lines and lengths of all records, fetched `room` at a time."""
    array = aligned(data)
    starts, line_numbers, lengths = [], [], []
    out = tuple(np.empty(room, np.uint32) for _ in range(3))
    position, line = 0, 1
    while position < array.size:
        count, position, line, first, first_line, _, status = lines.scan_records(
            array, position, line, delimiter, QUOTE, skip_space, comment, *out
        )
        starts += (out[0][:count] + np.int64(first)).tolist()
        line_numbers += (out[1][:count] + np.int64(first_line)).tolist()
        lengths += out[2][:count].tolist()
        if status == lines.UNCLOSED_QUOTE:
            raise UnclosedQuoteError(position, line)
        assert status == lines.COMPLETE
    return starts, line_numbers, lengths


def outcome(function, *arguments):
    try:
        return function(*arguments)
    except UnclosedQuoteError as error:
        return ("unclosed", error.offset, error.line)


@given(texts, delimiters, switches, comments)
@example(b'a,"b\r\nc"\r\n\r\n', COMMA, False, 0)
@example(b'a"b,"c""d",""\r\r', COMMA, False, 0)
@example(b'a,"b\nc"', COMMA, False, 0)
@example(b'a, "b, c"\n  \n"d"  ,"', COMMA, True, 0)
@example(b'a  "b\nc" \n  \n"d"  "e"', SPACE, True, 0)
@example(b"", COMMA, False, 0)
@example(b'#"\r\na,"\n#b"\n  #c\n#', COMMA, False, ord("#"))
@example(b'  # "x\na #b', SPACE, True, ord("#"))
def test_records_are_those_of_the_naive_states(
    data: bytes, delimiter: int, skip_space: bool, comment: int
) -> None:
    def naive() -> tuple[list[int], list[int], list[int]]:
        found = records(data, delimiter, QUOTE, skip_space, comment)
        starts, lines = [r.start for r in found], [r.line for r in found]
        return starts, lines, [r.stop - r.start for r in found]

    assert outcome(scan, data, delimiter, skip_space, comment) == outcome(naive)


@given(texts, switches)
def test_records_are_those_of_csv_reader(data: bytes, skip_space: bool) -> None:
    if isinstance(outcome(records, data, COMMA, QUOTE, skip_space), tuple):
        return  # csv.reader accepts a quote that never closes; we refuse it
    reader = csv.reader(
        io.TextIOWrapper(io.BytesIO(data), encoding="latin-1", newline=""),
        skipinitialspace=skip_space,
    )
    expected, before = [], 0
    for fields in reader:
        if fields and not (skip_space and fields == [""] and reader.line_num == before + 1):
            expected.append((before + 1, fields))
        before = reader.line_num
    ours = records(data, COMMA, QUOTE, skip_space)
    found = [(r.line, [f.decode("latin-1") for f in r.fields]) for r in ours]
    if skip_space:  # csv.reader gives [''] for a line of "" as for one of spaces: compare the rest
        found = [(line, fields) for line, fields in found if fields != [""]]
        expected = [(line, fields) for line, fields in expected if fields != [""]]
    assert found == expected


@given(texts, st.integers(1, 4))
@example(b"a,b\r\n\r\nc\r\n", 2)
def test_first_ragged_record(data: bytes, expected: int) -> None:
    found = outcome(records, data)
    if isinstance(found, tuple):
        return
    wrong = [(i, len(r.fields)) for i, r in enumerate(found) if len(r.fields) != expected]
    answer = lines.first_ragged(aligned(data), 0, COMMA, QUOTE, expected)
    assert answer == (wrong[0] if wrong else (-1, expected))


@given(texts, delimiters, switches, comments)
@example(b'a, "b, c", d\n "e""f"  , 2\n', COMMA, True, 0)
@example(b'\r \n""', COMMA, True, 0)
@example(b'a  "b c" \r\n  \n "d""e"f   g\n h  ', SPACE, True, 0)
@example(b'#a"\r\n"b"c,""\r#,"\nd,"\n#"\n', COMMA, False, ord("#"))
@example(b'  #a"\n b', COMMA, True, ord("#"))
def test_a_tidied_text_has_the_same_fields(
    data: bytes, delimiter: int, skip_space: bool, comment: int
) -> None:
    skip_space = skip_space or delimiter == SPACE
    out = np.empty(len(data), np.uint8)
    marks = delimiter, QUOTE, skip_space, comment
    kept = out[: lines.tidy(aligned(data), *marks, out)].tobytes()
    before = outcome(records, data, *marks)
    if isinstance(before, tuple):
        return
    after = records(kept, delimiter, QUOTE)
    assert [r.fields for r in after] == [r.fields for r in before]


@given(texts, st.integers(0, 9))
@example(b"a\r\n\rb\n", 3)
def test_after_lines(data: bytes, count: int) -> None:
    position, found = lines.after_lines(aligned(data), count)
    every = re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)", data)
    assert found == min(count, len(every))
    assert position == len(b"".join(every[:count]))


@given(st.binary(max_size=40), st.integers(0, 40), st.integers(0, 255))
@example(b"xxxxxxxxx,", 9, COMMA)
@example(b"xxx,xxxxx", 2, COMMA)
@example(b"xx,", 1, COMMA)
def test_contains(data: bytes, start: int, byte: int) -> None:
    start = min(start, len(data))
    assert lines.contains(aligned(data), start, byte) == (byte in data[start:])


def test_contains_sees_every_position_of_a_long_text() -> None:
    data = np.full(8 * 1024 * 3 + 5, 65, np.uint8)
    for position in (0, 8 * 1024, data.size - 6, data.size - 1):
        data[position] = QUOTE
        assert lines.contains(data, 0, QUOTE)
        data[position] = 65
    assert not lines.contains(data, 0, QUOTE)


@pytest.mark.parametrize("place", [0, 3, 8, 21])
@pytest.mark.parametrize("quoted", [False, True])
def test_nul_bytes_are_found_where_they_are(place: int, quoted: bool) -> None:
    lead = b'1,2\n3,"\n' if quoted else b"1,2\n3,4\n"
    data = lead + b"x" * place + b"\0" + b'tail",6\n'
    out = tuple(np.empty(9, np.uint32) for _ in range(3))
    _, position, line, *_, status = lines.scan_records(
        aligned(data), 0, 1, COMMA, QUOTE, False, 0, *out
    )
    assert (position, line, status) == (len(lead) + place, 3, lines.NUL_BYTE)


def test_a_record_four_gibibytes_away_waits_for_the_next_call(monkeypatch) -> None:
    """The limit itself needs a 4 GiB file; the branch is run with a limit of 10 bytes."""
    monkeypatch.setattr(lines, "_MAX_UINT32", 10)
    out = tuple(np.empty(9, np.uint32) for _ in range(3))
    data = aligned(b"aaaa\nbbbb\ncccc\ndddd\n")
    count, position, line, *_ = lines.scan_records.py_func(data, 0, 1, COMMA, QUOTE, False, 0, *out)
    assert (count, position, line) == (3, 15, 4)
