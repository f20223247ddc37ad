"""A trace prints whatever became of its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import traceprop as tp


def test_a_trace_prints_its_row_and_what_is_wrong_with_the_file(tmp_path: Path):
    path = tmp_path / "scores.csv"
    path.write_text("a,b\n1,2\n3,4\n5,6\n")
    trace = np.log(tp.load_csv(path))[1].trace()
    assert str(trace) == "scores.csv row 1 (line 3) · log"
    path.write_text("a,b\n1,2\n3,4\n5,7\n")
    assert str(trace).startswith("scores.csv row 1 (scores.csv changed since it was loaded")
    assert str(trace).endswith(" · log")
    path.unlink()
    assert str(trace).startswith("scores.csv row 1 (scores.csv does not exist")
    assert trace.trace_to_file() == "scores.csv row 1"
