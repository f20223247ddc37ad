"""Programs as users write them, on CSV files: replayed, and replayed without rows of each file.

What a replay without rows must give is what the same function gives on a file with those lines
deleted (tests/naive/replays.py). Two of the programs count rows themselves, which is refused.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import traceprop as tp
from tests.e2e.programs import PROGRAMS
from tests.naive.replays import executed_anew
from traceprop.errors import LineageError
from traceprop.lineage import strict, values
from traceprop.replays.compare import same_bits

COUNTS_ROWS = {
    "bootstrap": "plain mask, index or permutation",
    "join": "11 may come of a number of rows",
}
ADULT = Path(__file__).resolve().parents[3] / "shared" / "data" / "adult.data"
ON_ADULT = ("credit_scoring", "k_means", "principal_components", "moving_averages")


def write_tables(folder, program, seed):
    """Write a program's tables as CSV, each number with all its digits."""
    paths = []
    for i, table in enumerate(program.tables(np.random.default_rng(seed))):
        path = folder / f"table{i}.csv"
        lines = [
            ",".join("" if cell != cell else repr(cell) for cell in row) for row in table.tolist()
        ]
        path.write_text("\n".join([",".join(f"c{j}" for j in range(table.shape[1])), *lines, ""]))
        paths.append(path)
    return paths


def load_adult(path):
    columns = [0, 2, 10, 12]
    return tp.load_csv(path, columns, header=False, delimiter=", ")


def check(program, load, rows, header=True):
    """Replay a program's results, whole and without rows, and compare with running it anew."""
    with strict():
        recorded = program.run(*map(load, rows))
    whole = tp.replay(*recorded.values())
    whole = whole if isinstance(whole, tuple) else (whole,)
    for tensor, expected in zip(whole, recorded.values(), strict=True):
        assert same_bits(values(tensor), values(expected))
    leaves = {leaf for each in recorded.values() for leaf in each.ancestors().leaves}
    gone = {leaf: rows[Path(leaf.path)] for leaf in leaves}
    if program.name in COUNTS_ROWS:
        with pytest.raises(LineageError, match=COUNTS_ROWS[program.name]):
            tp.replay(*recorded.values(), without=gone)
        return
    expected = executed_anew(program.run, load, rows, header)
    found = tp.replay(*recorded.values(), without=gone)
    found = found if isinstance(found, tuple) else (found,)
    for tensor, array in zip(found, expected.values(), strict=True):
        assert same_bits(values(tensor), np.asarray(array))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_programs_on_files(tmp_path, program, seed):
    rng = np.random.default_rng(seed)
    paths = write_tables(tmp_path, program, seed)
    lengths = [len(tp.load_csv(path)) for path in paths]
    rows = {
        path: sorted(rng.choice(np.arange(3, n), 3, replace=False).tolist())
        for path, n in zip(paths, lengths, strict=True)
    }
    check(program, tp.load_csv, rows)


@pytest.mark.skipif(not ADULT.exists(), reason="the shared data are not there")
@pytest.mark.parametrize("name", ON_ADULT)
def test_programs_on_adult(tmp_path, name):
    path = tmp_path / "adult.csv"
    lines = ADULT.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:4000]))
    (program,) = (each for each in PROGRAMS if each.name == name)
    rows = sorted(np.random.default_rng(1).choice(4000, 40, replace=False).tolist())
    check(program, load_adult, {path: rows}, header=False)
