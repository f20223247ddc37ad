"""Row → line and byte offset, over blocks and irregular lines, against the naive states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.naive.lines import UnclosedQuoteError, records
from traceprop.sources import row_index
from traceprop.sources.row_index import Grammar, ScanProblem, scan_rows

COMMAS = Grammar(ord(","), ord('"'), skip_space=False)

pieces = st.sampled_from([b"a,1\n", b"b,2\r\n", b"\n", b'"x\ny",3\n', b'"d""q",4\r', b"c,5\n" * 3])


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_index, "_BLOCK_ROWS", 4)


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
    assert index.longest >= max((r.end - r.start for r in expected), default=0)


def test_rows_may_be_asked_in_any_order_and_repeatedly() -> None:
    index = scan(b"a,1\n" * 10)
    lines, offsets = index.locate([9, 0, 9])
    assert lines.tolist() == [10, 1, 10]
    assert offsets.tolist() == [36, 0, 36]


def test_a_regular_file_costs_four_bytes_a_row_and_any_file_less_than_ten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    rows = 200_000
    regular, irregular = scan(b"a,1\n" * rows), scan(b'a,"\n"\n' * rows)
    assert regular.n_rows == irregular.n_rows == rows
    assert regular.nbytes <= 4.01 * rows
    assert irregular.nbytes <= 8.01 * rows


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
