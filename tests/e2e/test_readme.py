"""The README's program runs as printed, on whatever table a reader has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.e2e.main_job import write_credit_scores

README = Path(__file__).resolve().parents[2] / "README.md"


def _run_program(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
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


def test_nobody_is_told_to_install_the_other_package():
    assert not re.search(r"pip install ['\"]?traceprop(?!-audit)", README.read_text())
