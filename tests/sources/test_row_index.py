"""Row → line, byte offset and hash, over blocks and irregular lines, against the naive states."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numba_kernels import row_gaps
from tests.naive.lines import UnclosedQuoteError, records
from tests.naive.row_hashes import xxh64
from traceprop.sources.identity import row_index
from traceprop.sources.identity.row_index import Grammar, ScanProblem, scan_rows

COMMAS = Grammar(ord(","), ord('"'), skip_space=False)

pieces = st.sampled_from([b"a,1\n", b"b,2\r\n", b"\n", b'"x\ny",3\n', b'"d""q",4\r', b"c,5\n" * 3])


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_index, "_BLOCK_ROWS", 4)
    monkeypatch.setattr(row_index, "_BATCH_ROWS", 8)


def scan(data: bytes, **options) -> row_index.RowIndex:
    return scan_rows(np.frombuffer(data, np.uint8).copy(), 0, 1, COMMAS, **options)


@given(st.lists(pieces, max_size=30).map(b"".join))
@example(b"a,1\n" * 9)
@example(b"a,1\n" * 4 + b"\n" + b"a,1\n" * 4)
def test_locate_agrees_with_the_naive_states(data: bytes) -> None:
    index = scan(data)
    expected = records(data)
    lines, offsets = index.locate(np.arange(index.n_rows))
    assert index.n_rows == len(expected)
    assert lines.tolist() == [record.line for record in expected]
    assert offsets.tolist() == [record.start for record in expected]
    assert index.hashes.tolist() == [xxh64(data[r.start : r.stop]) for r in expected]
    assert index.longest >= max((r.end - r.start for r in expected), default=0)


def test_rows_may_be_asked_in_any_order_and_repeatedly() -> None:
    index = scan(b"a,1\n" * 10)
    lines, offsets = index.locate([9, 0, 9])
    assert lines.tolist() == [10, 1, 10]
    assert offsets.tolist() == [36, 0, 36]


def rows_of_text(random: np.random.Generator, rows: int, longest: int, lines: int) -> bytes:
    """Rows of up to `longest` bytes on up to `lines` lines."""
    lengths = random.integers(4 + 2 * lines, longest, rows)
    breaks = random.integers(0, lines, rows)
    return b"".join(
        b'"%s%s"\n' % (b"\n" * b, b"x" * (n - b)) for n, b in zip(lengths, breaks, strict=True)
    )


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (lambda random: b"a,1\n" * 100_000, 8.3),
        (lambda random: b'a,"\n"\n' * 100_000, 8.3),
        (lambda random: b"a,1\n\n" * 50_000, 8.3),
        (lambda random: rows_of_text(random, 50_000, 300, 1), 9.5),
        (lambda random: rows_of_text(random, 10_000, 8000, 8), 10.3),
    ],
    ids=["of one length", "of two lines", "blank lines between", "of any length", "long, quoted"],
)
def test_a_row_costs_its_hash_and_two_bytes(
    monkeypatch: pytest.MonkeyPatch, text: Callable[[np.random.Generator], bytes], limit: float
) -> None:
    monkeypatch.undo()
    index = scan(text(np.random.default_rng(0)))
    assert index.nbytes <= limit * index.n_rows


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), max_size=40),
    st.lists(st.integers(0, 39), max_size=20),
    st.integers(1, 9),
)
@example([(0, 0), (2**32 - 1, 2**32 - 1), (2**32 - 1, 2**32 - 1)], [1, 0, 2], 4)
def test_packed_positions_come_back(
    positions: list[tuple[int, int]], asked: list[int], block_rows: int
) -> None:
    starts = np.sort(np.array([p[0] for p in positions], np.uint32))
    lines = np.sort(np.array([p[1] for p in positions], np.uint32))
    packed = np.empty(row_gaps.BYTES_PER_ROW * starts.size, np.uint8)
    blocks = np.empty((-(-starts.size // block_rows), len(row_gaps.FIELDS)), np.int64)
    used = row_gaps.pack_rows(starts, lines, block_rows, packed, blocks)
    rows = np.array([row for row in asked if row < starts.size], np.int64)
    found = np.empty((2, rows.size), np.int64)
    row_gaps.find_rows(rows, packed[:used], blocks, found[0], found[1])
    assert np.array_equal(found, [lines[rows], starts[rows]])


def test_a_limit_stops_the_scan_after_so_many_rows() -> None:
    index = scan(b"h,i\r\n\r\n1,2\r\n", limit=1)
    assert (index.n_rows, index.end, index.end_line) == (1, 5, 2)


@pytest.mark.parametrize(
    ("data", "nul", "offset", "line", "record"),
    [
        (b'a,1\nb,"2\nc\n', False, 6, 2, 4),
        (b'a,1\n\n"b\nc",\0\n', True, 11, 4, 5),
        (b'a,1\n"', False, 4, 2, 4),
    ],
)
def test_problems_say_where_they_are(
    data: bytes, nul: bool, offset: int, line: int, record: int
) -> None:
    with pytest.raises(ScanProblem) as caught:
        scan(data)
    problem = caught.value
    assert (problem.nul, problem.offset, problem.line, problem.record) == (
        nul,
        offset,
        line,
        record,
    )


def test_the_naive_states_refuse_the_same_quote() -> None:
    with pytest.raises(UnclosedQuoteError) as caught:
        records(b'a,1\nb,"2\nc\n')
    assert (caught.value.offset, caught.value.line) == (6, 2)
