"""`traceprop unlearn` whole: removal, audit, purge, certificate; the dry run; holds; a crash."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.e2e.main_job import Job, run_main_job
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.cli import main
from traceprop.unlearning.purging import copies


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job of its own, in the folder where the command is run."""
    done = run_main_job(tmp_path)
    monkeypatch.chdir(done.store.path.parent)
    (done.store.path.parent / "old.pt").write_bytes(b"weights of before")
    return done


def _command(*more: object) -> list[object]:
    return ["unlearn", "--source", "credit_scores.csv", "--rows", "1,2", "--method", "auto", *more]


def test_one_command_does_all_of_it(job: Job):
    folder = job.store.path.parent
    done = _run(*_command("--audit", "--checkpoint", "old.pt", "--requester", "Case 7"))
    assert done.exit_code == 0, done.output
    for said in ("2 samples removed", "Audit against", "files, ", "none found", "Certificate:"):
        assert said in done.output
    assert not (folder / "old.pt").exists()
    assert json.loads((folder / "unlearned.audit.json").read_bytes())["parts"]
    assert json.loads((folder / "unlearned.record.json").read_bytes())["purge"]["clean"]
    verified = _run("verify", "certificate.json", "--store", job.store.path)
    assert verified.exit_code == 0, verified.output
    assert "the purged rows are not in it" in verified.output
    again = _run(*_command("--out", "n.npz", "--certificate", "c.json"))
    assert again.exit_code == 1
    assert "an erasure took the samples out" in again.stderr


def test_a_dry_run_and_a_hold_change_no_byte(job: Job):
    folder = job.store.path.parent

    def files() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    before = files()
    dry = _run(*_command("--dry-run", "--checkpoint", "old.pt"))
    assert dry.exit_code == 0, dry.output
    assert "Dry run: 2 samples (2 source rows) would be removed" in dry.output
    assert "decided otherwise" in dry.output
    assert files() == before
    held = _run(*_command("--legal-hold", "Smith v. Bank"))
    assert held.exit_code == 1
    assert "a legal hold stands against this removal (Smith v. Bank)" in held.stderr
    assert {p: c for p, c in files().items() if ".audit" not in str(p)} == before
    assert _run("store", "hold", job.store.path, "--reason", "tax audit").exit_code == 0
    held = _run(*_command())
    assert "tax audit" in held.stderr
    assert not (folder / "unlearned.npz").exists()
    assert (
        "No hold is left"
        in _run("store", "release", job.store.path, "--reason", "tax audit").output
    )
    for wrong, message in (
        (["--checkpoint", "missing.pt"], "there is no file"),
        (["--keep", "old.pt"], "is not FILE=REASON"),
        (["--no-purge", "--checkpoint", "old.pt"], "are for a purge"),
    ):
        refused = _run(*_command(*wrong))
        assert refused.exit_code != 0
        assert message in refused.stderr
    unknown = _run("unlearn", "--source", "other.csv", "--rows", "1")
    assert "no store in this folder knows it" in unknown.stderr


def test_the_next_run_finishes_what_was_killed(job: Job, monkeypatch: pytest.MonkeyPatch):
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(copies, "carry_out", killed)
        assert _run(*_command("--checkpoint", "old.pt")).exit_code != 0
    assert (job.store.path.parent / "old.pt").exists()
    with pytest.warns(match="a purge was begun"):
        GradientStore.open(job.store.path)
    done = _run(*_command("--checkpoint", "old.pt"))
    assert done.exit_code == 0, done.output
    assert "was interrupted. It is finished and certified now" in done.output
    assert not (job.store.path.parent / "old.pt").exists()
    verified = _run("verify", "certificate.json", "--store", job.store.path)
    assert verified.exit_code == 0, verified.output
    assert "the purged rows are not in it" in verified.output
    certified = json.loads(
        base64.b64decode(json.loads(Path("certificate.json").read_bytes())["payload"])
    )
    assert certified["predicate"]["forget_set"]["n_rows"] == 2
    assert certified["predicate"]["purge"]["proof"]["resumed"]
