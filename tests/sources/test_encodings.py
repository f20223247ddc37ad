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
from traceprop.sources.csv_format import CsvFormat


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
