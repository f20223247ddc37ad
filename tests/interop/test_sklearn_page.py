"""The program of docs/sklearn.md runs as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import traceprop as tp
from tests.e2e.main_job import write_credit_scores
from traceprop.interop.sklearn import VERSIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sklearn.md"


def test_the_program_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_credit_scores(tmp_path)
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    switches = []
    enable = tp.sklearn.enable
    monkeypatch.setattr(tp.sklearn, "enable", lambda **kw: switches.append(enable(**kw)))
    try:
        exec(compile(program, str(PAGE), "exec"), {})
    finally:
        switches[0].disable()
    trace, dependencies, *learned = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"credit_scores.csv row \d+ \(line \d+\) · .*Pipeline", trace)
    assert "statistic {credit_scores.csv: rows" in dependencies
    assert all(each.startswith("{credit_scores.csv: rows") for each in learned)


def test_the_page_lists_the_versions() -> None:
    assert f"scikit-learn {' and '.join(VERSIONS)}" in " ".join(PAGE.read_text().split())
