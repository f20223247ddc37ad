"""The README's program runs as printed, on whatever table a reader has."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.e2e.main_job import write_credit_scores

README = Path(__file__).resolve().parents[2] / "README.md"


def _run_program(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int = 0) -> None:
    program = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)[number]
    monkeypatch.chdir(folder)
    torch.manual_seed(0)
    exec(compile(program, str(README), "exec"), {})


def test_the_program_of_the_readme_runs_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    write_credit_scores(tmp_path)
    _run_program(tmp_path, monkeypatch)
    printed = capsys.readouterr().out
    assert "[normalize, row_filter]" in printed
    assert "credit_scores.csv row 0 (line 2) · normalize → row_filter" in printed
    assert "exact-convex" in printed
    assert (tmp_path / "article26_cert.json").exists()


def test_it_runs_on_a_table_whose_first_rows_are_filtered_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The program filters by the fourth column; a row that it names must have passed."""
    path = write_credit_scores(tmp_path)
    header, *rows = path.read_text().splitlines()
    rows.sort(key=lambda row: float(row.split(",")[3]))
    path.write_text("\n".join([header, *rows, ""]))
    _run_program(tmp_path, monkeypatch)
    printed = capsys.readouterr().out
    assert "credit_scores.csv row 0 " not in printed
    assert "exact-convex" in printed


def test_files_and_a_query_are_joined_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "loans").mkdir()
    for year, rows in (
        ("2024", {"person": ["ann", "bob"], "amount": [1500.0, 20.0], "purpose": ["car", "tv"]}),
        ("2025", {"person": ["cat"], "amount": [4000.0], "purpose": ["tv"]}),
    ):
        pq.write_table(pa.table(rows), tmp_path / "loans" / f"{year}.parquet")
    with closing(sqlite3.connect(tmp_path / "people.db")) as connection:
        connection.execute("CREATE TABLE people (person TEXT, age INTEGER)")
        people = [("bob", 20), ("ann", 44), ("cat", 33)]
        connection.executemany("INSERT INTO people VALUES (?, ?)", people)
        connection.commit()
    _run_program(tmp_path, monkeypatch, 1)
    comments = re.findall(r"print\(.*?\)  # ([^…\n]*)", README.read_text())
    printed = capsys.readouterr().out
    for comment in (each for each in comments if "2025.parquet" in each):
        assert comment in printed
    assert "2025.parquet row 0: the file has the same bytes" in printed


def test_nobody_is_told_to_install_the_other_package():
    assert not re.search(r"pip install ['\"]?traceprop(?!-audit)", README.read_text())
