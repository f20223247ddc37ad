"""`load_csv` reads numbers by a kernel of its own: the values and the errors are pyarrow's."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv as arrow_csv

import traceprop as tp
from tests.conftest import SHARED_DATA
from traceprop.errors import SourceError
from traceprop.lineage import values
from traceprop.sources.csv import numbers as csv_numbers
from traceprop.sources.csv import parse as csv_parse
from traceprop.sources.identity import row_index

reuse = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def bits(path: Path, **options: Any) -> np.ndarray:
    """Load a file; the bits of its numbers, every NaN alike."""
    numbers = values(tp.load_csv(path, **options)).copy()
    numbers[np.isnan(numbers)] = np.nan
    return numbers.view(np.uint64)


def outcome(path: Path, **options: Any) -> list[list[int]] | str:
    try:
        return bits(path, **options).tolist()
    except SourceError as error:
        return str(error)


@pytest.fixture
def by_arrow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call a function with the kernel out of use."""

    def call(function: Any, *arguments: Any, **options: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(csv_parse.PlainCells, "of", lambda text: None)
            return function(*arguments, **options)

    return call


@pytest.fixture
def arrow_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows pyarrow read, each time it was asked."""
    calls: list[int] = []
    read = csv_numbers.CsvReader.read

    def counting(self: Any) -> Any:
        table = read(self)
        calls.append(table.num_rows)
        return table

    monkeypatch.setattr(csv_numbers.CsvReader, "read", counting)
    return calls


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_index, "_BATCH_ROWS", 2)


cells = st.one_of(
    st.floats().map(repr),
    st.integers(-(10**22), 10**22).map(str),
    st.sampled_from(["", "NA", "nan", "-999", "?", "inf", "-inf", "1.", ".5", "+1", " 1", "1 "]),
    st.sampled_from(['"1"', '"2,5"', '"3\n"', "x", "1e", "é", "9007199254740992.9999999999999"]),
)
plain_cells = st.one_of(st.floats(allow_nan=False, allow_infinity=False).map(repr), st.just(""))


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, dict[str, Any]]:
    width = draw(st.integers(1, 3))
    kind = draw(st.sampled_from([cells, plain_cells]))
    odd = draw(st.sampled_from([0, 0, 0.1]))
    rows = []
    for _ in range(draw(st.integers(0, 12))):
        row = [draw(kind) for _ in range(width)]
        if odd and draw(st.integers(0, 19)) == 0:
            row.append("7")
        rows.append(row)
    ends = draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n"]))
    delimiter = draw(st.sampled_from([",", ";", "\t", ", "]))
    text = ends.join(delimiter.join(row) for row in [["a", "b", "c"][:width], *rows])
    options: dict[str, Any] = {"delimiter": delimiter}
    if draw(st.booleans()):
        options["columns"] = draw(st.permutations(["a", "b", "c"][:width]))[
            : draw(st.integers(1, 3))
        ]
    if draw(st.booleans()):
        options["missing"] = draw(st.sampled_from(["-999", "NA", ["?", "1.0"], []]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "latin-1", "utf-16"]))
    options["encoding"] = encoding
    return (text + draw(st.sampled_from(["", ends]))).encode(encoding), options


@reuse
@given(files())
def test_values_and_errors_are_those_of_pyarrow(
    tmp_path: Path, by_arrow: Any, small_batches: None, file: tuple[bytes, dict[str, Any]]
) -> None:
    path = tmp_path / "t.csv"
    content, options = file
    path.write_bytes(content)
    expected = by_arrow(outcome, path, **options)
    assert outcome(path, **options) == expected
    if not isinstance(expected, str):
        (source,) = tp.load_csv(path, **options).sources()
        (by_pyarrow,) = by_arrow(tp.load_csv, path, **options).sources()
        assert source == by_pyarrow
        assert np.array_equal(source.row_hashes, by_pyarrow.row_hashes)
        rows = range(source.n_rows)
        for ours, theirs in zip(source.locate(rows), by_pyarrow.locate(rows), strict=True):
            assert np.array_equal(ours, theirs)
        batches = [values(batch) for batch in tp.load_csv(path, batch_rows=3, **options)]
        assert np.array_equal(np.concatenate(batches), values(tp.load_csv(path, **options)), True)


def write_numbers(path: Path, n_rows: int, seed: int) -> pa.Table:
    """Write a file of numbers of many kinds, and read it by pyarrow."""
    rng, random_ = np.random.default_rng(seed), random.Random(seed)
    columns = [
        [repr(v) for v in rng.normal(size=n_rows).tolist()],
        [f"{v:.17g}" for v in rng.lognormal(0, 50, n_rows)],
        [str(v) for v in rng.integers(-(10**9), 10**9, n_rows)],
        [f"{v:.2f}" if random_.random() < 0.9 else "" for v in rng.normal(size=n_rows)],
        [f"{v:.3e}" if random_.random() < 0.9 else "NA" for v in rng.normal(size=n_rows)],
    ]
    path.write_text("a,b,c,d,e\n" + "\n".join(map(",".join, zip(*columns, strict=True))) + "\n")
    kinds = dict.fromkeys("abcde", pa.float64())
    return arrow_csv.read_csv(path, convert_options=arrow_csv.ConvertOptions(column_types=kinds))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_large_file_has_pyarrow_s_values_and_needs_no_pyarrow(
    tmp_path: Path, arrow_calls: list[int], seed: int
) -> None:
    path = tmp_path / "t.csv"
    expected = write_numbers(path, 30_000, seed)
    loaded = values(tp.load_csv(path))
    for j, column in enumerate(expected.columns):
        theirs = column.to_numpy()
        assert np.array_equal(loaded[:, j], theirs, equal_nan=True)
        assert np.array_equal(np.signbit(loaded[:, j]), np.signbit(theirs))
    chosen = values(tp.load_csv(path, columns=["d", "a"]))
    assert np.array_equal(chosen, loaded[:, [3, 0]], equal_nan=True)
    assert arrow_calls == []


def lines(*odd: int, cell: str = "inf") -> bytes:
    """20,000 rows of two numbers, with another cell in some."""
    rows = [f"{i},{i}.5" if i not in odd else f"{i},{cell}" for i in range(20_000)]
    return ("a,b\n" + "\n".join(rows)).encode()


def test_only_the_batches_that_are_not_plain_go_to_pyarrow(
    tmp_path: Path, arrow_calls: list[int]
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(lines(9000))
    loaded = values(tp.load_csv(path))
    assert arrow_calls == [4096]
    expected = np.column_stack([np.arange(20_000), np.arange(20_000) + 0.5])
    expected[9000, 1] = np.inf
    assert np.array_equal(loaded, expected)


@pytest.mark.parametrize("odd", [(3,), (5000, 9000)])
def test_a_text_that_begins_otherwise_or_has_many_such_batches_goes_to_pyarrow_whole(
    tmp_path: Path, arrow_calls: list[int], odd: tuple[int, ...]
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(lines(*odd))
    assert np.isinf(values(tp.load_csv(path))[:, 1]).sum() == len(odd)
    assert arrow_calls == [20_000]


@pytest.mark.parametrize("cell", ["x", "1,2", "", '"', "\0", "1 2"])
@pytest.mark.parametrize("row", [2, 9000, 19_999])
def test_refusals_name_the_line_in_the_file(
    tmp_path: Path, by_arrow: Any, cell: str, row: int
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(lines(row, cell=cell))
    found = outcome(path)
    assert found == by_arrow(outcome, path)
    assert not isinstance(found, str) if cell == "" else f"line {row + 2}" in found


def test_marks_that_are_numbers_and_declared_types_keep_their_meaning(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n-999,0.1\n1,true\n")
    with pytest.raises(SourceError, match=r"line 3 \(row 1\), column 'b': 'true' is not a number"):
        tp.load_csv(path)
    path.write_bytes(b"a,b\n-999,0.1\n1,-999\n")
    assert np.isnan(values(tp.load_csv(path, missing="-999"))).tolist() == [
        [True, False],
        [False, True],
    ]
    declared = values(tp.load_csv(path, dtypes={"b": "float32"}))
    assert declared[0, 1] == float(np.float32(0.1)) != 0.1
    assert values(tp.load_csv(path, dtypes={"b": "float64"}))[0, 1] == 0.1
    path.write_bytes(b"a\n300\n")
    with pytest.raises(SourceError, match="not a value of type int8"):
        tp.load_csv(path, dtypes={"a": "int8"})


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="needs ../shared/data")
@pytest.mark.parametrize("delimiter", [",", ", "])
def test_published_numbers_are_those_of_pyarrow(by_arrow: Any, delimiter: str) -> None:
    options = {"header": False, "columns": [0, 2, 4, 10, 11, 12], "delimiter": delimiter}
    path = SHARED_DATA / "adult.data"
    assert np.array_equal(bits(path, **options), by_arrow(bits, path, **options))
    german = SHARED_DATA / "german.data"
    options = {"header": False, "columns": [1, 4, 7, 10, 12, 15, 17, 20], "delimiter": " "}
    assert np.array_equal(bits(german, **options), by_arrow(bits, german, **options))
