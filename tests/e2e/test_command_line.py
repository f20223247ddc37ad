"""The commands on a saved store: what they read, refuse and leave behind."""

from __future__ import annotations

import json
import re
import shlex
import stat
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.attribution.store.runs import commit
from tests.e2e.main_job import Job, run_main_job
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.cli import main
from traceprop.compliance.verify import verify as verify_file
from traceprop.lineage import values


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return run_main_job(tmp_path_factory.mktemp("command_line"))


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _unlearn(job: Job, rows: str, *arguments: object) -> Result:
    return _run(
        "unlearn",
        job.store.path,
        "--source",
        "credit_scores.csv",
        "--rows",
        rows,
        "--no-purge",
        *arguments,
    )


def _write_input(path: Path, names: list[str], numbers: np.ndarray) -> Path:
    path.write_text(f"{','.join(names)}\n{','.join(map(repr, numbers.tolist()))}\n")
    return path


def test_help_shows_its_examples_line_by_line():
    for arguments in ([], ["trace"]):
        text = _run(*arguments, "--help").output
        assert "\\b" not in text
        lines = [line for line in text.splitlines() if line.startswith("  traceprop trace")]
        assert lines
        assert all(line.count("traceprop ") == 1 for line in lines)


def test_an_input_is_read_by_the_names_of_its_columns(job: Job, tmp_path: Path):
    names = list(job.store.record.input_columns)
    numbers = values(job.X)[0]
    straight = _write_input(tmp_path / "straight.csv", names, numbers)
    mixed = _write_input(
        tmp_path / "mixed.csv", ["id", *names[::-1]], np.insert(numbers[::-1], 0, 7.0)
    )
    answers = [_run("influence", job.store.path, "--input", path) for path in (straight, mixed)]
    assert answers[0].exit_code == 0, answers[0].output
    assert answers[1].output == answers[0].output
    assert answers[0].stderr.startswith("Unit: relative. The Hessian was damped")
    short = _write_input(tmp_path / "short.csv", names[1:], numbers[1:])
    refused = _run("influence", job.store.path, "--input", short)
    assert refused.exit_code == 1
    assert f"no column '{names[0]}'" in refused.stderr


@pytest.mark.parametrize(
    ("out", "certificate", "complaint"),
    [
        ("new.npz", "missing/cert.json", "cert.json can't be written"),
        ("missing/new.npz", "cert.json", "new.npz can't be written"),
        ("same", "same", "can't hold both"),
        ("new.npz", "new.record.json", "can't hold both"),
        ("there", "cert.json", "is already there"),
    ],
)
def test_results_that_have_no_place_are_refused_before_anything_is_done(
    job: Job, tmp_path: Path, out: str, certificate: str, complaint: str
):
    (tmp_path / "there").write_text("precious")
    keys = sorted(job.store.path.parent.rglob("*.audit/**"))
    places = ["--out", tmp_path / out, "--certificate", tmp_path / certificate]
    refused = _unlearn(job, "1", *places)
    assert refused.exit_code == 1
    assert complaint in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there").read_text() == "precious"
    assert sorted(job.store.path.parent.rglob("*.audit/**")) == keys


def test_spans_of_rows(job: Job, tmp_path: Path):
    places = ["--out", tmp_path / "new.npz", "--certificate", tmp_path / "cert.json"]
    endless = _unlearn(job, "0-99999999999999", *places)
    assert endless.exit_code == 1
    assert "has no row 569: its rows are 0 to 568" in endless.stderr
    backwards = _unlearn(job, "7-3", *places)
    assert backwards.exit_code == 2
    assert "write 3-7" in backwards.stderr
    done = _unlearn(job, "0-2,1", *places)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("3 samples removed: exact-convex.")


def test_a_factory_that_makes_no_model_is_refused(job: Job, tmp_path: Path):
    (tmp_path / "input.csv").write_text("x\n1\n")
    arguments = ["--input", tmp_path / "input.csv", "--model", "os:getcwd"]
    refused = _run("influence", job.store.path, *arguments)
    assert refused.exit_code == 1
    assert "returned a str" in refused.stderr


@pytest.mark.parametrize(
    ("name", "code", "complaint"),
    [
        ("own_syntax", "def make(:\n", r"own_syntax can't be imported: .*own_syntax\.py, line 1"),
        ("own_fault", "1 / 0\n", r"imported: ZeroDivisionError: .*own_fault\.py, line 1"),
        ("own_import", "import nowhere_at_all\n", "There is no module 'nowhere_at_all'"),
        (
            "own_make",
            "def make():\n    raise ValueError('no weights')\n",
            r"The function own_make:make failed: ValueError: no weights .*line 2",
        ),
        ("own_name", "made = 3\n", "own_name has no function 'make'"),
    ],
)
def test_faults_of_a_models_own_code_are_one_line(
    job: Job,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    code: str,
    complaint: str,
):
    """They used to be tracebacks."""
    (tmp_path / f"{name}.py").write_text(code)
    (tmp_path / "input.csv").write_text("x\n1\n")
    monkeypatch.chdir(tmp_path)
    arguments = ["--input", tmp_path / "input.csv", "--model", f"{name}:make"]
    refused = _run("influence", job.store.path, *arguments)
    assert refused.exit_code == 2
    assert re.search(complaint, refused.stderr), refused.stderr
    assert isinstance(refused.exception, SystemExit)


def test_the_training_file_itself_is_no_prepared_input(job: Job):
    """Its rows used to be answered as if they had been normalised."""
    refused = _run("influence", job.store.path, "--input", job.table)
    assert refused.exit_code == 1
    assert "is the training file itself" in refused.stderr
    assert "normalize → row_filter" in refused.stderr


def test_json_says_what_the_scores_are_worth(job: Job, tmp_path: Path):
    names = list(job.store.record.input_columns)
    asked = _write_input(tmp_path / "input.csv", names, values(job.X)[0])
    answer = json.loads(_run("influence", job.store.path, "--input", asked, "--json").stdout)
    assert answer["unit"] == "relative"
    assert answer["damping"] > 0
    assert answer["notes"][0].startswith("The Hessian was damped")
    assert answer["target"] in (0, 1)
    assert answer["margin"] > 0
    assert len(answer["scores"]) == 5
    assert answer["scores"][0]["steps"] == ["normalize", "row_filter"]


def test_a_certificate_that_cannot_be_checked_is_told_from_one_that_does_not_hold(
    job: Job, tmp_path: Path
):
    places = ["--out", tmp_path / "new.npz", "--certificate", tmp_path / "cert.json"]
    done = _unlearn(job, "1", *places)
    assert done.exit_code == 0, done.output
    statement = verify_file(tmp_path / "cert.json").statement
    assert statement["predicate"]["regulation"]["id"] == "GDPR_ART17"
    assert _run("verify", tmp_path / "cert.json").exit_code == 0
    (tmp_path / "forged.json").write_bytes((tmp_path / "cert.json").read_bytes() + b" ")
    assert _run("verify", tmp_path / "forged.json").exit_code == 1
    for arguments in ([tmp_path / "no.json"], [tmp_path / "cert.json", "--key", tmp_path / "no"]):
        unasked = _run("verify", *arguments)
        assert unasked.exit_code == 2
        assert len(unasked.stderr.splitlines()) == 1
        assert "can't be read" in unasked.stderr
    for path in (tmp_path / "new.npz", tmp_path / "new.record.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads((tmp_path / "new.record.json").read_text())["removal_class"]


def test_help_lists_what_can_be_chosen():
    text = " ".join(_run("unlearn", "--help").output.split())
    for choice in ("exact-convex", "gauss-newton", "GDPR_ART17", "CCPA_1798_105"):
        assert choice in text
    assert (
        _run("unlearn", "grad", "--source", "x", "--rows", "1", "--method", "magic").exit_code == 2
    )


def test_the_commands_answer_when_the_file_is_gone_and_say_so(tmp_path: Path):
    job = run_main_job(tmp_path)
    names = list(job.store.record.input_columns)
    asked = _write_input(tmp_path / "input.csv", names, values(job.X)[0])
    job.table.unlink()
    grad = job.store.path
    places = ["--out", tmp_path / "new.npz", "--certificate", tmp_path / "cert.json"]
    for command in (
        ["trace", grad, "--row", "credit_scores.csv:1"],
        ["influence", grad, "--input", asked],
        ["unlearn", grad, "--source", "credit_scores.csv", "--rows", "1", "--no-purge", *places],
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            done = _run(*command)
        assert done.exit_code == 0, done.output
        assert f"{job.table}, which was trained on, is gone" in done.stderr


def test_a_demo_leaves_an_earlier_one_alone_and_prints_commands_that_run(tmp_path: Path):
    lines = [f"{i},{(i * 7) % 11},{i % 2}" for i in range(60)]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["age,score,label", *lines, ""]))
    folder = tmp_path / "my demo"
    first = _run("demo", "--csv", table, "--out", folder)
    assert first.exit_code == 0, first.output
    for line in first.output.splitlines():
        if line.startswith("  traceprop "):
            command = shlex.split(line)[1:]
            if command[0] == "unlearn":
                command += ["--out", str(tmp_path / "n.npz")]
                command += ["--certificate", str(tmp_path / "c.json")]
            assert _run(*command).exit_code == 0, line
    second = _run("demo", "--csv", table, "--out", folder)
    assert second.exit_code == 1
    assert "my demo already holds grad" in second.stderr
    assert "--out" in second.stderr


@pytest.mark.parametrize("scale", [1, 3000])
def test_a_demo_predicts_a_change_only_where_its_scores_can(tmp_path: Path, scale: int):
    """Thousands of classes that no row has keep a short training far from its minimum."""
    lines = [f"{i},{(i * 7) % 11},{i % 2 * scale}" for i in range(60)]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["age,score,label", *lines, ""]))
    done = _run("demo", "--csv", table, "--out", tmp_path / "demo")
    assert done.exit_code == 0, done.output
    assert ("These scores are relative." in done.output) == (scale > 1)
    assert ("the scores predicted" in done.output) == (scale == 1)


def test_a_demo_names_a_constant_column(tmp_path: Path):
    table = tmp_path / "table.csv"
    table.write_text("age,branch,label\n" + "".join(f"{i},5,{i % 2}\n" for i in range(60)))
    refused = _run("demo", "--csv", table, "--out", tmp_path / "demo")
    assert refused.exit_code == 1
    assert "table.csv, column 'branch', has one value" in refused.stderr
    assert not (tmp_path / "demo").exists()


def test_a_store_is_told_of_verified_and_compacted(tmp_path):
    path = tmp_path / "grad"
    commit(GradientStore(k=8, path=path), mark=3)
    told = _run("store", "info", path)
    assert "samples: 5" in told.stdout
    assert "all as they were written" in _run("store", "verify", path).stdout
    assert "1 shards, as before" in _run("store", "compact", path).stdout
    shard = path / "shards" / "0-0.bin"
    shard.write_bytes(b"\xff" + shard.read_bytes()[1:])
    damaged = _run("store", "verify", path)
    assert damaged.exit_code == 1
    assert "shards/0-0.bin is damaged in bytes 0 to 119 (rows 0 to 4)" in damaged.stderr
    help_text = _run("store", "compact", "--help").stdout
    assert "a crash leaves the store as it was" in " ".join(help_text.split())
