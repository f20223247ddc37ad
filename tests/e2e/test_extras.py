"""Without an optional library: all that needs none works, the rest names the extra to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.main_job import run_main_job

BLOCKED = """
import sys
class Blocker:
    library = sys.argv[1]
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.library:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
"""

WITHOUT_TORCH = """
import traceprop as tp
from traceprop.attribution import GradientStore
from traceprop.compliance.verify import verify
store = GradientStore.open(sys.argv[2])
print(store.get_provenance(0).trace_to_file())
print(len(store.samples_from_source(store.sources[0], [1])))
print(store.verify().ok, tp.load_csv(sys.argv[3])[:, 0].sources())
from traceprop.errors import MissingExtraError
def names(module, *names):
    for name in names:
        try:
            getattr(module, name)
        except MissingExtraError as error:
            assert isinstance(error, ImportError) and error.name == "torch"
            print(name, "[torch]" in str(error))
names(tp, "torch")
import traceprop.attribution, traceprop.unlearn
names(traceprop.attribution, "TrainingContext", "compute_influence_scores")
names(traceprop.unlearn, "approximate_unlearn")
"""

COMMAND = "from traceprop.cli import main; sys.argv[:2] = ['traceprop']; main()"


def _run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED + program, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extras")
    run_main_job(folder)
    (folder / "input.csv").write_text("x\n1\n")
    return folder


def test_without_torch_a_store_answers_and_the_rest_names_the_extra(folder: Path):
    done = _run(folder, WITHOUT_TORCH, "torch", "grad", "credit_scores.csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "credit_scores.csv row 0",
        "1",
        "True {credit_scores.csv: rows 0-568}",
        "torch True",
        "TrainingContext True",
        "compute_influence_scores True",
        "approximate_unlearn True",
    ]


@pytest.mark.parametrize(
    ("library", "arguments"),
    [
        ("torch", ["influence", "grad", "--input", "input.csv"]),
        ("torch", ["unlearn", "grad", "--source", "credit_scores.csv", "--rows", "1"]),
        ("torch", ["demo", "--out", "demo"]),
        ("sklearn", ["demo", "--out", "demo"]),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_commands_end_with_one_line_that_names_the_extra(
    library: str, arguments: list[str], folder: Path
):
    done = _run(folder, COMMAND, library, *arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"needs {library}" in line
    assert f"[{library}]" in line
    assert not (folder / "demo").exists()


def test_without_torch_rows_are_traced_on_the_command_line(folder: Path):
    done = _run(folder, COMMAND, "torch", "trace", "grad", "--row", "credit_scores.csv:1")
    assert done.returncode == 0, done.stderr
    assert "credit_scores.csv row 1 (line 3) · normalize → row_filter" in done.stdout
