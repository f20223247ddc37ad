"""Several CSV files as one tensor or table, compressed files, and files of a URL."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import traceprop as tp
from traceprop.errors import SourceError
from traceprop.lineage import values
from traceprop.sources.inputs import compression, remote


@pytest.fixture
def years(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files of the same columns, in folders, one of them compressed."""
    monkeypatch.chdir(tmp_path)
    for year, rows in {"2023": "1,2\n3,4\n", "2024": "5,6\n", "2025": "7,8.5\n9,\n"}.items():
        (tmp_path / year).mkdir()
        (tmp_path / year / "rows.csv").write_text(f"a,b\n{rows}")
    return tmp_path


def test_a_glob_gives_one_tensor_whose_rows_name_their_own_file(years: Path) -> None:
    X = tp.load_csv("*/rows.csv")
    assert X.columns == ("a", "b")
    assert np.array_equal(values(X), [[1, 2], [3, 4], [5, 6], [7, 8.5], [9, np.nan]], True)
    assert (
        repr(X.sources())
        == "{2023/rows.csv: rows 0-1, 2024/rows.csv: row 0, 2025/rows.csv: rows 0-1}"
    )
    kept = X[X[:, 0] > 3]
    assert str(kept[0].trace()) == "2024/rows.csv row 0 (line 2) · concat → row_filter"
    assert str(kept[2].trace()) == "2025/rows.csv row 1 (line 3) · concat → row_filter"
    tp.save_lineage("lineage.arrow", kept)
    assert str(tp.load_lineage("lineage.arrow").trace(2)).startswith("2025/rows.csv row 1 (line 3)")
    for source in X.sources():
        assert source.sha256 == hashlib.sha256(Path(source.path).read_bytes()).hexdigest()


def test_a_table_of_several_files_merges_types_and_categories(tmp_path: Path) -> None:
    contents = ("n,s,e\n1,b,\n2,a,\n", "n,s,e\n2.5,c,x\n", "n,s,e\n,a,y\n")
    for name, content in zip("pqr", contents, strict=True):
        (tmp_path / f"{name}.csv").write_text(content)
    table = tp.read_csv([tmp_path / f"{name}.csv" for name in "pqr"])
    assert table.categories == {"s": ("a", "b", "c"), "e": ("x", "y")}
    assert values(table["s"]).tolist() == ["b", "a", "c", "a"]
    assert values(table["e"]).tolist() == ["", "", "x", "y"]
    assert np.array_equal(values(table["n"]), [1, 2, 2.5, np.nan], equal_nan=True)
    chosen = table[table["n"] > 1.5]
    assert repr(chosen.sources()) == "{p.csv: row 1, q.csv: row 0}"


MISMATCHED = {
    "another name": ("a,c\n1,2\n", r"column 2 is 'b' in one\.csv but 'c' in two\.csv"),
    "another order": ("b,a\n1,2\n", r"column 1 is 'a' in one\.csv but 'b' in two\.csv"),
    "one more": ("a,b,c\n1,2,3\n", r"column 3 is nothing in one\.csv but 'c' in two\.csv"),
    "one fewer": ("a\n1\n", r"column 2 is 'b' in one\.csv but nothing in two\.csv"),
}


@pytest.mark.parametrize("load", [tp.load_csv, tp.read_csv])
@pytest.mark.parametrize("case", MISMATCHED)
def test_files_of_other_columns_are_refused_by_name(tmp_path: Path, load, case: str) -> None:
    content, message = MISMATCHED[case]
    (tmp_path / "one.csv").write_text("a,b\n1,2\n")
    (tmp_path / "two.csv").write_text(content)
    with pytest.raises(SourceError, match=message):
        load(tmp_path / "*.csv")


def test_without_a_header_the_width_must_agree(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("1,2\n")
    (tmp_path / "two.csv").write_text("1,2,3\n")
    with pytest.raises(SourceError, match=r"column 3 is nothing in one\.csv but 'f2' in two\.csv"):
        tp.load_csv(tmp_path / "*.csv", header=False)
    assert tp.load_csv(tmp_path / "one.csv", header=False).columns == ("f0", "f1")


def test_a_column_of_numbers_here_and_text_there_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("a,b\n1,2\n")
    (tmp_path / "two.csv").write_text("a,b\n1,02x\n")
    with pytest.raises(
        SourceError,
        match=r"column 'b' is numbers in one\.csv and text in two\.csv "
        r"\('02x' in two\.csv row 0 \(line 2\)\)",
    ):
        tp.read_csv(tmp_path / "*.csv")
    (tmp_path / "two.csv").write_text('a,b\n1,"02\n"\n')  # Python's float would take that
    with pytest.raises(SourceError, match=r"\('02\\n' in two\.csv row 0"):
        tp.read_csv(tmp_path / "*.csv")
    (tmp_path / "two.csv").write_text("a,b\n1,02x\n")
    table = tp.read_csv(tmp_path / "*.csv", dtypes={"b": str})
    assert values(table["b"]).tolist() == ["2", "02x"]
    with pytest.raises(SourceError, match=r"two\.csv line 2 \(row 0\), column 'b': '02x'"):
        tp.load_csv(tmp_path / "*.csv")


def test_a_problem_in_one_of_several_files_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("a,b\n1,2\n")
    (tmp_path / "two.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(SourceError, match=r"two\.csv line 3 \(row 1\) has 1 value"):
        tp.load_csv(tmp_path / "*.csv")


# -- compressed files ------------------------------------------------------------------------------

CONTENT = b'a,b\r\n1,"x\ny"\r\n# c\r\n2,z\r\n'


def packed(content: bytes, codec: str) -> bytes:
    import pyarrow as pa

    return (
        bytes(pa.compress(content, codec, asbytes=True))
        if codec == "zstd"
        else gzip.compress(content)
    )


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.zst", "named-otherwise.csv"])
@pytest.mark.parametrize("members", [1, 3])
def test_digest_of_the_stored_bytes_lines_of_the_text(
    tmp_path: Path, name: str, members: int
) -> None:
    codec = "zstd" if name.endswith("zst") else "gzip"
    cuts = np.linspace(0, len(CONTENT), members + 1).astype(int)
    stored = b"".join(packed(CONTENT[i:j], codec) for i, j in pairwise(cuts))
    path = tmp_path / name
    path.write_bytes(stored)
    table = tp.read_csv(path, comment="#")
    assert table.source.sha256 == hashlib.sha256(stored).hexdigest()
    assert values(table["b"]).tolist() == ["x\ny", "z"]
    lines, offsets = table.source.locate([0, 1])
    assert lines.tolist() == [2, 5]
    assert CONTENT[offsets[1] :] == b"2,z\r\n"
    again = type(table.source).from_json(table.source.to_json())
    assert again.locate([1])[1].tolist() == [offsets[1]]
    path.write_bytes(packed(CONTENT, codec) + packed(b"3,w\n", codec))
    with pytest.raises(SourceError, match="changed since it was loaded"):
        again.locate([1])


@pytest.mark.parametrize("load", [tp.read_csv, lambda p: list(tp.read_csv(p, batch_rows=2))])
@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_damaged_compressed_files_are_refused(tmp_path: Path, load, codec: str) -> None:
    path = tmp_path / {"gzip": "t.csv.gz", "zstd": "t.csv.zst"}[codec]
    whole = packed(b"a,b\n" + b"1,2\n3,4\n" * 500, codec)
    for stored in (whole[:-5], whole[: len(whole) // 2], whole + b"tail"):
        path.write_bytes(stored)
        with pytest.raises(SourceError, match=rf"t\.csv\.\w+ can't be expanded: its {codec} data"):
            load(path)
    for stored in (b"a,b\n1,2\n", b""):
        path.write_bytes(stored)
        with pytest.raises(SourceError, match=f"does not begin as {codec} data"):
            load(path)


@pytest.mark.parametrize("load", [tp.load_csv, lambda p: list(tp.read_csv(p, batch_rows=2))])
@pytest.mark.parametrize(
    ("name", "begins", "said"),
    [
        ("t.csv", b"PK\x03\x04\x14\0", "t.csv is a zip archive, or a workbook of Excel"),
        ("t.csv", b"\xfd7zXZ\0", "t.csv is xz data; expand it"),
        ("t.csv.bz2", b"BZh91AY&SY", "t.csv.bz2 is bzip2 data; expand it"),
        ("t.parquet", b"PAR1\x15\x04", "t.parquet is a Parquet file; load it with load_parquet"),
    ],
)
def test_files_of_other_kinds_are_named(
    tmp_path: Path, load, name: str, begins: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(begins + bytes(range(256)))
    with pytest.raises(SourceError, match=re.escape(said)):
        load(tmp_path / name)


def test_text_may_begin_as_files_of_other_kinds_do(tmp_path: Path) -> None:
    for name in ("BZh9", "PAR1"):
        (tmp_path / "t.csv").write_text(f"{name}\n1\n")
        assert tp.load_csv(tmp_path / "t.csv").columns == (name,)


def test_what_expands_too_far_is_read_in_batches_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "_HARMLESS_BYTES", 1 << 20)
    monkeypatch.setattr(compression, "_STEP", 1 << 16)
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a\n" + b"1\n" * (2 << 20)))
    with pytest.raises(SourceError, match=r"expands to more than 200 times its size .*batch_rows="):
        tp.load_csv(path)
    assert sum(len(batch) for batch in tp.load_csv(path, batch_rows=500_000)) == 2 << 20


# -- URLs ------------------------------------------------------------------------------------------


@pytest.fixture
def memory() -> Iterator[object]:
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.pipe({"/in/a.csv": b"a,b\n1,2\n3,4\n", "/in/b.csv.gz": gzip.compress(b"a,b\n5,6\n")})
    yield system
    system.rm("/in", recursive=True)


@pytest.mark.parametrize("own", [False, True])
def test_files_of_a_url_are_rows_home(memory, tmp_path: Path, own: bool) -> None:
    X = tp.load_csv(
        "in/*.csv*" if own else "memory://in/*.csv*", filesystem=memory if own else None
    )
    assert values(X).tolist() == [[1, 2], [3, 4], [5, 6]]
    assert str(X[2].trace()) == "b.csv.gz row 0 (line 2) · concat"
    batches = [*tp.load_csv("memory://in/*.csv*", batch_rows=1)]
    assert [str(each.trace()) for each in batches] == [
        *("a.csv row 0 (line 2)", "a.csv row 1 (line 3)", "b.csv.gz row 0 (line 2)"),
    ]
    memory.pipe("/in/a.csv", b"a,b\n1,2\n3,5\n")
    assert "a.csv changed since it was loaded" in str(X[1].trace())


def test_a_saved_lineage_says_where_it_would_connect_to(
    memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = tp.load_csv("memory://in/a.csv")
    tp.save_lineage(tmp_path / "lineage.arrow", X)
    monkeypatch.setattr(remote, "_allowed", set())
    graph = tp.load_lineage(tmp_path / "lineage.arrow")
    assert "say traceprop.sources.allow_remote('memory://in/')" in str(graph.trace(1))
    tp.sources.allow_remote("memory://in/")
    assert str(graph.trace(1)) == "a.csv row 1 (line 3)"


def test_a_saved_lineage_opens_no_file_of_another_name(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n")
    (source,) = tp.load_csv(path).sources()
    stored = source.to_json()
    for altered in ({"path": "t.csv"}, {"path": "/etc/passwd"}, {"path": f"{tmp_path}/../t.csv"}):
        with pytest.raises(SourceError, match="it is damaged, or was altered"):
            type(source).from_json({**stored, **altered}).locate([0])
