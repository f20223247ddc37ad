"""Declared encodings: which are taken, and that lines and offsets are those of the file's bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import traceprop as tp
from traceprop.errors import SourceError
from traceprop.lineage import values
from traceprop.sources.csv.format import CsvFormat


@pytest.mark.parametrize(
    ("encoding", "word"),
    [
        ("utf-8", "né€𝄞"),
        ("utf-8-sig", "né"),
        ("latin-1", "né"),
        ("cp1252", "né€"),
        ("shift_jis", "表ソ"),
        ("gb18030", "字𝄞"),
        ("koi8-r", "слово"),
    ],
)
def test_text_in_an_encoding_is_read_and_found(tmp_path: Path, encoding: str, word: str) -> None:
    content = f'{word},b\n"{word}\n{word}",1\n\n{word}x,2\n'.encode(encoding)
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    table = tp.read_csv(path, encoding=encoding)
    assert table.columns == (word, "b")
    assert values(table[word]).tolist() == [f"{word}\n{word}", f"{word}x"]
    lines, offsets = table.source.locate([0, 1])
    assert lines.tolist() == [2, 5]
    assert content[offsets[1] :].decode(encoding) == f"{word}x,2\n"


WIDE = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("mark", [False, True])
def test_wide_encodings_with_and_without_a_mark(tmp_path: Path, encoding: str, mark: bool) -> None:
    codec = encoding if encoding[-2:] in ("le", "be") else f"{encoding}-le"
    content = (("\ufeff" if mark else "") + 'né,b\n"𝄞\r\n""é",1\n\nĊ，x,2\n').encode(codec)
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    table = tp.read_csv(path, encoding=encoding)
    assert table.columns == ("né", "b")
    assert values(table["né"]).tolist() == ['𝄞\r\n"é', "Ċ，x"]  # Ċ is U+010A: LF in its low byte
    lines, offsets = table.source.locate([0, 1])
    assert lines.tolist() == [2, 5]
    assert content[offsets[1] :].decode(codec) == "Ċ，x,2\n"
    assert np.array_equal(values(tp.load_csv(path, ["b"], encoding=encoding)), [[1], [2]])


@pytest.mark.parametrize("width", [16, 32])
def test_a_mark_overrules_no_declared_encoding(tmp_path: Path, width: int) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("a\n1\n".encode(f"utf-{width}"))
    for said in ("utf-8", "latin-1", f"utf-{width}-be"):
        with pytest.raises(SourceError, match=f"say encoding='utf-{width}'"):
            tp.read_csv(path, encoding=said)
    path.write_bytes("\ufeffa\n1\n".encode())
    with pytest.raises(SourceError, match=r"is UTF-8 text, .* say encoding='utf-8'"):
        tp.read_csv(path, encoding=f"utf-{width}")


@pytest.mark.parametrize("options", [{}, {"batch_rows": 1}])
def test_damage_in_wide_text_names_line_and_column(tmp_path: Path, options: dict) -> None:
    path = tmp_path / "t.csv"
    content = 'a,b\n1,"x\n"\n2,'.encode("utf-16-le")
    damages = {
        b"\x00\xd8z\x00\n\x00": r"line 4, column 'b' is not utf-16-le text \(bytes 0x00D8\)",
        b"z\x00\n": "ends within a character of utf-16-le",
        b"z\x00\x00\x00": "line 4, column 2: a NUL byte",
        b'"\x00': "line 4, column 2: a quote opens here and never closes",
    }
    for damage, message in damages.items():
        path.write_bytes(content + damage)
        with pytest.raises(SourceError, match=message):
            list(tp.read_csv(path, encoding="utf-16-le", **options))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-be", "latin-1"])
def test_a_letter_beyond_ascii_that_changed_is_noticed_in_its_row(
    tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("a,b\n1,é\n2,è\n3,é\n".encode(encoding))
    source = tp.read_csv(path, encoding=encoding).source
    path.write_bytes("a,b\n1,é\n2,ê\n3,é\n".encode(encoding))
    assert [each.state for each in source.verify([0, 1, 2])] == [
        *("same row", "changed", "same row"),
    ]


def test_a_mark_that_a_longer_character_may_end_in_is_refused_as_delimiter() -> None:
    assert CsvFormat(delimiter=",", encoding="gbk").encoding == "gbk"
    with pytest.raises(SourceError, match="does not extend ASCII"):
        CsvFormat(delimiter="|", encoding="gbk")


def test_a_format_is_saved_and_made_again() -> None:
    made = CsvFormat.make(
        delimiter=", ",
        header=False,
        missing=["?", "-"],
        encoding="latin-1",
        skip_rows=2,
        comment="#",
        dtypes={"a": str, 1: np.float32, "d": "datetime64[s]"},
    )
    assert made.missing == ("", "?", "-")
    assert made.dtypes == (("a", "str"), (1, "float32"), ("d", "datetime64[s]"))
    assert CsvFormat.from_json(made.to_json()) == made


def test_importing_sources_loads_no_heavy_module() -> None:
    program = (
        "import sys, traceprop.sources\n"
        "print([m for m in ('torch', 'numba', 'pyarrow', 'scipy', 'tqdm') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
