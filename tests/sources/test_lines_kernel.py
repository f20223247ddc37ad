"""The line scanner against its plain-Python twin and against Python's csv reader."""

from __future__ import annotations

import csv
import io

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
    [b'"', b'""', b",", b"\n", b"\r", b"\r\n", b" ", b"a", b"12.5", b"\xc3\xa9", b"x" * 23]
)
texts = st.lists(_PIECES, max_size=60).map(b"".join)
switches = st.booleans()
delimiters = st.sampled_from([COMMA, SPACE])


def aligned(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8).copy()


def scan(
    data: bytes, delimiter: int, skip_space: bool, room: int = 3
) -> tuple[list[int], list[int], list[int]]:
    """Offsets, lines and lengths of all records, fetched `room` at a time."""
    array = aligned(data)
    starts, line_numbers, lengths = [], [], []
    out = tuple(np.empty(room, np.uint32) for _ in range(3))
    position, line = 0, 1
    while position < array.size:
        count, position, line, first, first_line, _, status = lines.scan_records(
            array, position, line, delimiter, QUOTE, skip_space, *out
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


@given(texts, delimiters, switches)
@example(b'a,"b\r\nc"\r\n\r\n', COMMA, False)
@example(b'a"b,"c""d",""\r\r', COMMA, False)
@example(b'a,"b\nc"', COMMA, False)
@example(b'a, "b, c"\n  \n"d"  ,"', COMMA, True)
@example(b'a  "b\nc" \n  \n"d"  "e"', SPACE, True)
@example(b"", COMMA, False)
def test_records_are_those_of_the_naive_states(
    data: bytes, delimiter: int, skip_space: bool
) -> None:
    def naive() -> tuple[list[int], list[int], list[int]]:
        found = records(data, delimiter, QUOTE, skip_space)
        starts, lines = [r.start for r in found], [r.line for r in found]
        return starts, lines, [r.stop - r.start for r in found]

    assert outcome(scan, data, delimiter, skip_space) == outcome(naive)


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


@given(texts, delimiters)
@example(b'a, "b, c", d\n "e""f"  , 2\n', COMMA)
@example(b'\r \n""', COMMA)
@example(b'a  "b c" \r\n  \n "d""e"f   g\n h  ', SPACE)
def test_squeezing_spaces_leaves_the_fields(data: bytes, delimiter: int) -> None:
    out = np.empty(len(data), np.uint8)
    kept = out[: lines.squeeze_spaces(aligned(data), delimiter, QUOTE, out)].tobytes()
    before = outcome(records, data, delimiter, QUOTE, True)
    if isinstance(before, tuple):
        return
    after = records(kept, delimiter, QUOTE)
    assert [r.fields for r in after] == [r.fields for r in before]


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
        aligned(data), 0, 1, COMMA, QUOTE, False, *out
    )
    assert (position, line, status) == (len(lead) + place, 3, lines.NUL_BYTE)


def test_a_record_four_gibibytes_away_waits_for_the_next_call(monkeypatch) -> None:
    """The limit itself needs a 4 GiB file; the branch is run with a limit of 10 bytes."""
    monkeypatch.setattr(lines, "_MAX_UINT32", 10)
    out = tuple(np.empty(9, np.uint32) for _ in range(3))
    data = aligned(b"aaaa\nbbbb\ncccc\ndddd\n")
    count, position, line, *_ = lines.scan_records.py_func(data, 0, 1, COMMA, QUOTE, False, *out)
    assert (count, position, line) == (3, 15, 4)
