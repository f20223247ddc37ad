"""The README's program runs as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.e2e.main_job import write_credit_scores

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_program_of_the_readme_runs_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    write_credit_scores(tmp_path)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(compile(program, str(README), "exec"), {})
    printed = capsys.readouterr().out
    assert "[normalize, row_filter]" in printed
    assert "credit_scores.csv row 0 (line 2) · normalize → row_filter" in printed
    assert "exact-convex" in printed
    assert (tmp_path / "article26_cert.json").exists()


def test_nobody_is_told_to_install_the_other_package():
    assert not re.search(r"pip install ['\"]?traceprop(?!-audit)", README.read_text())
